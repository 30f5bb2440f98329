"""The processes of the benchmark: servers on one core, load on another, and what they use."""

import os
import shutil
import socket
import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[1]
MESSAGE, REPLY = "Testando conexão", "SERVER OK - STATUS 200"
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]
SECONDS_TO_START = 20.0
SLICES = 5

# Not the one of the virtual environment, whose start includes what is installed there.
PYTHON = os.path.realpath(sys.executable)
# As in the image, where nothing is installed: a host's .pth files may import what they like.
BARE_PYTHON = [PYTHON, "-S"]
ENVIRONMENT = {"PATH": os.environ["PATH"]}
# More connections than the default: 10,000 are measured.
OURS = ENVIRONMENT | {"HOST": "127.0.0.1", "MAX_CONNECTIONS": "20000", "PYTHONPATH": str(ROOT)}


class Unavailable(Exception):
    """Something that is measured, or measured with, is not on this machine."""


def build(folder: Path) -> None:
    """Compile the floor and the load. Raises Unavailable where there is no C compiler."""
    compiler = os.environ.get("CC", "cc")
    if not shutil.which(compiler):
        raise Unavailable(f"no C compiler ({compiler})")
    for name in ("floor", "load"):
        source = ROOT / "bench" / f"{name}.c"
        subprocess.run([compiler, "-O2", "-o", folder / name, source], check=True, timeout=60)


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process, whatever it does."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()


class Server:
    """One of the servers, on a core of its own and a port that was free, until the block ends."""

    def __init__(self, name: str, built: Path) -> None:
        self.name = name
        self.reply = REPLY
        self.port = free_port()
        self._log_reader: subprocess.Popen[bytes] | None = None
        port = str(self.port)
        environment = ENVIRONMENT
        logging = name == "ours, logging"
        if name == "floor":
            command = [str(built / "floor"), port, REPLY]
        elif name.startswith("ours"):
            command = [PYTHON, "-m", "app.server"]
            environment = OURS | {"PORT": port, "LOG_LEVEL": "INFO" if logging else "WARNING"}
        elif name == "socat":
            if not shutil.which("socat"):
                raise Unavailable("socat is not installed")
            command = ["socat", f"TCP-LISTEN:{port},fork,reuseaddr,backlog=4096", "PIPE"]
            self.reply = MESSAGE
        else:
            packages = sysconfig.get_path("purelib")
            environment = ENVIRONMENT | {"PYTHONPATH": packages}
            command = [PYTHON, str(ROOT / "bench" / "servers.py"), name, port, REPLY]
        self._errors = built / "errors"
        with self._errors.open("wb") as errors:
            stderr = subprocess.PIPE if logging else errors
            self._process = subprocess.Popen(command, env=environment, stderr=stderr, cwd="/")
        self.pid = self._process.pid
        os.sched_setaffinity(self.pid, {SERVER_CORE})
        if self._process.stderr:
            self._log_reader = subprocess.Popen(
                ["cat"], stdin=self._process.stderr, stdout=subprocess.DEVNULL
            )

    def __enter__(self) -> Self:
        until = time.monotonic() + SECONDS_TO_START
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > until:
                    self.__exit__(None, None, None)
                    said = self._errors.read_text(errors="replace")[:2000]
                    raise RuntimeError(f"{self.name} does not start: {said}") from error
                time.sleep(0.01)

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        stop(self._process)
        if self._log_reader:
            stop(self._log_reader)

    def cpu(self) -> float:
        """Return the CPU seconds that the server has used, with those of its children."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        ended = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return ended + sum(map(_cpu_clock, [self.pid, *map(int, children)]))

    def resident(self) -> float:
        """Return its resident memory in KiB."""
        return resident(self.pid)

    def wakeups(self) -> int:
        """Return how often it has gone to sleep, which is how often it was woken."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def _cpu_clock(pid: int) -> float:
    # clock_getcpuclockid(3): in nanoseconds, and with the threads that have ended.
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0  # a child that has just ended


def resident(pid: int) -> float:
    """Return the resident memory of a process in KiB, exactly: statm is an estimate."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return float(rollup.partition("\nRss:")[2].split()[0])


class Load:
    """A load on a server, from the core beside it, until the block ends: see load.c."""

    def __init__(self, server: Server, mode: str, connections: int, built: Path) -> None:
        command = [str(built / "load"), str(server.port), mode, str(connections)]
        self._process = subprocess.Popen(
            [*command, MESSAGE, server.reply], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        stop(self._process)

    def exchanges(self) -> int:
        """Return how many exchanges there have been, once all connections are open."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def cpu_per_exchange(
    server: Server, mode: str, connections: int, seconds: float, built: Path
) -> float:
    """Return the microseconds of the server's CPU that one exchange takes, once it is warm.

    That is the median of a few slices of the time: what else a machine does comes in short bursts.
    """
    costs = []
    with Load(server, mode, connections, built) as load:
        load.exchanges()
        time.sleep(seconds / 3)
        for _ in range(SLICES):
            cpu, before = server.cpu(), load.exchanges()
            exchanges = 0
            while not exchanges:  # a busy machine may need more time; the load ends itself one day
                time.sleep(seconds / SLICES)
                exchanges = load.exchanges() - before
            costs.append((server.cpu() - cpu) / exchanges * 1e6)
    return statistics.median(costs)
