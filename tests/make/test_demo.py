"""The pair without Docker, played to its end: scripts.demo as `make demo` runs it."""

import re
import signal
import sys

import pytest

from tests.lib.support import linux_only
from tests.make.conftest import Project, ended, shown

DEMO = (sys.executable, "-m", "scripts.demo")
# Which processes are left is read from /proc.
pytestmark = [pytest.mark.slow, linux_only]


def test_how_it_ends(project: Project) -> None:
    """The client starts first, and the last line names its exit code; no locale loses a line."""
    env = {
        "REPLY_TIMEOUT": "0.1",
        "DEADLINE": "2",
        "RETRY_DELAY": "0.1",
        "PYTHONIOENCODING": "ascii",
    }
    code, lines = project.run(*DEMO, MESSAGE="\xe9", REPLY="another", WRONG_REPLY="fail", **env)

    assert code == 0
    assert re.fullmatch(r"client \| .* Connection refused \(attempt 1, .*", lines[1])
    assert re.fullmatch(r"server \| .* listening on 127\.0\.0\.1:\d+", lines[2])
    assert any(line.endswith(r": \xe9") for line in lines)
    assert "client | another" in lines
    assert lines[-1] == "the client ended with exit code 0: all went well"
    assert project.processes() == []


def test_a_silent_client(project: Project) -> None:
    """The server starts after a while if LOG_LEVEL hides that the client waits."""
    env = {"LOG_LEVEL": "ERROR", "RETRY_DELAY": "0.1"}

    assert project.call("demo.main", patch="pair.PATIENCE = 0.3", **env) == (
        0,
        [
            "starting the client; the server follows once the client waits",
            "client | SERVER OK - STATUS 200",
            "the client ended with exit code 0: all went well",
        ],
    )


def test_ctrl_c(project: Project) -> None:
    """Ctrl-C ends both processes."""
    process = project.start(*DEMO, RETRY_DELAY="30", DRAIN_TIMEOUT="0")
    shown(process, "listening")
    process.send_signal(signal.SIGINT)

    assert ended(process)[-1] == "interrupted; nothing is left running"
    assert process.returncode == 128 + signal.SIGINT
    assert project.processes() == []
