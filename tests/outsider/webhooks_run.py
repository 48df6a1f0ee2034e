#!/usr/bin/env python3
"""The published libraries verify what `tenantry serve` delivers, unchanged, and refuse what was altered.

standardwebhooks and svix, each of PyPI and of npm, pinned in webhooks/ and installed into an environment of their own
under target/. The program is the one named in TENANTRY_BIN, target/debug/tenantry by default.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from world import REPOSITORY, Caller, Different, Document, Product, Receiver, eventually

HERE = Path(__file__).resolve().parent / "webhooks"
TARGET = REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target") / "webhooks"
PINNED = [HERE / name for name in ("requirements.txt", "package.json", "package-lock.json")]


def installed():
    """The folder with the libraries, of the versions that are pinned."""
    mark, pinned = TARGET / "pinned", "".join(file.read_text() for file in PINNED)
    if not mark.is_file() or mark.read_text() != pinned:
        shutil.rmtree(TARGET, ignore_errors=True)
        venv.create(TARGET / "venv", with_pip=True)
        pip = [TARGET / "venv/bin/pip", "install", "-q", "--disable-pip-version-check", "-r", PINNED[0]]
        subprocess.run(pip, check=True)
        for file in PINNED[1:]:
            shutil.copy(file, TARGET)
        npm = ["npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(npm, cwd=TARGET, check=True)
        mark.write_text(pinned)
    return TARGET


def verdicts(deliveries):
    """What each library says of each delivery."""
    folder = installed()
    told = [{} for _ in deliveries]
    for words in ([folder / "venv/bin/python", HERE / "verify.py"], ["node", HERE / "verify.mjs", folder]):
        done = subprocess.run(words, input=json.dumps(deliveries), text=True, capture_output=True, timeout=60)
        if done.returncode != 0:
            raise Different(f"{words[-1]} ended with {done.returncode}: {done.stderr}")
        for one, more in zip(told, json.loads(done.stdout), strict=True):
            one.update(more)
    return told


def expect(deliveries, taken, what):
    """Every library takes all of the deliveries, or refuses all."""
    for verdict in verdicts(deliveries):
        wrong = [library for library, said in verdict.items() if said != taken]
        if wrong:
            raise Different(f"{what}: {'refused' if taken else 'taken'} by {', '.join(wrong)}")
    print(f"{what}: {len(deliveries)} {'taken' if taken else 'refused'} by all", flush=True)


def story(product, receiver):
    _, secret, _ = product.run("key", "create", "--bundle", "operator_admin", "--name", "Webhooks")
    product.serve()
    operator = Caller("Operator", product.address, secret.strip(), Document())
    asked = {"url": f"http://{receiver.host}/in", "event_types": ["account.created"], "asymmetric": True}
    endpoint = operator.post("/v1/webhook_endpoints", asked)

    def delivered(names):
        """The deliveries that tell of new accounts, each with what its endpoint was told."""
        begun = len(receiver.got)
        for name in names:
            operator.post("/v1/accounts", {"type": "tenant", "name": name})
        eventually("deliveries", lambda: len(receiver.got) >= begun + len(names) or None)
        told = {"secret": endpoint["secret"], "publicKey": endpoint["public_key"]}
        return [{"headers": headers, "body": body.decode(), **told} for headers, body in receiver.got[begun:]]

    first = delivered(["Acme", "Müller & Söhne", "東京 “🎌”", 'with "quotes" and \\'])
    expect(first, True, "as it was sent")
    expect([one | {"body": one["body"].replace("tenant", "reseller", 1)} for one in first], False, "another body")
    expect([one | {"body": one["body"] + " "} for one in first], False, "a body with a blank behind it")

    def with_header(one, name, value):
        return one | {"headers": one["headers"] | {name: value}}

    expect([with_header(one, "webhook-id", "evt_other") for one in first], False, "another webhook-id")
    later = [with_header(one, "webhook-timestamp", str(int(one["headers"]["webhook-timestamp"]) + 1)) for one in first]
    expect(later, False, "another time stamp")
    old, old_pair = endpoint["secret"], endpoint["public_key"]
    endpoint = operator.post(f"/v1/webhook_endpoints/{endpoint['id']}/rotate_secret", {"overlap_hours": 1})
    during = delivered(["During the overlap"])
    expect(during, True, "with the new secret during the overlap")
    before = [one | {"secret": old, "publicKey": old_pair} for one in during]
    expect(before, True, "with the secret before during the overlap")
    endpoint = operator.post(f"/v1/webhook_endpoints/{endpoint['id']}/rotate_secret", {"overlap_hours": 0})
    after = delivered(["After it"])
    expect(after, True, "with the new secret after it")
    expect([one | {"secret": old, "publicKey": old_pair} for one in after], False, "with the secret before after it")


def main():
    with tempfile.TemporaryDirectory(prefix="tenantry-webhooks-") as folder:
        receiver = Receiver()
        product = Product(Path(folder) / "product", may_call=receiver.host)
        try:
            story(product, receiver)
        finally:
            product.stop()
            receiver.stop()


if __name__ == "__main__":
    try:
        main()
    except Different as different:
        sys.exit(f"FAILED {different}")
