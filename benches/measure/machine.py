"""Processes, the cores they are bound to, the processor time they use and the memory they hold."""

import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import time

TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]


def pinned(core, command):
    return ["taskset", "-c", str(core), *map(str, command)]


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def _stat(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()


def _children(pid):
    """The processes whose parent it is."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if int(_stat(name)[1]) == pid:
                    found.append(int(name))
            except (OSError, IndexError):
                pass
    return found


def cpu_us(pids):
    """What the processes, their children and the children that have ended used, in microseconds."""
    ticks = 0
    for pid in pids:
        fields = _stat(pid)
        ticks += sum(int(fields[at]) for at in (11, 12, 13, 14))
        for child in _children(pid):
            try:
                fields = _stat(child)
                ticks += int(fields[11]) + int(fields[12])
            except OSError:
                # It ended meanwhile; what it used is now its parent's, and counted the next time.
                pass
    return ticks * TICK_US


def settled(pids, seconds=60):
    """Waits until the processes have hardly anything to do."""
    until, before = time.monotonic() + seconds, cpu_us(pids)
    while time.monotonic() < until:
        time.sleep(0.5)
        used, before = cpu_us(pids) - before, cpu_us(pids)
        if used <= 2 * TICK_US:
            return
    raise RuntimeError(f"the processes {pids} do not come to rest")


def pss_mb(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        for line in file:
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    raise RuntimeError(f"no Pss in /proc/{pid}/smaps_rollup")


def await_port(port, process, seconds=30):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode} before it answered")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.001)
    raise RuntimeError(f"nothing listens on port {port}")


def end(process):
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait()


def description():
    model = "unknown processor"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {
        "processor": model,
        "cores": len(CORES),
        "kernel": platform.release(),
        "load": os.getloadavg()[0],
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


class Load:
    """The load generator, on its own core; what it measures belongs to the processes named."""

    def __init__(self, program, seconds):
        self.program, self.seconds = program, seconds

    def run(self, pids, port, path, *, method="GET", headers=(), body="", items=None, skip=0, once=False,
            connections=16, warm=0.3, seconds=None, rate=None, patience=None, refusals=False):
        def command(span, first):
            told = ["load", "--target", f"127.0.0.1:{port}", "--connections", connections, "--seconds", span,
                    "--method", method, "--path", path, "--body", body, "--skip", first]
            for header in headers:
                told += ["--header", header]
            if items:
                told += ["--items", items]
            if rate:
                told += ["--rate", rate]
            if patience:
                told += ["--patience", patience]
            return told + (["--once"] if once else [])

        used = 0
        if warm:
            used = self._ask(command(warm, skip))["requests"] + connections
        before = cpu_us(pids)
        figures = self._ask(command(seconds or self.seconds, skip + used))
        figures["cpu_us"] = (cpu_us(pids) - before) / figures["requests"]
        if figures["refused"] and not refusals:
            raise RuntimeError(f"{method} {path}: {figures['statuses']}, the first: {figures['refusal']}")
        figures["used"] = used + figures["requests"] + connections
        return figures

    def _ask(self, command):
        out = subprocess.run(pinned(LOAD_CORE, [self.program, *command]), capture_output=True, text=True)
        if out.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))}: {out.stderr}")
        return json.loads(out.stdout)


def needed(*programs):
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        raise SystemExit(f"benches/run: needs {', '.join(missing)}")
