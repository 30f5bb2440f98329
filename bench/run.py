"""Measure our server and client beside what people would write or take instead.

``make bench`` writes bench/results/results.md and .svg, ``make bench QUICK=1`` quick.md and
.svg there. Everything is on loopback, in a network namespace where that is permitted.
"""

import fcntl
import os
import random
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dotenv import dotenv_values

from bench.processes import (
    BARE_PYTHON,
    CLIENT,
    HEALTH_CHECK,
    LOAD_CORE,
    OURS,
    PYTHON,
    ROOT,
    SERVER,
    SERVER_CORE,
    Load,
    Server,
    build,
    cpu_of_others,
    cpu_per_exchange,
    free_port,
    kernel_kib,
    stop,
)
from bench.report import MODES, NAMES, Results, write

QUICK = os.environ.get("QUICK", "0") not in {"", "0"}
COUNTS = (1, 16, 256, 10_000)
IDLE = 10_000
IMAGE = "tcp-pair-bench"
ROUNDS = 3 if QUICK else 15  # short and many: what else the machine does hits single ones
SCALING_ROUNDS = 2 if QUICK else 6
IDLE_ROUNDS = 2 if QUICK else 5
SECONDS = 0.2 if QUICK else 0.3  # of each figure of CPU
SCALING_SECONDS = 0.2 if QUICK else 0.5
IDLE_SECONDS = 2 if QUICK else 5
STARTS = 20 if QUICK else 60
WAITS = 12 if QUICK else 40
RETRY_DELAY = 0.25
NAMESPACE = "BENCH_NAMESPACE"


def enter_namespace() -> None:
    """Start again in a network namespace, where no firewall counts or drops a connection."""
    if NAMESPACE in os.environ:
        if os.environ[NAMESPACE]:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                # struct ifreq, SIOCSIFFLAGS and IFF_UP: loopback is down in a new one
                fcntl.ioctl(sock, 0x8914, struct.pack("16sh14x", b"lo", 1))
        return
    command = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
    permitted = shutil.which("unshare") and not subprocess.call(
        [*command, "true"], stderr=subprocess.DEVNULL
    )
    environment = {**os.environ, NAMESPACE: "1" if permitted else ""}
    this = [sys.executable, "-m", "bench.run"]
    os.execvpe(
        command[0] if permitted else this[0], [*(command if permitted else []), *this], environment
    )


def exchange_costs(results: Results, built: Path) -> None:
    """Measure the CPU of one exchange, 64 connections: all servers in turn, new ones each round."""
    for _ in range(ROUNDS):
        for name in NAMES:
            with Server(name, built) as server:
                # asyncio is slow until a first connection has closed.
                cpu_per_exchange(server, "new", 64, SECONDS / 3, built)
                for mode in MODES:
                    cost = cpu_per_exchange(server, mode, 64, SECONDS, built)
                    results.costs[name, mode].append(cost)


def growth(results: Results, built: Path) -> None:
    """Measure the same at growing numbers of connections, ours and the floor in turn."""
    for _ in range(SCALING_ROUNDS):
        for name in ("floor", "ours"):
            with Server(name, built) as server:
                for count in COUNTS:
                    for mode in MODES:
                        cost = cpu_per_exchange(server, mode, count, SCALING_SECONDS, built)
                        results.growth[name, mode, count].append(cost)


def memory(results: Results, built: Path) -> None:
    """Measure memory for each idle connection, and what ours does while they idle."""
    for _ in range(IDLE_ROUNDS):
        for name in ("floor", "ours", "uvloop", "sketch", "protocol", "streams"):
            with Server(name, built) as server:
                with Load(server, "once", 100, built):
                    pass
                before, kernel = server.resident(), kernel_kib()
                with Load(server, "once", IDLE, built):
                    results.idle_kib[name].append((server.resident() - before) / IDLE)
                    if name == "floor":
                        results.kernel_kib.append((kernel_kib() - kernel) / IDLE / 2)
                    if name == "ours":
                        cpu, wakeups = server.cpu(), server.wakeups()
                        time.sleep(IDLE_SECONDS)
                        used = (server.wakeups() - wakeups, server.cpu() - cpu)
                        results.idle.append((IDLE_SECONDS, *used))


def rest(results: Results) -> None:
    """Measure the server's memory at rest, here and in its image where there can be one."""
    script = (ROOT / "bench" / "rest.py").read_bytes()
    commands = {"here": [PYTHON]}
    run = ["docker", "run", "--rm", "--interactive", "--network=none", "--entrypoint=python3"]
    if build_image():
        commands["in the image"] = [*run, IMAGE]
    else:
        results.left_out.append("memory in the image: no Docker, or no base image yet (make run)")
    for where, command in commands.items():
        for _ in range(3 if QUICK else 7):
            ran = subprocess.run(
                [*command, "-", SERVER],
                input=script,
                stdout=subprocess.PIPE,
                cwd=ROOT,
                check=True,
                timeout=60,
            )
            results.rest[where].append(tuple(map(int, ran.stdout.split())))
    if "in the image" in commands:
        subprocess.run(["docker", "image", "rm", IMAGE], capture_output=True, check=False)


def build_image() -> bool:
    """Build the server's image; return whether that went well."""
    base = os.environ.get("PYTHON_IMAGE") or dotenv_values(ROOT / ".env").get("PYTHON_IMAGE")
    build = ["docker", "build", "--file", "Dockerfile.server", "--tag", IMAGE, "."]
    if base:
        build += ["--build-arg", f"PYTHON_IMAGE={base}"]
    try:
        # A base image that is not here is pulled; without a registry that may take for ever.
        subprocess.run(build, cwd=ROOT, capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def starts(results: Results, built: Path) -> None:
    """Measure whole processes in turn: the client, the health check, and Python with socket."""
    with Server("ours", built) as server:
        port = str(server.port)
        environment = OURS | {"PORT": port, "SERVER_HOST": "127.0.0.1", "SERVER_PORT": port}
        commands = {
            "socket": [*BARE_PYTHON, "-c", "import socket"],
            "client": [*BARE_PYTHON, "-m", CLIENT],
            "healthcheck": [*BARE_PYTHON, "-m", HEALTH_CHECK],
        }
        for _ in range(STARTS):
            for name, command in commands.items():
                began = time.perf_counter()
                subprocess.run(
                    command, env=environment, capture_output=True, check=True, timeout=60
                )
                results.starts[name].append(time.perf_counter() - began)


def waits(results: Results, _built: Path) -> None:
    """Measure from a server's listening to the end of a client that waits for it."""
    for _ in range(WAITS):
        port = str(free_port())
        environment = OURS | {"PORT": port, "SERVER_HOST": "127.0.0.1", "SERVER_PORT": port}
        environment["RETRY_DELAY"] = str(RETRY_DELAY)
        client, server = ([*BARE_PYTHON, "-m", name] for name in (CLIENT, SERVER))
        waiting = subprocess.Popen(
            client, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert waiting.stderr
        waiting.stderr.readline()  # its first attempt has failed
        time.sleep(random.uniform(0, RETRY_DELAY))  # the random phase
        serving = subprocess.Popen(server, env=environment, stderr=subprocess.PIPE)
        os.sched_setaffinity(serving.pid, {SERVER_CORE})
        assert serving.stderr
        serving.stderr.readline()  # it listens
        listening = time.perf_counter()
        code = waiting.wait(10)
        results.waits.append(time.perf_counter() - listening)
        stop(serving)
        stop(waiting)
        if code:
            raise RuntimeError(f"the waiting client ended with {code}")


def main() -> None:
    if not sys.platform.startswith("linux"):
        sys.exit("bench: needs Linux, for epoll and /proc")
    enter_namespace()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < IDLE + 100:
        sys.exit(f"bench: needs {IDLE + 100} file descriptors, may have {hard} (ulimit -Hn)")
    os.sched_setaffinity(0, {LOAD_CORE})  # inherited by all but the servers
    results = Results(quick=QUICK, namespace=bool(os.environ[NAMESPACE]))
    began, others = time.monotonic(), cpu_of_others()
    with tempfile.TemporaryDirectory() as folder:
        steps = [exchange_costs, growth, memory]
        if not build(Path(folder)):
            results.left_out.append("every figure under load: no C compiler")
            steps = []
        for step in (*steps, starts, waits):
            print(f"bench: {step.__doc__}", file=sys.stderr)
            step(results, Path(folder))
    # Before Docker is used below, whose work is neither ours by its process nor another's.
    results.others = max(0.0, cpu_of_others() - others) / (time.monotonic() - began)
    rest(results)
    results.seconds = time.monotonic() - began
    print(write(results, ROOT / "bench" / "results" / ("quick" if QUICK else "results")))


if __name__ == "__main__":
    main()
