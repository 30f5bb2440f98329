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

from tqdm import tqdm

from bench.processes import (
    BARE_PYTHON,
    LOAD_CORE,
    OURS,
    PYTHON,
    ROOT,
    SERVER_CORE,
    Load,
    Server,
    Unavailable,
    build,
    cpu_per_exchange,
    free_port,
    stop,
)
from bench.report import Results, write

QUICK = os.environ.get("QUICK", "0") not in {"", "0"}
MODES = ("kept", "new")
SERVERS = (
    "floor",
    "ours",
    "ours, logging",
    "uvloop",
    "sketch",
    "protocol",
    "streams",
    "threads",
    "socat",
)
COUNTS = (1, 16, 64, 256, 1_000, 10_000)
IDLE = 10_000
ROUNDS = 3 if QUICK else 15  # short and many: what else the machine does hits single ones
SCALING_ROUNDS = 2 if QUICK else 4
SECONDS = 0.2 if QUICK else 0.3  # of each figure of CPU
SCALING_SECONDS = 0.2 if QUICK else 0.5  # a first exchange with 10,000 takes 0.15
IDLE_SECONDS = 2 if QUICK else 10
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


def exchange_costs(results: Results, built: Path, bar: "tqdm[None]") -> None:
    """Measure the CPU of one exchange, 64 connections: all servers in turn, new ones each round."""
    servers = list(SERVERS)
    for _ in range(ROUNDS):
        for name in list(servers):
            bar.set_description(name)
            try:
                with Server(name, built) as server:
                    # asyncio is slow until a first connection has closed.
                    cpu_per_exchange(server, "new", 64, SECONDS / 3, built)
                    for mode in MODES:
                        cost = cpu_per_exchange(server, mode, 64, SECONDS, built)
                        results.costs[name, mode].append(cost)
            except Unavailable as reason:
                servers.remove(name)
                results.left_out.append(str(reason))
            bar.update()


def growth(results: Results, built: Path, bar: "tqdm[None]") -> None:
    """Measure the same at growing numbers of connections, ours and the floor in turn."""
    for _ in range(SCALING_ROUNDS):
        for name in ("floor", "ours"):
            with Server(name, built) as server:
                for count in COUNTS:
                    bar.set_description(f"{name}, {count:,} connections")
                    for mode in MODES:
                        cost = cpu_per_exchange(server, mode, count, SCALING_SECONDS, built)
                        results.growth[name, mode, count].append(cost)
                    bar.update()


def memory(results: Results, built: Path, bar: "tqdm[None]") -> None:
    """Measure memory for each idle connection, and what ours does while they idle."""
    for name in ("floor", "ours", "uvloop", "sketch", "protocol", "streams"):
        bar.set_description(f"{name}, {IDLE:,} idle connections")
        with Server(name, built) as server:
            with Load(server, "once", 100, built) as load:
                load.exchanges()
            before = server.resident()
            with Load(server, "once", IDLE, built) as load:
                load.exchanges()
                results.idle_kib[name] = (server.resident() - before) / IDLE
                if name == "ours":
                    cpu, wakeups = server.cpu(), server.wakeups()
                    time.sleep(IDLE_SECONDS)
                    results.idle_cpu = server.cpu() - cpu
                    results.idle_wakeups = server.wakeups() - wakeups
                    results.idle_seconds = IDLE_SECONDS
        bar.update()


def rest(results: Results, bar: "tqdm[None]") -> None:
    """Measure the server's memory at rest, here and in its image where there can be one."""
    bar.set_description("memory at rest")
    script = (ROOT / "bench" / "rest.py").read_bytes()
    commands = {"here": [PYTHON, "-"]}
    image = server_image()
    if image:
        commands["in the image"] = ["docker", "run", "--rm", "-i", "--network=none"]
        commands["in the image"] += ["--entrypoint=python3", image, "-"]
    for where, command in commands.items():
        for _ in range(3 if QUICK else 7):
            ran = subprocess.run(
                command, input=script, stdout=subprocess.PIPE, cwd=ROOT, check=True, timeout=60
            )
            results.rest[where].append(tuple(map(int, ran.stdout.split())))
    if not image:
        results.left_out.append("memory in the image: no Docker, or no base image yet (make run)")
    bar.update()


def server_image() -> str:
    """Build the server's image and return its name; empty where the base image is not there."""
    base = "python:3.14-slim"
    env = ROOT / ".env"
    for line in env.read_text().splitlines() if env.exists() else ():
        if line.startswith("PYTHON_IMAGE="):
            base = line.partition("=")[2]
    base = os.environ.get("PYTHON_IMAGE", base)
    build = [
        "docker",
        "build",
        "--quiet",
        "--file=Dockerfile.server",
        f"--build-arg=PYTHON_IMAGE={base}",
        ".",
    ]
    try:
        subprocess.run(
            ["docker", "image", "inspect", base], capture_output=True, check=True, timeout=20
        )
        built = subprocess.run(build, cwd=ROOT, capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return ""
    return built.stdout.decode().strip()


def starts(results: Results, built: Path, bar: "tqdm[None]") -> None:
    """Measure whole processes in turn: the client, the health check, and Python with socket."""
    with Server("ours", built) as server:
        port = str(server.port)
        environment = OURS | {"PORT": port, "SERVER_HOST": "127.0.0.1", "SERVER_PORT": port}
        commands = {
            "socket": [*BARE_PYTHON, "-c", "import socket"],
            "client": [*BARE_PYTHON, "-m", "app.client"],
            "healthcheck": [*BARE_PYTHON, "-m", "app.healthcheck"],
        }
        for _ in range(STARTS):
            for name, command in commands.items():
                bar.set_description(f"one {name} process")
                began = time.perf_counter()
                subprocess.run(
                    command, env=environment, capture_output=True, check=True, timeout=60
                )
                results.starts[name].append(time.perf_counter() - began)
            bar.update()


def waits(results: Results, bar: "tqdm[None]") -> None:
    """Measure from a server's listening to the end of a client that waits for it."""
    for _ in range(WAITS):
        bar.set_description("a waiting client")
        port = str(free_port())
        environment = OURS | {"PORT": port, "SERVER_HOST": "127.0.0.1", "SERVER_PORT": port}
        environment["RETRY_DELAY"] = str(RETRY_DELAY)
        client, server = ([*BARE_PYTHON, "-m", f"app.{name}"] for name in ("client", "server"))
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
        bar.update()


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
    steps = ROUNDS * len(SERVERS) + SCALING_ROUNDS * 2 * len(COUNTS) + 6 + 1 + STARTS + WAITS
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        tqdm(
            total=steps,
            bar_format="{l_bar}{bar}| {elapsed}",
            mininterval=0.5 if sys.stderr.isatty() else 10,
        ) as bar,
    ):
        built = Path(folder)
        try:
            build(built)
            exchange_costs(results, built, bar)
            growth(results, built, bar)
            memory(results, built, bar)
        except Unavailable as reason:
            results.left_out.append(f"every figure under load: {reason}")
        rest(results, bar)
        starts(results, built, bar)
        waits(results, bar)
        bar.set_description("done")
    results.seconds = time.monotonic() - began
    print(write(results, ROOT / "bench" / "results" / ("quick" if QUICK else "results")))


if __name__ == "__main__":
    main()
