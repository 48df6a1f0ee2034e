"""The product as it is served while it is measured, and what is asked of it beforehand."""

import base64
import http.client
import json
import os
import subprocess
import time

from . import machine

# A request's log line is written at `info`; what is measured runs one level above that.
SETTINGS = {"TENANTRY_SERVER__HTTP_WORKERS": "1", "TENANTRY_LOG__FILTER": "warn",
            "TENANTRY_SERVER__DRAIN_DELAY_SECONDS": "0",
            # What is measured is what requests cost, not what is turned away.
            "TENANTRY_SERVER__LONGEST_WAIT_MILLISECONDS": "60000",
            **{f"TENANTRY_LIMITS__{layer}_PER_MINUTE": "1000000000" for layer in ("KEY", "ACCOUNT", "SUBTREE", "ADDRESS", "ADDRESS_POSTS", "POSTS")}}


def built():
    """The programs, built as they are released; or those named in TENANTRY_BIN and TENANTRY_BENCH_BIN."""
    program = os.environ.get("TENANTRY_BIN")
    if program:
        beside = os.path.join(os.path.dirname(program), "tenantry-bench")
        return os.path.abspath(program), os.path.abspath(os.environ.get("TENANTRY_BENCH_BIN") or beside)
    root = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
    subprocess.run(["cargo", "build", "--release", "--locked", "-p", "tenantry", "-p", "tenantry-bench"], cwd=root, check=True)
    target = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(root, "target")), "release")
    return os.path.join(target, "tenantry"), os.path.join(target, "tenantry-bench")


class Product:
    def __init__(self, program, folder, database):
        self.program, self.database = program, database
        self.folder = os.path.join(folder, "data")
        self.log = os.path.join(folder, "serve.log")
        self.process = self.port = None
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TENANTRY_")}
        self.environment = {**inherited, **SETTINGS, "TENANTRY_DATA__DIR": self.folder, **database.environment}

    def prepare(self):
        """Migrates the database and makes the operator's key."""
        self._run("migrate")
        made = self._run("key", "create", "--bundle", "operator_admin")
        self.key = made.stdout.strip()
        self.operator_id = made.stderr.split(" for ")[1].split(";")[0]
        self.key_id = made.stderr.split()[0]

    def _run(self, *command):
        done = subprocess.run([self.program, *command], env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"tenantry {' '.join(command)}: {done.stderr}")
        return done

    def start(self, *flags):
        """Starts serving; gives the seconds until the port answered."""
        self.port, admin = machine.free_port(), machine.free_port()
        self.admin = admin
        environment = {**self.environment, "TENANTRY_SERVER__LISTEN": f"127.0.0.1:{self.port}",
                       "TENANTRY_SERVER__ADMIN_LISTEN": f"127.0.0.1:{admin}"}
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(machine.pinned(machine.SERVER_CORE, [self.program, "serve", *flags]),
                                            env=environment, stdout=log, stderr=log)
        machine.await_port(self.port, self.process)

    def stop(self):
        if self.process:
            machine.end(self.process)
            self.process = None

    @property
    def pids(self):
        return [self.process.pid, *self.database.pids]

    @property
    def bearer(self):
        return f"authorization: Bearer {self.key}"

    @property
    def basic(self):
        told = base64.b64encode(f"{self.key_id}:{self.key}".encode()).decode()
        return f"authorization: Basic {told}"

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        told = {"Authorization": f"Bearer {self.key}", **(headers or {})}
        if isinstance(body, dict):
            body, told["Content-Type"] = json.dumps(body), "application/json"
        connection.request(method, path, body, told)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text.decode()}")
        return json.loads(text)

    def token(self):
        answer = self.ask("POST", "/oauth/token", "grant_type=client_credentials",
                          {"Authorization": self.basic.split(": ")[1],
                           "Content-Type": "application/x-www-form-urlencoded"})
        return answer["access_token"]

    def make_plan(self, folder):
        """A plan for hosted mail with three quotas, on a server of files."""
        root = os.path.join(folder, "files")
        os.makedirs(root, exist_ok=True)
        server = self.ask("POST", "/v1/servers", {"name": "files", "connector": "files", "settings": {"root": root}})
        placement = [{"service_type": "mail", "server_id": server["id"]}]
        virtual = self.ask("POST", "/v1/virtual_servers", {"name": "all", "placement": placement})
        quotas = [{"key": "mail.domains", "included": 1}, {"key": "mail.mailboxes", "per_unit": 1},
                  {"key": "mail.storage_mb", "per_unit": 1024}]
        terms = {"virtual_server_id": virtual["id"], "services": [{"type": "mail"}], "quotas": quotas}
        plan = self.ask("POST", "/v1/plans", {"code": "hosted-mail", "name": "Hosted mail", "terms": terms})
        return plan["id"], server["id"]

    def pages(self, count):
        """Cursors spread over the list of accounts, each with the identifier of the row it begins after."""
        found, cursor = [], None
        while len(found) < count:
            query = f"?limit=200&cursor={cursor}" if cursor else "?limit=200"
            page = self.ask("GET", f"/v1/accounts{query}")
            cursor = page["next_cursor"]
            if cursor is None:
                break
            found.append((cursor, page["data"][-1]["id"]))
        return found

    def first_ready(self):
        """Starts anew and gives the milliseconds from there until `/readyz` says so."""
        begun = time.perf_counter()
        self.start()
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=30)
            try:
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    return (time.perf_counter() - begun) * 1000
            except ConnectionError:
                pass
            finally:
                connection.close()
            time.sleep(0.001)

    def first_answer(self, path):
        """Starts anew and gives the milliseconds from there to the first answer."""
        begun = time.perf_counter()
        self.start()
        self.ask("GET", path)
        return (time.perf_counter() - begun) * 1000
