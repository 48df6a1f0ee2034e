#!/usr/bin/env python3
"""Other people's OAuth clients get, use, exchange, introspect and revoke tokens of `tenantry serve`.

authlib, oauthlib and requests-oauthlib from PyPI, pinned by oauth_clients.txt; openid-client and jose from npm, pinned by
oauth_node/package-lock.json. Both are installed under target/. The program is the one named in TENANTRY_BIN,
target/debug/tenantry by default.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import venv
from pathlib import Path

from world import REPOSITORY, Different, Product

HERE = Path(__file__).resolve().parent
TARGET = REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target") / "oauth_clients"
PINNED = HERE / "oauth_clients.txt"
NODE = ("package.json", "package-lock.json")
# Past any proxy.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def run(*words, **how):
    done = subprocess.run(list(map(str, words)), stdin=subprocess.DEVNULL, **how)
    if done.returncode != 0:
        raise Different(f"{' '.join(map(str, words))} ended with {done.returncode}")


def installed(folder, pins, install):
    """The folder with what the files name in it, installed once for each change of them."""
    due, mark = "".join(pin.read_text() for pin in pins), folder / "pinned"
    if not mark.is_file() or mark.read_text() != due:
        shutil.rmtree(folder, ignore_errors=True)
        install(folder)
        mark.write_text(due)
    return folder


def python():
    def install(folder):
        venv.create(folder, with_pip=True)
        run(folder / "bin/pip", "install", "-q", "--disable-pip-version-check", "-r", PINNED)

    return installed(TARGET / "venv", [PINNED], install) / "bin/python"


def node():
    """The folder that node finds the packages from; the script is copied beside them."""
    for tool in ("node", "npm"):
        if not shutil.which(tool):
            raise Different(f"{tool} is missing; `make setup` installs it")
    pins = [HERE / "oauth_node" / name for name in NODE]

    def install(folder):
        folder.mkdir(parents=True)
        for pin in pins:
            shutil.copy(pin, folder)
        run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", cwd=folder)

    folder = installed(TARGET / "node", pins, install)
    return Path(shutil.copy(HERE / "oauth_node/clients.mjs", folder))


def world(product):
    """A reseller's key as a client, and an account below the reseller's."""
    code, said, error = product.run("key", "create", "--bundle", "operator_admin", "--name", "oauth")
    if code != 0:
        raise Different(f"`tenantry key create` ended with {code}: {error}")
    key = said.strip()
    product.serve()

    def post(path, body):
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{product.address}/v1/{path}", json.dumps(body).encode(), headers)
        with OPENER.open(request, timeout=30) as answer:
            return json.load(answer)

    account = post("accounts", {"type": "reseller", "name": "Reseller"})["id"]
    below = post("accounts", {"type": "tenant", "name": "Tenant", "parent_id": account})["id"]
    client = post("keys", {"name": "client", "scopes": ["accounts:read", "orders:read"], "account_id": account})
    asserting = post("keys", {"name": "asserting", "scopes": ["accounts:read", "orders:read"], "account_id": account})
    return {"issuer": product.address, "id": client["id"], "secret": client["secret"], "account": account, "below": below,
            "asserting": asserting["id"], "key": key}


def main():
    TARGET.mkdir(parents=True, exist_ok=True)
    commands = [(python(), HERE / "oauth_python.py"), ("node", node())]
    with tempfile.TemporaryDirectory(prefix="oauth-clients-") as folder:
        product = Product(Path(folder) / "product", may_call="127.0.0.1:9")
        try:
            told = json.dumps(world(product))
            surroundings = os.environ | {
                "OAUTH_WORLD": told, "NO_PROXY": "*", "AUTHLIB_INSECURE_TRANSPORT": "1", "OAUTHLIB_INSECURE_TRANSPORT": "1",
            }
            for command in commands:
                run(*command, env=surroundings)
        finally:
            product.stop()


if __name__ == "__main__":
    try:
        main()
    except Different as different:
        print(different, file=sys.stderr)
        sys.exit(1)
