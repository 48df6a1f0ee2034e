"""What the story needs around it: the real mail servers, the product, curl, and a customer's mail programs."""

import base64
import email
import hmac
import http.server
import imaplib
import json
import os
import shlex
import smtplib
import socket
import subprocess
import threading
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DOVEADM_KEY = "doveadm-key-of-the-story"
# 32 bytes in base64, as `openssl rand -base64 32` makes them.
KEK = "c3RvcnktdGVsbHMtbm90aGluZy1vZi10aGlzLWtleSE="
# Longer than any answer to `Prefer: wait=25`.
PATIENCE = 40


class Different(Exception):
    """Something is not as it was told."""


def free_ports(count):
    """Ports that nobody listens on just now, all of them different."""
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def eventually(what, look, patience=15):
    """The first answer of `look` that is not None, or the story ends."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        seen = look()
        if seen is not None:
            return seen
        time.sleep(0.05)
    raise Different(f"{what}: not within {patience} s")


def own_environment(**added):
    """The surroundings without any of the product's or the backends' settings."""
    foreign = ("TENANTRY_", "MAIL_", "BACKENDS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return kept | added


class Backends:
    """Dovecot and Postfix in a folder and on ports of their own."""

    def __init__(self, folder):
        self.folder = folder
        self.imap, self.lmtp, self.doveadm, self.smtp = free_ports(4)
        self.environment = own_environment(
            BACKENDS=str(folder),
            MAIL_IMAP_PORT=str(self.imap),
            MAIL_LMTP_PORT=str(self.lmtp),
            MAIL_DOVEADM_PORT=str(self.doveadm),
            MAIL_SMTP_PORT=str(self.smtp),
            MAIL_API_KEY=DOVEADM_KEY,
        )

    def start(self):
        self.run("start")

    def stop(self):
        self.run("stop")

    def run(self, script):
        path = REPOSITORY / "backends" / script
        done = subprocess.run([path], env=self.environment, text=True, timeout=300, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            raise Different(f"backends/{script} ended with {done.returncode}:\n{done.stdout}")

    def server(self):
        """The server as `POST /v1/servers` takes it, by docs/connectors/mail.md."""
        return {
            "name": "mail1",
            "connector": "mail",
            "settings": {
                "database": f"sqlite://{self.folder}/mail/hosting/hosting.db",
                "doveadm_url": f"http://127.0.0.1:{self.doveadm}/doveadm/v1",
                "imap_host": "127.0.0.1",
                "imap_port": self.imap,
                "imap_security": "none",
                "mx_host": "mx.hosting.test",
            },
            "credentials": json.dumps({"doveadm_api_key": DOVEADM_KEY}),
        }


def binary():
    """The program under test."""
    if given := os.environ.get("TENANTRY_BIN"):
        return Path(given).resolve()
    return REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target") / "debug" / "tenantry"


class Product:
    """`tenantry serve` on SQLite in a data folder and on ports of its own."""

    def __init__(self, folder, may_call):
        self.binary, self.folder, self.process = binary(), folder, None
        if not self.binary.is_file():
            raise Different(f"{self.binary} is missing: run `cargo build`, or name it in TENANTRY_BIN")
        folder.mkdir()
        listen, admin = free_ports(2)
        self.address = f"http://127.0.0.1:{listen}"
        self.log = folder / "serve.log"
        self.environment = own_environment(
            TENANTRY_DATA__DIR=str(folder / "data"),
            TENANTRY_SERVER__LISTEN=f"127.0.0.1:{listen}",
            TENANTRY_SERVER__ADMIN_LISTEN=f"127.0.0.1:{admin}",
            # There is no balancer to wait for.
            TENANTRY_SERVER__DRAIN_DELAY_SECONDS="0",
            TENANTRY_SECRETS__KEK=KEK,
            TENANTRY_WEBHOOKS__ALLOW_HTTP="true",
            TENANTRY_WEBHOOKS__ALLOW_HOSTS=may_call,
        )

    def run(self, *words):
        """A command of the program: its exit code, its stdout and its stderr."""
        # Started in a folder without a tenantry.toml.
        done = subprocess.run([self.binary, *words], cwd=self.folder, env=self.environment, text=True,
                              capture_output=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout, done.stderr

    def serve(self):
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([self.binary, "serve"], cwd=self.folder, env=self.environment,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        port = int(self.address.rsplit(":", 1)[1])

        def answers():
            if self.process.poll() is not None:
                raise Different(f"`tenantry serve` ended with {self.process.returncode}:\n{self.said()}")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
            except OSError:
                return None

        eventually("`tenantry serve` answers", answers)

    def said(self):
        return self.log.read_text() if self.log.exists() else ""

    def stop(self):
        """Asks the server to end, as an init system does, and waits; its exit code."""
        process, self.process = self.process, None
        if process is None:
            return None
        process.terminate()
        try:
            return process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Different(f"`tenantry serve` did not end within {PATIENCE} s of SIGTERM") from None


class Receiver:
    """A web server that takes webhooks and keeps what it got."""

    def __init__(self):
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict((name.lower(), value) for name, value in self.headers.items()), body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                """Says nothing: the story says what it saw."""

        self.got = []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def well_signed(secret, headers, body):
    """Whether a webhook is signed as Standard Webhooks says: HMAC-SHA256 over id, time and body."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    due = "v1," + base64.b64encode(hmac.digest(key, text, "sha256")).decode()
    return any(hmac.compare_digest(due, given) for given in headers["webhook-signature"].split(" "))


class Document:
    """What openapi/v1.json promises."""

    def __init__(self):
        self.paths = json.loads((REPOSITORY / "openapi/v1.json").read_text())["paths"]

    def statuses(self, method, path):
        """The statuses that a call may be answered with."""
        parts = path.partition("?")[0].split("/")
        for template, methods in self.paths.items():
            names = template.split("/")
            fits = len(names) == len(parts) and all(a == b or a[0] == "{" for a, b in zip(names[1:], parts[1:]))
            if fits and method.lower() in methods:
                return list(methods[method.lower()]["responses"])
        raise Different(f"the document knows no {method} {path}")


class Answer:
    """What curl got back."""

    def __init__(self, status, headers, text):
        self.status, self.headers, self.text = status, headers, text
        self.body = json.loads(text) if text else None

    def __getitem__(self, name):
        return self.body[name]


class Caller:
    """Somebody with an API key and curl, or a page that sends what a shop's page does."""

    def __init__(self, name, address, secret, document, origin=None):
        self.name, self.address, self.secret, self.document, self.calls = name, address, secret, document, 0
        self.origin = origin

    def get(self, path):
        return self.call("GET", path)

    def post(self, path, body=None, **how):
        return self.call("POST", path, body, **how)

    def call(self, method, path, body=None, key=None, wait=None):
        """One call. Every change has an Idempotency-Key: the one given, or the next of the caller's own."""
        headers = {"Authorization": f"Bearer {self.secret}"}
        if method != "GET":
            self.calls += 1
            headers["Idempotency-Key"] = key or f"{self.name.lower()}-{self.calls}"
        if self.origin is not None:
            headers["Origin"] = self.origin
        if wait is not None:
            headers["Prefer"] = f"wait={wait}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        request = ["-X", method, f"{self.address}{path}"]
        data = [] if body is None else ["-d", json.dumps(body)]
        shown = shlex.join(["curl", *request, *([] if wait is None else ["-H", f"Prefer: wait={wait}"]), *data])
        shown = f"{self.name}: {shown.replace(self.address, '')}"
        words = ["curl", "-sS", "--noproxy", "*", "--max-time", str(PATIENCE), "-D", "-", *request, *data]
        for name, value in headers.items():
            words += ["-H", f"{name}: {value}"]
        done = subprocess.run(words, text=True, capture_output=True, timeout=PATIENCE + 10,
                              stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise Different(f"{shown}\n{done.stderr}")
        head, _, text = done.stdout.partition("\n\n")
        first, *lines = head.splitlines()
        told = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        answer = Answer(int(first.split()[1]), told, text)
        print(f"     {shown if len(shown) <= 120 else shown[:119] + '…'}  → {answer.status}", flush=True)
        documented = self.document.statuses(method, path)
        if str(answer.status) not in documented:
            raise Different(f"{method} {path} answered {answer.status}; the document knows {documented}: {text}")
        return answer


class Customer:
    """The mail program of somebody with a mailbox."""

    def __init__(self, backends, address, password):
        self.port, self.address, self.password = backends.imap, address, password

    def open(self, password=None):
        """A session that stays open."""
        session = imaplib.IMAP4("127.0.0.1", self.port, timeout=30)
        session.login(self.address, password or self.password)
        return session

    def refusal(self, password=None):
        """What the server says to a login it refuses."""
        try:
            self.open(password).logout()
        except imaplib.IMAP4.error as refused:
            return refused.args[0].decode(errors="replace")
        raise Different(f"{self.address} could log in")

    def subjects(self):
        """The subjects of all mail in the inbox, the oldest first."""
        session = self.open()
        try:
            session.select("INBOX", readonly=True)
            numbers = session.search(None, "ALL")[1][0].split()
            heads = [session.fetch(number.decode(), "(BODY.PEEK[HEADER])")[1][0][1] for number in numbers]
            return [email.message_from_bytes(head)["Subject"] for head in heads]
        finally:
            session.logout()


def send(backends, recipient, subject):
    """Sends a message as another mail server does: None where it was taken, else the refusal's code and text."""
    with smtplib.SMTP("127.0.0.1", backends.smtp, "sender.example", timeout=15) as server:
        text = f"From: carol@sender.example\r\nTo: {recipient}\r\nSubject: {subject}\r\n\r\nHello.\r\n"
        try:
            server.sendmail("carol@sender.example", [recipient], text)
        except smtplib.SMTPRecipientsRefused as refused:
            code, said = refused.recipients[recipient]
            return code, said.decode(errors="replace")
    return None
