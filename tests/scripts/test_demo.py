"""The pair without Docker, played to its end: scripts.demo as `make demo` runs it."""

import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import PATIENCE, ROOT

# Both wait, so that a signal comes while they do.
STAYING = {"RETRY_DELAY": "30", "DRAIN_TIMEOUT": "0"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/proc/self/environ").exists(),
        reason="which processes are left is read from /proc",
    ),
]


class Demo:
    """The demo as a process, in an environment that all its processes are known by."""

    def __init__(self, *command: str, **env: str) -> None:
        self._mark = f"DEMO={secrets.token_hex(8)}"
        environ = {"RETRY_DELAY": "0.1"} | env | dict([self._mark.split("=")])
        self.process = subprocess.Popen(
            [sys.executable, *(command or ["-m", "scripts.demo"])],
            cwd=ROOT,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        self._shown: list[str] = []

    def wait_for(self, text: str) -> None:
        """Read what it shows, up to a line with this text."""
        assert self.process.stdout
        for line in self.process.stdout:
            self._shown.append(line)
            if text in line:
                return
        raise AssertionError(f"no {text!r} in {self._shown}")

    def end(self) -> tuple[int, list[str]]:
        """Wait for its end; return the exit code, and the lines that it has shown."""
        assert self.process.stdout
        self._shown += self.process.stdout
        return self.process.wait(PATIENCE), [line.rstrip() for line in self._shown]

    def processes(self) -> list[int]:
        """Find what there is of it, and of those that it has started."""
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):  # gone meanwhile, or somebody else's
                if self._mark.encode() in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
        return found

    def clean_up(self) -> None:
        """Leave nothing of a test that has failed."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


@pytest.fixture
def demos() -> Iterator[list[Demo]]:
    """Return where to put each demo that a test starts."""
    started: list[Demo] = []
    yield started
    for demo in started:
        demo.clean_up()


@pytest.mark.parametrize(
    ("env", "shown", "code", "last"),
    [
        (
            {"REPLY": r"pronto\x21"},
            "client | pronto!",
            0,
            "the client ended with exit code 0: all went well",
        ),
        (
            {"MESSAGE": "", "REPLY_TIMEOUT": "0.1", "DEADLINE": "0.5"},
            "0 of 22 bytes",
            75,
            "the client ended with exit code 75: the reply did not come in time",
        ),
        (
            {"WRONG_REPLY": "no"},
            "WRONG_REPLY='no' is not valid",
            78,
            "the client ended with exit code 78: a value is not valid",
        ),
        (
            {"IDLE_TIMEOUT": "soon"} | STAYING,
            "IDLE_TIMEOUT='soon' is not valid",
            78,
            "the server ended before the client with exit code 78: a value is not valid",
        ),
    ],
    ids=["reply", "failure", "bad value", "server first"],
)
def test_how_it_ends(
    demos: list[Demo], env: dict[str, str], shown: str, code: int, last: str
) -> None:
    """It shows both logs and the result, explains how it ended, and passes that on."""
    demos.append(demo := Demo(**env))
    exit_code, lines = demo.end()

    assert exit_code == code
    assert any(shown in line for line in lines)
    assert lines[-1] == last
    assert demo.processes() == []


def test_the_client_comes_first(demos: list[Demo]) -> None:
    """The server starts once the client has found nobody, and both logs show it."""
    demos.append(demo := Demo())
    _, lines = demo.end()

    assert re.fullmatch(r"client \| .* Connection refused \(attempt 1, .*", lines[1])
    assert re.fullmatch(r"server \| .* listening on 127\.0\.0\.1:\d+", lines[2])
    assert any("right reply from 127.0.0.1:" in line for line in lines[3:])


def test_a_client_that_does_not_say_that_it_waits(demos: list[Demo]) -> None:
    """Where LOG_LEVEL hides it, the server starts all the same, after a while."""
    code = "from scripts import demo, pair; pair.PATIENCE = 0.3; raise SystemExit(demo.main())"
    demos.append(demo := Demo("-c", code, LOG_LEVEL="ERROR"))

    assert demo.end() == (
        0,
        [
            "starting the client; the server follows once the client waits",
            "client | SERVER OK - STATUS 200",
            "the client ended with exit code 0: all went well",
        ],
    )


@pytest.mark.parametrize(
    ("numbers", "moment"),
    [
        ([signal.SIGINT], "starting"),
        ([signal.SIGINT], "client | "),
        ([signal.SIGINT], "listening"),
        ([signal.SIGINT, signal.SIGINT], "listening"),
        ([signal.SIGTERM], "listening"),
        ([signal.SIGHUP], "listening"),
    ],
)
def test_a_signal(demos: list[Demo], numbers: list[signal.Signals], moment: str) -> None:
    """Whenever it is interrupted, it says so, and has ended both of its processes."""
    demos.append(demo := Demo(**STAYING))
    demo.wait_for(moment)
    for number in numbers:
        demo.process.send_signal(number)
    exit_code, lines = demo.end()

    assert exit_code == 128 + numbers[0]
    assert lines[-1] == "interrupted; nothing is left running"
    assert demo.processes() == []


@pytest.mark.parametrize(
    ("number", "code", "last"),
    [
        (signal.SIGTERM, 1, "exit code 0: something else has stopped it"),
        (signal.SIGKILL, 137, "exit code 137: killed; out of memory?"),
    ],
)
def test_a_server_that_others_end(
    demos: list[Demo], number: signal.Signals, code: int, last: str
) -> None:
    """A server that ends before the client is a failure, and told as one, whatever its code."""
    demos.append(demo := Demo(**STAYING))
    demo.wait_for("listening")
    (server,) = (
        pid
        for pid in demo.processes()
        if b"app.server" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    os.kill(server, number)
    exit_code, lines = demo.end()

    assert exit_code == code
    assert lines[-1] == f"the server ended before the client with {last}"
    assert demo.processes() == []


def test_nobody_reads(demos: list[Demo]) -> None:
    """It goes on to its end where nobody reads what it shows, as in `make demo | head -1`."""
    demos.append(demo := Demo(RETRY_DELAY="0.5"))
    demo.wait_for("client | ")
    assert demo.process.stdout
    demo.process.stdout.close()

    assert demo.process.wait(PATIENCE) == 0
    assert demo.processes() == []
