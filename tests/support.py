"""What the tests share: both programs as processes, as a user starts them, and peers for them."""

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self, TypeVar

ROOT = Path(__file__).parent.parent
LOOPBACK = "127.0.0.1"
T = TypeVar("T")
REPLY = b"SERVER OK - STATUS 200"
MESSAGE = "Testando conexão".encode()

# Seconds that nothing here takes, even on a busy machine: reached only where a test fails.
PATIENCE = 20.0

_LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR) (.+)")


class Outcome(NamedTuple):
    """What a program leaves behind; ``seconds`` from its start to its end."""

    exit_code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object that stdout must consist of."""
        (line,) = self.stdout.splitlines()
        result: dict[str, Any] = json.loads(line)
        return result


class Program:
    """One of ours as a process, in an environment of nothing but the given variables.

    ``prefix`` is a command that runs it, such as ``("prlimit", "--nofile=64")``.
    """

    def __init__(
        self,
        module: str,
        env: Mapping[str, str],
        *arguments: str,
        prefix: Sequence[str] = (),
        stdout: int = subprocess.PIPE,
    ) -> None:
        self._started = self._ended = time.monotonic()
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", f"app.{module}", *arguments],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )
        self._grown = threading.Condition()
        self._stdout: list[str] = []
        self._stderr: list[str] = []
        # Read all the time: a program must not wait for its test to take what it writes.
        self._readers = [
            threading.Thread(target=self._read, args=(stream, lines))
            for stream, lines in (
                (self.process.stdout, self._stdout),
                (self.process.stderr, self._stderr),
            )
            if stream
        ]
        self._open = len(self._readers)
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.outcome()

    def _read(self, stream: IO[bytes], lines: list[str]) -> None:
        with stream:
            for line in stream:
                with self._grown:
                    lines.append(line.decode(errors="surrogateescape"))
                    self._grown.notify_all()
        with self._grown:
            self._ended = time.monotonic()
            self._open -= 1
            self._grown.notify_all()

    @property
    def log(self) -> list[str]:
        """What it has logged so far, without the times: ``INFO listening on 127.0.0.1:4321``."""
        with self._grown:
            lines = [line.removesuffix("\n") for line in self._stderr]
        return [
            " ".join(m.groups()) if (m := _LOG_LINE.fullmatch(line)) else line for line in lines
        ]

    def wait_for(self, pattern: str, count: int = 1) -> re.Match[str]:
        """Return the match of a regular expression in the count-th line of the log that has one."""
        found: list[re.Match[str]] = []

        def enough() -> bool:
            found[:] = filter(None, (re.search(pattern, line) for line in self.log))
            return len(found) >= count or not self._open

        with self._grown:
            self._grown.wait_for(enough, PATIENCE)
        assert len(found) >= count, f"not {count} of {pattern!r} in {self.log}"
        return found[count - 1]

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def freeze(self) -> None:
        """Stop it in its tracks: what happens until ``thaw`` finds it as if it had been busy."""
        self.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def thaw(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    def outcome(self) -> Outcome:
        """Wait for its end."""
        code = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        seconds = self._ended - self._started
        return Outcome(code, "".join(self._stdout), "".join(self._stderr), seconds)


class RunningServer(Program):
    """The server, listening."""

    def __init__(self, *, prefix: Sequence[str] = (), **env: str) -> None:
        super().__init__("server", {"HOST": LOOPBACK, "PORT": "0"} | env, prefix=prefix)
        try:
            address = self.wait_for(r"^INFO listening on (\S+):(\d+)$")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.address = (address[1], int(address[2]))

    def connect(self, source: str = "") -> socket.socket:
        """Return a connection to it, from the given local address."""
        return socket.create_connection(self.address, PATIENCE, (source, 0) if source else None)

    def stop(self, number: int = signal.SIGTERM) -> Outcome:
        """End it by a signal, and wait for that."""
        self.signal(number)
        return self.outcome()


@contextmanager
def running_server(*, prefix: Sequence[str] = (), **env: str) -> Iterator[RunningServer]:
    """Run the server on loopback, on a port that the system chooses.

    Unless the test has ended it, it must stop in order: exit code 0, nothing on stdout, and in
    the log nothing but lines of the log. At a LOG_LEVEL above INFO its port cannot be known.
    """
    with RunningServer(prefix=prefix, **env) as server:
        yield server
        if server.process.poll() is None:
            server.thaw()
            outcome = server.stop()
            assert (outcome.exit_code, outcome.stdout) == (0, "")
            for line in outcome.stderr.splitlines():
                assert _LOG_LINE.fullmatch(line)


def client_environment(address: tuple[str, int] | None = None, **env: str) -> dict[str, str]:
    """Variables for a client of this address, with a DEADLINE unless there is one already."""
    target = {"SERVER_HOST": address[0], "SERVER_PORT": str(address[1])} if address else {}
    return {"DEADLINE": "10", "RETRY_DELAY": "0.05"} | target | env


def run_client(address: tuple[str, int] | None = None, **env: str) -> Outcome:
    """Run the client to its end."""
    with Program("client", client_environment(address, **env)) as client:
        return client.outcome()


@contextmanager
def listening(serve: Callable[[socket.socket], object]) -> Iterator[tuple[str, int]]:
    """Listen on loopback, and serve each connection in a thread of its own; yield the address.

    A connection that is reset has been served: peers here are there to be left.
    """
    threads: list[threading.Thread] = []

    def serve_one(sock: socket.socket) -> None:
        with sock, suppress(ConnectionResetError, BrokenPipeError):
            sock.settimeout(PATIENCE)
            serve(sock)

    def accept() -> None:
        # accept(2) fails when the listener is shut down below.
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                threads.append(threading.Thread(target=serve_one, args=(sock,)))
                threads[-1].start()

    with socket.create_server((LOOPBACK, 0)) as listener:
        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield listener.getsockname()
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for thread in (acceptor, *threads):
                thread.join(PATIENCE)


def until(condition: Callable[[], T], patience: float = PATIENCE, pause: float = 0.01) -> T:
    """Wait for what can only be looked at, such as a file of /proc; return what was seen."""
    give_up = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < give_up, "it never came to be"
        time.sleep(pause)
    return found


def redirected(redirection: str) -> tuple[str, ...]:
    """Return the prefix of a program whose streams a shell redirects, such as ``2>&-``."""
    return "sh", "-c", f'exec "$0" "$@" {redirection}'


def exchange(sock: socket.socket, reply: bytes = REPLY) -> None:
    """Send the message and get the reply."""
    sock.sendall(MESSAGE)
    assert receive(sock, len(reply)) == reply


def receive(sock: socket.socket, size: int) -> bytes:
    """Return so many bytes, or fewer where the peer ends."""
    data = b""
    while len(data) < size and (chunk := sock.recv(size - len(data))):
        data += chunk
    return data


def receive_all(sock: socket.socket) -> bytes:
    """Return what comes until the peer ends; raises ConnectionResetError if it resets."""
    data = b""
    while chunk := sock.recv(65536):
        data += chunk
    return data


def reset(sock: socket.socket) -> None:
    """Close with RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@contextmanager
def refusing() -> Iterator[socket.socket]:
    """Yield a socket at an address of loopback that refuses connections, until it listens."""
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        yield sock
