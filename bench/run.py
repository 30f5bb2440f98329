"""Measure our server and client beside what people would write or take instead.

``make bench`` writes bench/results/results.md and .svg, ``make bench QUICK=1`` quick.md and
.svg there. Everything is on loopback, in a network namespace if that is permitted.
"""

import ctypes
import fcntl
import os
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.figures import (
    CLIENT,
    CONNECTIONS,
    GROWTH,
    IDLE,
    IMPORT_SOCKET,
    MODES,
    PYZ,
    SERVERS,
    Results,
)
from bench.processes import (
    BARE_PYTHON,
    ENVIRONMENT,
    LOAD_CORE,
    ROOT,
    build,
    cpu_of_others,
    cpu_per_exchange,
    kernel_kib,
    loaded,
    running,
)
from tools.dist import build_pyz

QUICK = os.environ.get("QUICK", "0") not in {"", "0"}
ROUNDS = 3 if QUICK else 15  # short and many: other work on the machine hits single ones
GROWTH_ROUNDS = 2 if QUICK else 6
MEMORY_ROUNDS = 2 if QUICK else 5
SECONDS = 0.2 if QUICK else 0.3  # for each figure of CPU
GROWTH_SECONDS = 0.2 if QUICK else 0.5
IDLE_SECONDS = 2 if QUICK else 5
STARTS = 20 if QUICK else 60


def enter_namespace() -> bool:
    """Enter a network namespace, where no firewall counts or drops a connection.

    Return whether that is permitted.
    """
    clone_newnet, clone_newuser = 0x40000000, 0x10000000
    siocsifflags, iff_up = 0x8914, 1
    user = os.geteuid()
    if ctypes.CDLL(None).unshare(clone_newnet | (clone_newuser if user else 0)):
        return False
    if user:
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    with socket.socket() as sock:  # loopback is down in a new one
        fcntl.ioctl(sock, siocsifflags, struct.pack("16sh14x", b"lo", iff_up))  # struct ifreq
    return True


def exchange_costs(results: Results, built: Path) -> None:
    """Measure the CPU of one exchange, 64 connections: all servers in turn, new ones each round."""
    for _ in range(ROUNDS):
        for name in SERVERS:
            with running(name, built) as server:
                # asyncio is slow until a first connection has closed.
                cpu_per_exchange(server, "new", CONNECTIONS, SECONDS / 3, built)
                for mode in MODES:
                    cost = cpu_per_exchange(server, mode, CONNECTIONS, SECONDS, built)
                    results.costs[name, mode, CONNECTIONS].append(cost)


def growth(results: Results, built: Path) -> None:
    """Measure the same at growing numbers of connections, ours and the floor in turn."""
    for _ in range(GROWTH_ROUNDS):
        for name in ("floor", "ours"):
            with running(name, built) as server:
                for count in GROWTH:
                    for mode in MODES:
                        cost = cpu_per_exchange(server, mode, count, GROWTH_SECONDS, built)
                        results.costs[name, mode, count].append(cost)


def memory(results: Results, built: Path) -> None:
    """Measure memory at rest and for each idle connection, and what wakes our server then."""
    for _ in range(MEMORY_ROUNDS):
        for name in ("ours", IMPORT_SOCKET):
            with running(name, built) as server:
                results.rest_mib[name].append(server.resident_kib() / 1024)
        for name in ("floor", "ours", "uvloop", "sketch", "protocol", "streams"):
            with running(name, built) as server:
                with loaded(server, "once", 100, built):
                    pass
                before, kernel = server.resident_kib(), kernel_kib()
                with loaded(server, "once", IDLE, built):
                    results.idle_kib[name].append((server.resident_kib() - before) / IDLE)
                    if name == "floor":
                        results.kernel_kib.append((kernel_kib() - kernel) / IDLE / 2)
                    if name == "ours":
                        wakeups = server.wakeups()
                        time.sleep(IDLE_SECONDS)
                        results.wakeups.append((server.wakeups() - wakeups) / IDLE_SECONDS)


def starts(results: Results, built: Path) -> None:
    """Measure whole processes in turn: the client, as a file too, and Python with socket."""
    pyz = built / "tcp-pair.pyz"
    build_pyz(pyz)
    commands = {
        IMPORT_SOCKET: ["-c", IMPORT_SOCKET],
        CLIENT: ["-m", "app.client"],
        PYZ: [str(pyz), "client"],
        "python3 -m app.healthcheck": ["-m", "app.healthcheck"],
    }
    with running("ours", built) as server:
        port = str(server.port)
        environment = ENVIRONMENT | {"PORT": port, "SERVER_PORT": port}
        for _ in range(STARTS):
            for name, arguments in commands.items():
                command = [*BARE_PYTHON, *arguments]
                began = time.perf_counter()
                subprocess.run(command, env=environment, capture_output=True, check=True)
                results.starts_ms[name].append((time.perf_counter() - began) * 1e3)


def main() -> None:
    if not sys.platform.startswith("linux"):
        sys.exit("bench: needs Linux, for epoll and /proc")
    if not shutil.which(os.environ.get("CC", "cc")):
        sys.exit("bench: needs a C compiler (Debian: sudo apt-get install gcc libc6-dev)")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < IDLE + 100:
        sys.exit(f"bench: needs {IDLE + 100} file descriptors, may have {hard} (ulimit -Hn)")
    results = Results(quick=QUICK, namespace=enter_namespace())
    os.sched_setaffinity(0, {LOAD_CORE})  # inherited by all but the servers
    began, others = time.monotonic(), cpu_of_others()
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        for step in (exchange_costs, growth, memory, starts):
            print(f"bench: {step.__doc__}", file=sys.stderr)
            step(results, Path(folder))
    results.seconds = time.monotonic() - began
    results.others = max(0.0, cpu_of_others() - others) / results.seconds

    # Late: it starts threads, and a process with threads may not enter a user namespace.
    from bench.report import write

    print(write(results, ROOT / "bench" / "results" / ("quick" if QUICK else "results")))


if __name__ == "__main__":
    main()
