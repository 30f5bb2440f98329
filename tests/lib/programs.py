"""The programs as processes, as a user starts them."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import Any, NamedTuple, Self

import psutil

from tests.lib.peers import Address, connect, own_address
from tests.lib.support import PATIENCE, ROOT, until

_LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR) (.+)")


class Outcome(NamedTuple):
    """The exit code and the output of a program."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """The JSON object that must be the only line of stdout."""
        (line,) = self.stdout.splitlines()
        result: dict[str, Any] = json.loads(line)
        return result


class Program:
    """A process of one of our programs, with only the given environment variables.

    ``prefix`` is a command that runs it, such as ``("prlimit", "--nofile=64")``; ``before`` is
    Python code that runs first and may change ``program``, its module. ``usage`` has its CPU,
    memory and descriptors, as the kernel counts them.
    """

    def __init__(
        self,
        module: str,
        env: Mapping[str, str],
        *arguments: str,
        prefix: Sequence[str] = (),
        before: str = "",
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> None:
        run = f"import sys\nfrom app import {module} as program\n{before}\nsys.exit(program.main())"
        command = ["-c", run] if before else ["-m", f"app.{module}"]
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - __exit__ closes it
        self.process = subprocess.Popen(
            [*prefix, sys.executable, *command, *arguments],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=self._stderr if stderr is None else stderr,
        )
        self.usage = psutil.Process(self.process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:
            self.process.kill()
        self._stderr.close()

    @property
    def stderr(self) -> str:
        """The text that the program has written to stderr so far."""
        number = self._stderr.fileno()
        # The program shares the position in the file: a read must not move it.
        return os.pread(number, os.fstat(number).st_size, 0).decode(errors="surrogateescape")

    @property
    def log(self) -> list[str]:
        """The log lines so far, without their times: ``INFO listening on 127.0.0.1:4321``."""
        # Not splitlines(), which splits at more characters than the reader of a log does.
        lines = self.stderr.split("\n")[:-1]
        return [
            " ".join(m.groups()) if (m := _LOG_LINE.fullmatch(line)) else line for line in lines
        ]

    def wait_for(self, pattern: str, count: int = 1) -> re.Match[str]:
        """Wait for the count-th log line that matches a regular expression; return the match."""

        def matches() -> list[re.Match[str]]:
            return [match for line in self.log if (match := re.search(pattern, line))]

        awaited = f"line {count} with {pattern!r} in the log"
        until(
            lambda: self.log,
            is_right=lambda _: len(matches()) >= count or self.process.poll() is not None,
            awaited=awaited,
        )
        assert len(matches()) >= count, f"ended without {awaited}: {self.log}"
        return matches()[count - 1]

    def signal(self, number: int) -> None:
        """Send the program a signal."""
        self.process.send_signal(number)

    def freeze(self) -> None:
        """Suspend the program, so that everything that is sent to it waits until ``thaw``."""
        self.usage.suspend()
        until(self.usage.status, is_right=psutil.STATUS_STOPPED.__eq__)

    def thaw(self) -> None:
        """Resume the program."""
        self.signal(signal.SIGCONT)

    def outcome(self) -> Outcome:
        """Wait until the program ends, and return its outcome."""
        stdout, _ = self.process.communicate(timeout=PATIENCE)
        text = (stdout or b"").decode(errors="surrogateescape")
        return Outcome(self.process.returncode, text, self.stderr)


Start = Callable[..., Program]


class Server(Program):
    """The server, at an address of its own and a port that the system chooses.

    Unless the test ends the server, it must stop in order: exit code 0, nothing on stdout, and only
    log lines on stderr. The class attribute ``before`` runs in every server.
    """

    before = ""

    def __init__(self, *, prefix: Sequence[str] = (), before: str = "", **env: str) -> None:
        env = {"HOST": own_address(), "PORT": "0"} | env
        super().__init__("server", env, prefix=prefix, before=self.before + before)
        self._clients = ExitStack()

    def __exit__(self, *failure: object) -> None:
        self._clients.close()
        try:
            if failure[0] is None and self.process.poll() is None:
                self.thaw()
                outcome = self.stop()
                assert (outcome.exit_code, outcome.stdout) == (0, "")
                for line in outcome.stderr.splitlines():
                    assert _LOG_LINE.fullmatch(line)
        finally:
            super().__exit__()

    @cached_property
    def address(self) -> Address:
        """The address in the line "listening on", which the log has at LOG_LEVEL INFO or DEBUG."""
        host, port = self.wait_for(r"^INFO listening on (\S+):(\d+)$").groups()
        return host, int(port)

    def connect(self, source: str = "") -> socket.socket:
        """Return a connection from the given local address or a new one; closed at the end."""
        return self._clients.enter_context(connect(self.address, source))

    def stop(self, number: int = signal.SIGTERM) -> Outcome:
        """End the server with a signal, and return its outcome."""
        self.signal(number)
        return self.outcome()


def client_environment(address: Address, **env: str) -> dict[str, str]:
    """Return variables for a client of this address, with a short default DEADLINE."""
    target = {"SERVER_HOST": address[0], "SERVER_PORT": str(address[1])}
    return {"DEADLINE": "10", "RETRY_DELAY": "0.05"} | target | env


def client(
    address: Address, *, prefix: Sequence[str] = (), before: str = "", **env: str
) -> Program:
    """Start the client of this address."""
    return Program("client", client_environment(address, **env), prefix=prefix, before=before)


def run_client(address: Address, *, prefix: Sequence[str] = (), **env: str) -> Outcome:
    """Run the client to its end."""
    with client(address, prefix=prefix, **env) as program:
        return program.outcome()


def redirected(redirection: str) -> tuple[str, ...]:
    """Return the prefix of a program whose streams a shell redirects, such as ``2>&-``."""
    return "sh", "-c", f'exec "$0" "$@" {redirection}'
