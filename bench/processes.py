"""The processes of the benchmark: servers on one core, load on another, and what they use."""

import mmap
import os
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.figures import IMPORT_SOCKET

ROOT = Path(__file__).parents[1]
MESSAGE, REPLY = "Testando conexão", "SERVER OK - STATUS 200"
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]
SECONDS_TO_START = 20.0
SLICES = 3
IN_FLIGHT = 1024  # as in load.c
COUNTER = struct.Struct("ll")  # as in load.c

# Not the one of the virtual environment, whose start includes what is installed there. Without
# site, as in the image, where nothing is installed: a host's .pth files may import anything.
BARE_PYTHON = [os.path.realpath(sys.executable), "-S"]
# More connections than the default: 10,000 are measured.
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "PYTHONPATH": str(ROOT),
    "HOST": "127.0.0.1",
    "SERVER_HOST": "127.0.0.1",
    "MAX_CONNECTIONS": "12000",
}


class Server(NamedTuple):
    """A server that runs."""

    pid: int
    port: int

    def cpu(self) -> float:
        """Return the CPU seconds that it has used, threads included."""
        return time.clock_gettime(~self.pid << 3 | 2)  # clock_getcpuclockid(3)

    def resident_kib(self) -> float:
        """Return its resident memory, exactly: statm is an estimate."""
        rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return float(rollup.partition("\nRss:")[2].split()[0])

    def wakeups(self) -> int:
        """Return how often it went to sleep, which is how often it was woken."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def build(folder: Path) -> None:
    """Compile the floor and the load."""
    for name in ("floor", "load"):
        source = ROOT / "bench" / f"{name}.c"
        compiler = os.environ.get("CC", "cc")
        subprocess.run([compiler, "-O2", "-o", folder / name, source], check=True, timeout=60)


@contextmanager
def running(name: str, built: Path) -> Iterator[Server]:
    """Run one of the servers on a core of its own, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log_level = "INFO" if name == "ours, logging" else "WARNING"
    if name == "floor":
        command = [str(built / "floor"), str(port), REPLY]
    elif name.startswith("ours"):
        command = [*BARE_PYTHON, "-m", "app.server"]
    elif name == IMPORT_SOCKET:
        listen = f"import socket; server = socket.create_server(('127.0.0.1', {port}))"
        command = [*BARE_PYTHON, "-c", f"{listen}; server.accept(); server.accept()"]
    else:
        command = [sys.executable, f"{ROOT}/bench/servers.py", name, str(port), REPLY]
    with ExitStack() as stack:
        errors = stack.enter_context((built / "errors").open("w+b"))
        process = subprocess.Popen(
            command,
            env=ENVIRONMENT | {"PORT": str(port), "LOG_LEVEL": log_level},
            stderr=subprocess.PIPE if name == "ours, logging" else errors,
            cwd="/",
        )
        if process.stderr:  # a log has a reader, as with Docker
            stack.enter_context(
                subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
            )
        stack.enter_context(process)
        stack.callback(process.kill)
        os.sched_setaffinity(process.pid, {SERVER_CORE})
        until = time.monotonic() + SECONDS_TO_START
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                if process.poll() is not None or time.monotonic() > until:
                    said = (built / "errors").read_text(errors="replace")
                    raise RuntimeError(f"{name} does not start: {said}") from None
                time.sleep(0.01)
        yield Server(process.pid, port)


@contextmanager
def loaded(server: Server, mode: str, connections: int, built: Path) -> Iterator[Callable[[], int]]:
    """Load a server from the core beside it, until the block ends (load.c).

    Yield a function that returns the number of exchanges so far.
    """
    path = built / "counter"
    path.write_bytes(bytes(COUNTER.size))
    command = [f"{built}/load", str(server.port), mode, str(connections)]
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), COUNTER.size, access=mmap.ACCESS_READ) as shared,
        subprocess.Popen([*command, MESSAGE, REPLY, str(path)]) as process,
    ):

        def read() -> tuple[int, int]:
            if process.poll() is not None:
                raise RuntimeError(f"the load ended with {process.returncode}, see above")
            exchanges, all_open = COUNTER.unpack(shared)
            return exchanges, all_open

        try:
            while not read()[1]:
                time.sleep(0.01)
            yield lambda: read()[0]
        finally:
            process.kill()


def cpu_per_exchange(
    server: Server, mode: str, connections: int, seconds: float, built: Path
) -> float:
    """Return the microseconds of the server's CPU that one exchange takes, once it is warm.

    That is the median of a few slices of the time: other work on a machine comes in short bursts.
    """
    costs: list[float] = []
    # A slice has many times the exchanges that may be done here and not yet counted there.
    enough = 4 * (connections if mode == "kept" else min(connections, IN_FLIGHT))
    with loaded(server, mode, connections, built) as exchanges:
        time.sleep(seconds / 3)
        cpu, count = server.cpu(), exchanges()
        while len(costs) < SLICES:
            time.sleep(seconds / SLICES)
            # Both are read together, and once for the end of a slice and the start of the next:
            # time that only one of them counts makes an exchange look expensive.
            cpu_now, count_now = server.cpu(), exchanges()
            if count_now - count >= enough:
                costs.append((cpu_now - cpu) / (count_now - count) * 1e6)
                cpu, count = cpu_now, count_now
    return statistics.median(costs)


def cpu_of_others() -> float:
    """Return the CPU seconds of all other processes, and those that the host stole."""
    user, nice, system, _, _, _, _, steal, *_ = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    all_of_it = (user + nice + system + steal) / os.sysconf("SC_CLK_TCK")
    return all_of_it - sum(os.times()[:4])  # children that have ended are in it


def kernel_kib() -> float:
    """Return the memory that the kernel has for objects of its own, such as sockets."""
    return float(Path("/proc/meminfo").read_text().partition("\nSlab:")[2].split()[0])
