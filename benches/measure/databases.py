"""Fresh databases: a SQLite file, and a PostgreSQL cluster of the bench's own."""

import glob
import os
import shutil
import sqlite3
import subprocess
import time
import urllib.parse

from . import machine

PGBENCH = """
CREATE TABLE idem (tenant text NOT NULL, key text NOT NULL, request text NOT NULL, reply text NOT NULL,
    PRIMARY KEY (tenant, key));
CREATE TABLE placed (id bigserial PRIMARY KEY, tenant text NOT NULL, status text NOT NULL, body text NOT NULL);
CREATE TABLE quota (tenant text PRIMARY KEY, used bigint NOT NULL, ceiling bigint NOT NULL) WITH (fillfactor = 50);
CREATE TABLE outbox (id bigserial PRIMARY KEY, tenant text NOT NULL, kind text NOT NULL, body text NOT NULL);
INSERT INTO quota SELECT 't' || number, 0, 1000000000 FROM generate_series(0, 999) AS number;
VACUUM ANALYZE;
"""


# What an order adds rows to.
ORDERED = "orders subscriptions services quotas operations events audit replies".split()


class Sqlite:
    name = "sqlite"

    def __init__(self, folder):
        self.file = os.path.join(folder, "data", "tenantry.db")
        self.environment = {}
        self.url = self.limit_url = f"sqlite://{self.file}"
        self.pids = []

    def insert(self, table, columns, rows):
        with sqlite3.connect(self.file, isolation_level=None) as db:
            db.execute("PRAGMA synchronous = OFF")
            db.execute("PRAGMA cache_size = -400000")
            db.execute("BEGIN IMMEDIATE")
            marks = ", ".join("?" for _ in columns)
            db.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)
            db.execute("COMMIT")
        db.close()

    def run(self, statements):
        """Runs statements that belong together."""
        db = sqlite3.connect(self.file, isolation_level=None)
        db.executescript(f"PRAGMA synchronous = OFF; PRAGMA cache_size = -400000; BEGIN IMMEDIATE; {statements}; COMMIT;")
        db.close()

    def columns(self, table):
        """The columns that are written."""
        db = sqlite3.connect(self.file)
        told = db.execute("SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0", (table,)).fetchall()
        db.close()
        return [name for name, in told]

    def settle(self):
        db = sqlite3.connect(self.file)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()

    def paths(self, ids):
        db = sqlite3.connect(self.file)
        found = [db.execute("SELECT path FROM accounts WHERE id = ?", (one,)).fetchone()[0] for one in ids]
        db.close()
        return found

    def counts(self):
        db = sqlite3.connect(self.file)
        told = db.execute("SELECT " + ", ".join(f"(SELECT COUNT(*) FROM {table})" for table in ORDERED)).fetchone()
        db.close()
        return dict(zip(ORDERED, told))

    def close(self):
        pass


class Postgres:
    name = "postgresql"

    def __init__(self, folder):
        """Makes and starts a cluster with PostgreSQL's own defaults, bound to the server's core."""
        self.programs = programs()
        self.port = machine.free_port()
        self.folder = os.path.join(folder, "cluster")
        os.makedirs(self.folder, mode=0o700)
        # PostgreSQL refuses to run as root.
        self.as_owner = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        if self.as_owner:
            shutil.chown(self.folder, "postgres", "postgres")
        self._server("initdb", "-D", self.folder, "-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} " \
                  "-c max_connections=200"
        self._server("pg_ctl", "-D", self.folder, "-w", "-l", os.path.join(self.folder, "log"), "-o", options, "start")
        with open(os.path.join(self.folder, "postmaster.pid")) as file:
            self.pids = [int(file.readline())]
        self.sql("postgres", "CREATE ROLE owner LOGIN; CREATE ROLE app LOGIN")
        self.sql("postgres", "CREATE DATABASE product OWNER owner")
        self.sql("postgres", "CREATE DATABASE pgbench")
        self.sql("pgbench", PGBENCH)
        self.url = self._url("app")
        self.limit_url = self._url("bench")
        self.environment = {"TENANTRY_DATABASE__URL": self.url,
                            "TENANTRY_DATABASE__MIGRATE_URL": self._url("owner")}

    def _url(self, role, database="product"):
        return f"postgres://{urllib.parse.quote(role)}@127.0.0.1:{self.port}/{database}"

    def _server(self, program, *arguments):
        command = machine.pinned(machine.SERVER_CORE, [os.path.join(self.programs, program), *arguments])
        subprocess.run([*self.as_owner, *command], check=True, cwd="/", stdout=subprocess.DEVNULL)

    def sql(self, database, text, rows=None):
        """Runs statements, or one that is fed with rows; gives the lines of what came back."""
        command = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", self._url("bench", database)]
        if rows is not None:
            command += ["-c", text]
        done = subprocess.run(command, input=text if rows is None else rows, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.split()

    def insert(self, table, columns, rows):
        told = "".join("\t".join(map(str, row)) + "\n" for row in rows)
        self.sql("product", f"COPY {table} ({', '.join(columns)}) FROM STDIN", told)

    def run(self, statements):
        """Runs statements that belong together; that rows belong to others is not looked at."""
        self.sql("product", f"SET session_replication_role = replica; BEGIN; {statements}; COMMIT;")

    def columns(self, table):
        """The columns that are written."""
        return self.sql("product", "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' "
                                   f"AND table_name = '{table}' AND is_generated = 'NEVER' ORDER BY ordinal_position")

    def settle(self):
        self.sql("product", "VACUUM ANALYZE;")
        self.sql("product", "CHECKPOINT")

    def paths(self, ids):
        listed = ", ".join(f"('{one}', {at})" for at, one in enumerate(ids))
        return self.sql("product", f"SELECT a.path FROM (VALUES {listed}) AS told (id, at) "
                                   "JOIN accounts a ON a.id = told.id ORDER BY told.at")

    def counts(self):
        told = self.sql("product", "".join(f"SELECT COUNT(*) FROM {table};" for table in ORDERED))
        return dict(zip(ORDERED, map(int, told)))

    def pgbench(self, script, clients, seconds):
        """Runs the script; what it takes to connect so many clients is not counted."""
        prefix = os.path.join(os.path.dirname(self.folder), "pgbench_log")
        command = [shutil.which("pgbench") or os.path.join(self.programs, "pgbench"), "-n", "-M", "prepared", "-c", clients,
                   "-j", 1, "-T", str(int(seconds + 3)), "-f", script, "-l", "--log-prefix", prefix,
                   self._url("bench", "pgbench")]
        running = subprocess.Popen(machine.pinned(machine.LOAD_CORE, command), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        empty = self._placed()
        while self._placed() == empty and running.poll() is None:
            time.sleep(0.1)
        time.sleep(0.5)
        done, cpu, begun = self._placed(), machine.cpu_us(self.pids), time.time()
        time.sleep(seconds)
        cpu, ended, done = machine.cpu_us(self.pids) - cpu, time.time(), self._placed() - done
        _, told = running.communicate()
        if running.returncode or not done:
            raise RuntimeError(f"pgbench: {told}")
        latencies = []
        for name in glob.glob(prefix + ".*"):
            with open(name) as file:
                for line in file:
                    fields = line.split()
                    if begun <= float(f"{fields[4]}.{int(fields[5]):06}") <= ended:
                        latencies.append(int(fields[2]) / 1000)
            os.remove(name)
        latencies.sort()
        return {"requests": done, "seconds": ended - begun, "per_second": done / (ended - begun), "cpu_us": cpu / done,
                "p50_ms": latencies[len(latencies) // 2], "p99_ms": latencies[len(latencies) * 99 // 100]}

    def _placed(self):
        return int(self.sql("pgbench", "SELECT last_value FROM placed_id_seq")[0])

    def close(self):
        self._server("pg_ctl", "-D", self.folder, "-m", "immediate", "-w", "stop")


def programs():
    """The folder of PostgreSQL's server programs, of the newest version that is here."""
    found = [os.path.dirname(path) for path in glob.glob("/usr/lib/postgresql/*/bin/initdb")]
    if shutil.which("initdb"):
        found.append(os.path.dirname(os.path.realpath(shutil.which("initdb"))))
    if not found:
        raise SystemExit("benches/run: PostgreSQL's server programs are missing; make services installs them")
    return max(found, key=lambda folder: [int(part) for part in folder.split("/") if part.isdigit()])
