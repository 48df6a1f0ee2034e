#!/usr/bin/env python3
"""The guides of docs/guides are run as they stand, each against a fresh `tenantry serve` on SQLite.

The sh blocks of README.md, which are the operator's set-up, and then those of a guide run in one bash session, in the
order in which they stand. A json block shows what the sh block before it printed; what is shown may be less than what
came: members can be left out, a string that ends in … stands for any that begins so, and an array that ends with "…"
for one that goes on. Nothing else is fenced in a guide, so that whatever can be copied was run. It needs bash, curl and
jq. The program is the one named in TENANTRY_BIN, target/debug/tenantry by default. Words on the command line name the
guides to run; all of them by default.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from world import REPOSITORY, Different, Product

GUIDES = REPOSITORY / "docs/guides"
SET_UP = GUIDES / "README.md"
# Nobody listens there, and the server may call it.
NOWHERE = "127.0.0.1:9"
# For all snippets of a guide together.
PATIENCE = 300
MORE = "…"


@dataclass
class Snippet:
    """An sh block, and the json blocks that show what it prints."""

    file: Path
    line: int
    text: str
    shown: list = field(default_factory=list)

    def place(self, line=None):
        return f"{self.file.relative_to(REPOSITORY)}:{line or self.line}"


def blocks(file):
    """The fenced blocks of a document: the line after the fence, the language and the text."""
    lines = file.read_text().splitlines()
    began = None
    for number, line in enumerate(lines, 1):
        fence = re.match(r"\s*(`{3,}|~{3,})(.*)", line)
        if began is None and fence:
            began, language = number + 1, fence[2].strip()
            if line != f"```{language}":
                raise Different(f"{file.relative_to(REPOSITORY)}:{number}: fences are three backticks at the margin")
        elif began is not None and fence:
            yield began, language, "\n".join(lines[began - 1:number - 1]) + "\n"
            began = None
    if began is not None:
        raise Different(f"{file.relative_to(REPOSITORY)}:{began - 1}: the block has no end")


def each_once(members):
    """The members of an object, which has none of them twice."""
    made = dict(members)
    if len(made) != len(members):
        raise ValueError("a member is there twice")
    return made


def snippets(file):
    """What of a document is run, in order."""
    found = []
    for line, language, text in blocks(file):
        place = f"{file.relative_to(REPOSITORY)}:{line}"
        if language == "sh":
            found.append(Snippet(file, line, text))
        elif language != "json":
            raise Different(f"{place}: a block is sh, which is run, or json, which is compared, not {language!r}")
        elif not found:
            raise Different(f"{place}: no sh block comes before this one, which prints it")
        else:
            try:
                found[-1].shown.append((line, json.loads(text, object_pairs_hook=each_once)))
            except ValueError as wrong:
                raise Different(f"{place}: what is shown is not JSON: {wrong}") from None
    for snippet in found:
        if len(snippet.shown) > 1:
            raise Different(f"{snippet.place(snippet.shown[1][0])}: the sh block before has its answer already")
    if not found:
        raise Different(f"{file.relative_to(REPOSITORY)}: there is nothing in it to run")
    return found


def differences(shown, came, at=""):
    """Where what came is not what is shown, each with its place in it."""
    def differ():
        return [f"{at or '/'}: {json.dumps(shown, ensure_ascii=False)} is shown, {json.dumps(came, ensure_ascii=False)} came"]

    if isinstance(shown, dict) and isinstance(came, dict):
        found = []
        for name, value in shown.items():
            place = f"{at}/{name}"
            found += differences(value, came[name], place) if name in came else [f"{place}: is shown, and did not come"]
        return found
    if isinstance(shown, list) and isinstance(came, list):
        goes_on = shown[-1:] == [MORE]
        due = shown[:-1] if goes_on else shown
        if len(came) < len(due) or not goes_on and len(came) > len(due):
            return [f"{at or '/'}: {len(due)}{' or more' if goes_on else ''} elements are shown, {len(came)} came"]
        return [one for place, (left, right) in enumerate(zip(due, came)) for one in differences(left, right, f"{at}/{place}")]
    if isinstance(shown, str) and isinstance(came, str) and shown.endswith(MORE):
        return [] if came.startswith(shown.removesuffix(MORE)) else differ()
    # Python takes true for 1.
    same = isinstance(shown, bool) == isinstance(came, bool) and shown == came
    return [] if same else differ()


class Session:
    """Snippets in one bash, each with what it printed."""

    def __init__(self, folder, found, environment):
        self.folder, self.snippets = folder, found
        folder.mkdir()
        script = ["set -euo pipefail", """trap 'echo "${BASH_SOURCE##*/}: line $LINENO: a command failed" >&2' ERR"""]
        for number, snippet in enumerate(found):
            place = folder / str(number)
            place.mkdir()
            # In its document's lines, so that bash names those.
            copy = place / snippet.file.name
            copy.write_text("\n" * (snippet.line - 1) + snippet.text)
            script += [f"exec > '{place}/said' 2> '{place}/errors'", f". '{copy}'", f"touch '{place}/ended'"]
        (folder / "session").write_text("\n".join(script) + "\n")
        bash = subprocess.Popen(["bash", folder / "session"], cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            self.code = bash.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.code = None
        finally:
            try:
                os.killpg(bash.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            bash.wait()

    def faults(self):
        """Every answer that differs, and the snippet that the session ended at."""
        found = []
        for number, snippet in enumerate(self.snippets):
            place = self.folder / str(number)
            said = (place / "said").read_text() if (place / "said").exists() else ""
            if not (place / "ended").exists():
                how = f"did not end within {PATIENCE} s" if self.code is None else f"ended the session with {self.code}"
                errors = (place / "errors").read_text() if (place / "errors").exists() else ""
                named = re.search(rf"{re.escape(snippet.file.name)}: line (\d+)", errors)
                told = f"{errors.strip().replace(f'{place}/', '')}\n{said.strip()}".strip()
                return [*found, f"{snippet.place(named and named[1])}: the snippet {how}:\n{told or 'it said nothing'}"]
            for line, shown in snippet.shown:
                try:
                    came = json.loads(said)
                except ValueError:
                    found.append(f"{snippet.place(line)}: one JSON value is shown, and this came:\n{said.strip() or 'nothing'}")
                    continue
                if wrong := differences(shown, came):
                    came = json.dumps(came, ensure_ascii=False, indent=2)
                    found.append("\n".join([f"{snippet.place(line)}: another answer came than is shown:", *wrong, came]))
        return found


def run(guide, folder):
    """Runs one guide against a server of its own; what is wrong with it."""
    began = time.monotonic()
    steps = snippets(guide)
    product = Product(folder / "product", may_call=NOWHERE)
    code, key, said = product.run("key", "create", "--bundle", "operator_admin", "--name", "First key")
    if code != 0:
        raise Different(f"`key create` ended with {code}: {said}")
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", "no_proxy": "*",
        "TENANTRY": product.address, "OPERATOR_KEY": key.strip(),
        "HOSTING": str(folder / "hosting"), "HOOK_URL": f"http://{NOWHERE}/hooks",
    }
    product.serve()
    try:
        faults = Session(folder / "session", snippets(SET_UP) + steps, environment).faults()
        if product.process.poll() is not None:
            faults.append(f"`tenantry serve` ended with {product.process.returncode}:\n{product.said()[-2000:]}")
    finally:
        product.stop()
    if not faults:
        answers = sum(len(snippet.shown) for snippet in steps)
        took = time.monotonic() - began
        print(f"{guide.name}: {len(steps)} snippets run, {answers} answers as shown [{took:.1f} s]", flush=True)
    return faults


def main():
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("the guides were ended"))
    there = {file.name for file in GUIDES.glob("*.md")} - {SET_UP.name}
    named = set(re.findall(r"\]\(([\w-]+\.md)\)", SET_UP.read_text()))
    if not there or there != named:
        raise Different(f"README.md names {sorted(named)}; there are {sorted(there)}")
    asked = sys.argv[1:] or sorted(there)
    if strange := set(asked) - there:
        raise Different(f"{', '.join(sorted(strange))} is none of {', '.join(sorted(there))}")
    failed = False
    with tempfile.TemporaryDirectory(prefix="tenantry-guides-", ignore_cleanup_errors=True) as folder:
        for name in asked:
            place = Path(folder) / name
            place.mkdir()
            for fault in run(GUIDES / name, place):
                failed = True
                print(f"FAILED {fault}\n", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Different as different:
        print(different, file=sys.stderr)
        sys.exit(1)
