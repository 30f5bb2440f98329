"""The pair without Docker, played to its end: scripts.demo as `make demo` runs it."""

import re
import signal
import sys

import pytest

from tests.lib.support import linux_only
from tests.make.conftest import Project, ended, shown

DEMO = (sys.executable, "-m", "scripts.demo")
NO_ANSWER = {"MESSAGE": "", "REPLY_TIMEOUT": "0.1", "DEADLINE": "4"}

# Which processes are left is read from /proc.
pytestmark = [pytest.mark.slow, linux_only]


@pytest.mark.parametrize(
    ("env", "result", "code", "meaning"),
    [
        ({"REPLY": r"pronto\x21"}, "client | pronto!", 0, "all went well"),
        (NO_ANSWER, "0 of 22 bytes", 75, "the reply did not come in time"),
    ],
    ids=["reply", "failure"],
)
def test_how_it_ends(
    project: Project, env: dict[str, str], result: str, code: int, meaning: str
) -> None:
    """The client comes first; both logs and the result are shown, and how it ended, last."""
    exit_code, lines = project.run(*DEMO, RETRY_DELAY="0.1", **env)

    assert exit_code == code
    assert re.fullmatch(r"client \| .* Connection refused \(attempt 1, .*", lines[1])
    assert re.fullmatch(r"server \| .* listening on 127\.0\.0\.1:\d+", lines[2])
    assert any(result in line for line in lines)
    assert lines[-1] == f"the client ended with exit code {code}: {meaning}"
    assert project.processes() == []


def test_a_client_that_does_not_say_that_it_waits(project: Project) -> None:
    """Where LOG_LEVEL hides it, the server starts all the same, after a while."""
    env = {"LOG_LEVEL": "ERROR", "RETRY_DELAY": "0.1"}

    assert project.call("demo.main", patch="pair.PATIENCE = 0.3", **env) == (
        0,
        [
            "starting the client; the server follows once the client waits",
            "client | SERVER OK - STATUS 200",
            "the client ended with exit code 0: all went well",
        ],
    )


@pytest.mark.parametrize("moment", ["client | ", "listening"])
def test_ctrl_c(project: Project, moment: str) -> None:
    """Whether the server is there yet or not, it says so, and has ended what it has started."""
    process = project.start(*DEMO, RETRY_DELAY="30", DRAIN_TIMEOUT="0")
    shown(process, moment)
    process.send_signal(signal.SIGINT)

    assert ended(process)[-1] == "interrupted; nothing is left running"
    assert process.returncode == 128 + signal.SIGINT
    assert project.processes() == []
