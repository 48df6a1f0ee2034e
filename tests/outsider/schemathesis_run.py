#!/usr/bin/env python3
"""Schemathesis calls everything in the document, against `tenantry serve` on SQLite and on PostgreSQL.

All its checks and all its phases; nothing is left out. It is installed, pinned by schemathesis.txt, into an environment
of its own under target/. The program is the one named in TENANTRY_BIN, target/debug/tenantry by default. One seed and 40
examples for each operation; with TEST_LONG=1 three seeds and 500. TEST_SEEDS=2,3 runs those and no others.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from world import KEK, REPOSITORY, Different, Product

HERE = Path(__file__).resolve().parent
TARGET = REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target") / "schemathesis"
PINNED = HERE / "schemathesis.txt"
LONG = os.environ.get("TEST_LONG") == "1"
SEEDS, EXAMPLES = ("1,2,3", 500) if LONG else ("1", 40)
SEEDS = [int(seed) for seed in os.environ.get("TEST_SEEDS", SEEDS).split(",")]
MAKE_KEY = ("key", "create", "--bundle", "operator_admin", "--name", "schemathesis")
OWNER = os.environ.get("TEST_POSTGRES_OWNER", "postgres://tenantry_owner:tenantry@127.0.0.1:5432/tenantry_test")
APP = os.environ.get("TEST_POSTGRES_APP", "postgres://tenantry_app:tenantry@127.0.0.1:5432/tenantry_test")


# Past any proxy.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def installed():
    """The tool, of the versions that are pinned."""
    folder = TARGET / "venv"
    mark = folder / "pinned"
    if not mark.is_file() or mark.read_text() != PINNED.read_text():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([folder / "bin/pip", "install", "-q", "--disable-pip-version-check", "-r", PINNED], check=True)
        mark.write_text(PINNED.read_text())
    return folder / "bin/st"


class Schema:
    """A PostgreSQL schema of its own, owned by the role that migrates."""

    def __init__(self):
        self.name = f"schemathesis_{os.getpid()}_{int(time.time())}"
        self.sql(f"CREATE SCHEMA {self.name}")

    def sql(self, text):
        done = subprocess.run(["psql", "-qX", "-v", "ON_ERROR_STOP=1", OWNER, "-c", text], text=True, capture_output=True)
        if done.returncode != 0:
            raise Different(f"psql: {done.stderr}")

    def within(self, url):
        return f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{self.name}"

    def environment(self):
        return {"TENANTRY_DATABASE__URL": self.within(APP), "TENANTRY_DATABASE__MIGRATE_URL": self.within(OWNER)}

    def drop(self):
        self.sql(f"SET client_min_messages = error; DROP SCHEMA {self.name} CASCADE")


def world(address, key, folder):
    """One of everything, so that there is something to call: its identifiers by noun."""
    def send(method, path, body=None, account=None):
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Prefer": "wait=25"}
        if account:
            headers["Tenantry-Account"] = account
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{address}/v1/{path}", data, headers, method=method)
        with OPENER.open(request, timeout=60) as answer:
            return json.load(answer)

    root = folder / "served"
    root.mkdir()
    server = send("POST", "servers", {"name": "files", "connector": "files", "settings": {"root": str(root)}})["id"]
    placement = [{"service_type": kind, "server_id": server} for kind in ("mail", "dns", "web")]
    shared = send("POST", "virtual_servers", {"name": "shared", "placement": placement})["id"]
    quotas = [{"key": key, "included": 10} for key in ("mail.domains", "mail.mailboxes", "dns.zones", "dns.records", "web.sites")]
    quotas += [{"key": key, "included": 100_000} for key in ("mail.storage_mb", "web.storage_mb")]
    services = [{"type": kind} for kind in ("mail", "dns", "web")]
    terms = {"virtual_server_id": shared, "services": services, "quotas": quotas}
    send("POST", "plans", {"code": "hosted-mail", "name": "Hosted mail", "terms": terms})
    reseller = send("POST", "accounts", {"type": "reseller", "name": "Reseller"})["id"]
    tenant = send("POST", "accounts", {"type": "tenant", "name": "Tenant", "parent_id": reseller})["id"]
    resources = [{"type": "domain", "spec": {"name": "acme.example"}}, {"type": "zone", "spec": {"name": "acme.example"}},
                 {"type": "mailbox", "spec": {"address": "a@acme.example", "quota_mb": 100}}]
    for account in (reseller, tenant):
        if account == tenant:
            resources = []
        item = {"action": "add", "plan": "hosted-mail", "quantity": 2, "resources": resources}
        send("POST", "orders", {"account_id": account, "items": [item]})
    send("POST", "webhook_endpoints", {"url": "https://hooks.example/in"})
    send("POST", "keys", {"name": "spare", "scopes": ["orders:read"], "account_id": tenant})
    nouns = ("accounts", "keys", "orders", "subscriptions", "services", "resources", "operations", "plans", "servers",
             "virtual_servers", "webhook_endpoints")
    return {noun: [row["id"] for row in send("GET", f"{noun}?limit=200")["data"]] for noun in nouns}


def calls(st, engine, folder, environment):
    """Has the tool call everything on one engine; whether it found nothing."""
    product = Product(folder / engine, may_call="127.0.0.1:9")
    product.environment |= environment
    product.environment |= {f"TENANTRY_LIMITS__{layer}_PER_MINUTE": "1000000000" for layer in ("KEY", "ACCOUNT", "SUBTREE", "ADDRESS")}
    if environment:
        code, said, error = product.run("migrate")
        if code != 0:
            raise Different(f"`tenantry migrate` ended with {code}: {said}{error}")
    code, said, error = product.run(*MAKE_KEY)
    found = re.search(r"tnk_live_[0-9a-z]{26}_[0-9A-Za-z]{49}", said)
    if code != 0 or not found:
        raise Different(f"`tenantry key create` ended with {code}: {said}{error}")
    product.serve()
    good = True
    try:
        real = world(product.address, found[0], folder / engine)
        for seed in SEEDS:
            begun = time.monotonic()
            words = [
                st, "--config-file", HERE / "schemathesis.toml", "run", f"{product.address}/v1/openapi.json",
                # More than one is not safe: Python's parser, which Hypothesis calls, is not.
                "--seed", str(seed), "--max-examples", str(EXAMPLES), "--workers", "1",
                "--report", "json,junit", "--report-dir", TARGET / f"{engine}-{seed}",
            ]
            surroundings = product.environment | {
                "SCHEMATHESIS_KEY": found[0], "SCHEMATHESIS_MAKE_KEY": json.dumps([str(product.binary), *MAKE_KEY]),
                "SCHEMATHESIS_REAL": json.dumps(real), "SCHEMATHESIS_HOOKS": str(HERE / "schemathesis_hooks.py"), "NO_PROXY": "*",
            }
            done = subprocess.run(list(map(str, words)), env=surroundings, cwd=TARGET, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            good &= done.returncode == 0
            told = done.stdout if done.returncode else done.stdout[done.stdout.find("Test Phases:"):]
            print(f"{told}\n{engine}, seed {seed}: {done.returncode} after {time.monotonic() - begun:.0f} s", flush=True)
        if product.process.poll() is not None:
            raise Different(f"the program ended with {product.process.returncode}: {product.said()[-2000:]}")
    finally:
        product.stop()
    return good


def main():
    TARGET.mkdir(parents=True, exist_ok=True)
    st = installed()
    with tempfile.TemporaryDirectory(prefix="schemathesis-") as folder:
        def on(engine):
            schema = Schema() if engine == "postgres" else None
            try:
                return calls(st, engine, Path(folder), schema.environment() if schema else {})
            finally:
                if schema:
                    schema.drop()

        with ThreadPoolExecutor() as both:
            return 0 if all(list(both.map(on, sys.argv[1:] or ["sqlite", "postgres"]))) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Different as different:
        print(different, file=sys.stderr)
        sys.exit(1)
