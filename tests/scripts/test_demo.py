"""The pair without Docker, played to its end: scripts.demo as `make demo` runs it."""

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.scripts.conftest import Project, ended, shown
from tests.support import PATIENCE, linux_only

DEMO = (sys.executable, "-m", "scripts.demo")
# Both wait, so that a signal comes while they do.
STAYING = {"RETRY_DELAY": "30", "DRAIN_TIMEOUT": "0"}

# Which processes are left is read from /proc.
pytestmark = [pytest.mark.slow, linux_only]


@pytest.fixture
def demo(project: Project) -> Project:
    """Return a project whose client is quick to try again."""
    project.env["RETRY_DELAY"] = "0.1"
    return project


@pytest.mark.parametrize(
    ("env", "said", "code", "last"),
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
def test_how_it_ends(demo: Project, env: dict[str, str], said: str, code: int, last: str) -> None:
    """The client comes first; both logs and the result are shown, and how it ended, last."""
    with demo.start(*DEMO, **env) as process:
        lines = ended(process)
        assert demo.processes() == []

    assert process.returncode == code
    assert any(said in line for line in lines)
    assert lines[-1] == last
    if code in (0, 75):
        assert re.fullmatch(r"client \| .* Connection refused \(attempt 1, .*", lines[1])
        assert re.fullmatch(r"server \| .* listening on 127\.0\.0\.1:\d+", lines[2])


def test_a_client_that_does_not_say_that_it_waits(demo: Project) -> None:
    """Where LOG_LEVEL hides it, the server starts all the same, after a while."""
    assert demo.call("demo.main", patch="pair.PATIENCE = 0.3", LOG_LEVEL="ERROR") == (
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
def test_a_signal(demo: Project, numbers: list[signal.Signals], moment: str) -> None:
    """Whenever it is interrupted, it says so, and has ended both of its processes."""
    with demo.start(*DEMO, **STAYING) as process:
        shown(process, moment)
        for number in numbers:
            process.send_signal(number)
        lines = ended(process)
        assert demo.processes() == []

    assert process.returncode == 128 + numbers[0]
    assert lines[-1] == "interrupted; nothing is left running"


@pytest.mark.parametrize(
    ("number", "code", "last"),
    [
        (signal.SIGTERM, 1, "exit code 0: something else has stopped it"),
        (signal.SIGKILL, 137, "exit code 137: killed; out of memory?"),
    ],
)
def test_a_server_that_others_end(
    demo: Project, number: signal.Signals, code: int, last: str
) -> None:
    """A server that ends before the client is a failure, and told as one, whatever its code."""
    with demo.start(*DEMO, **STAYING) as process:
        shown(process, "listening")
        for pid in demo.processes():
            if b"app.server" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, number)
        lines = ended(process)
        assert demo.processes() == []

    assert process.returncode == code
    assert lines[-1] == f"the server ended before the client with {last}"


def test_nobody_reads(demo: Project) -> None:
    """It goes on to its end where nobody reads what it shows, as in `make demo | head -1`."""
    with demo.start(*DEMO, RETRY_DELAY="0.5") as process:
        shown(process, "client | ")
        assert process.stdout
        process.stdout.close()

        assert process.wait(PATIENCE) == 0
        assert demo.processes() == []
