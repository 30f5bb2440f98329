"""The processes of the benchmark: servers on one core, load on another, and what they use."""

import mmap
import os
import shutil
import socket
import statistics
import struct
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
SLICES = 3
IN_FLIGHT = 1024  # as in load.c
COUNTER_BYTES = struct.calcsize("ll")

# Not the one of the virtual environment, whose start includes what is installed there.
PYTHON = os.path.realpath(sys.executable)
# As in the image, where nothing is installed: a host's .pth files may import what they like.
BARE_PYTHON = [PYTHON, "-S"]
ENVIRONMENT = {"PATH": os.environ["PATH"]}
SERVER, CLIENT, HEALTH_CHECK = "app.server", "app.client", "app.healthcheck"
# More connections than the default: 10,000 are measured.
OURS = ENVIRONMENT | {"HOST": "127.0.0.1", "MAX_CONNECTIONS": "20000", "PYTHONPATH": str(ROOT)}


def build(folder: Path) -> bool:
    """Compile the floor and the load; return whether there is a C compiler for that."""
    compiler = os.environ.get("CC", "cc")
    if not shutil.which(compiler):
        return False
    for name in ("floor", "load"):
        source = ROOT / "bench" / f"{name}.c"
        subprocess.run([compiler, "-O2", "-o", folder / name, source], check=True, timeout=60)
    return True


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
        self.port = free_port()
        self._log_reader: subprocess.Popen[bytes] | None = None
        port = str(self.port)
        environment = ENVIRONMENT
        logging = name == "ours, logging"
        if name == "floor":
            command = [str(built / "floor"), port, REPLY]
        elif name.startswith("ours"):
            command = [PYTHON, "-m", SERVER]
            environment = OURS | {"PORT": port, "LOG_LEVEL": "INFO" if logging else "WARNING"}
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
        """Return the CPU seconds that it has used, threads included."""
        return time.clock_gettime(~self.pid << 3 | 2)  # clock_getcpuclockid(3)

    def resident(self) -> float:
        """Return its resident memory in KiB, exactly: statm is an estimate."""
        rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return float(rollup.partition("\nRss:")[2].split()[0])

    def wakeups(self) -> int:
        """Return how often it has gone to sleep, which is how often it was woken."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


class Load:
    """A load on a server, from the core beside it, until the block ends: see load.c."""

    def __init__(self, server: Server, mode: str, connections: int, built: Path) -> None:
        path = built / "counter"
        path.write_bytes(bytes(COUNTER_BYTES))
        with path.open("rb") as file:
            self._shared = mmap.mmap(file.fileno(), COUNTER_BYTES, access=mmap.ACCESS_READ)
        command = [str(built / "load"), str(server.port), mode, str(connections)]
        self._process = subprocess.Popen([*command, MESSAGE, REPLY, str(path)])

    def __enter__(self) -> Self:
        while not struct.unpack("ll", self._shared)[1]:
            self._check()
            time.sleep(0.01)
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        stop(self._process)
        self._shared.close()

    def _check(self) -> None:
        if self._process.poll() is not None:
            raise RuntimeError(f"the load ended with {self._process.returncode}, see above")

    def exchanges(self) -> int:
        """Return how many exchanges there have been."""
        self._check()
        return int(struct.unpack("ll", self._shared)[0])


def cpu_per_exchange(
    server: Server, mode: str, connections: int, seconds: float, built: Path
) -> float:
    """Return the microseconds of the server's CPU that one exchange takes, once it is warm.

    That is the median of a few slices of the time: what else a machine does comes in short bursts.
    """
    costs: list[float] = []
    # A slice has many times the exchanges that may be done here and not yet counted there.
    enough = 4 * (connections if mode == "kept" else min(connections, IN_FLIGHT))
    with Load(server, mode, connections, built) as load:
        time.sleep(seconds / 3)
        cpu, exchanges = server.cpu(), load.exchanges()
        while len(costs) < SLICES:
            time.sleep(seconds / SLICES)
            # Together, and once for the end of a slice and the beginning of the next: time that
            # is in the one and not in the other makes an exchange look dear.
            cpu_now, exchanges_now = server.cpu(), load.exchanges()
            if exchanges_now - exchanges >= enough:
                costs.append((cpu_now - cpu) / (exchanges_now - exchanges) * 1e6)
                cpu, exchanges = cpu_now, exchanges_now
    return statistics.median(costs)


def cpu_of_others() -> float:
    """Return the CPU seconds of all but the benchmark, with those that the host took from us."""
    user, nice, system, _, _, _, _, steal, *_ = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    all_of_it = (user + nice + system + steal) / os.sysconf("SC_CLK_TCK")
    return all_of_it - sum(os.times()[:4])  # children that have ended are in it


def kernel_kib() -> float:
    """Return the memory that the kernel has for objects of its own, such as sockets."""
    return float(Path("/proc/meminfo").read_text().partition("\nSlab:")[2].split()[0])
