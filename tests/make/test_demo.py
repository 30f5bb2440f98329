"""`make demo`: the pair without Docker."""

import os
import re
import signal
import sys

import pytest

from scripts import demo
from tests.lib.project import Project, shown
from tests.lib.support import linux_only

DEMO = (sys.executable, "-m", "scripts.demo")
# Which processes are left is read from /proc.
pytestmark = [pytest.mark.slow, linux_only]


def test_demo_starts_client_first_and_names_its_exit_code(project: Project) -> None:
    """The client starts first, and no locale loses a line."""
    env = {"REPLY": "another", "WRONG_REPLY": "fail", "PYTHONIOENCODING": "ascii"}
    code, lines = project.run(*DEMO, MESSAGE="\xe9", RETRY_DELAY="0.1", **env)

    assert code == 0
    assert re.fullmatch(r"client \| .* Connection refused \(attempt 1, .*", lines[1])
    assert re.fullmatch(r"server \| .* listening on 127\.0\.0\.1:\d+", lines[2])
    assert any(line.endswith(r": \xe9") for line in lines)
    assert "client | another" in lines
    assert lines[-1] == "the client ended with exit code 0: all went well"
    assert project.processes() == []


def test_server_starts_after_a_while_if_the_log_hides_that_the_client_waits(
    project: Project,
) -> None:
    """LOG_LEVEL=ERROR does not keep the server from starting."""
    env = {"LOG_LEVEL": "ERROR", "RETRY_DELAY": "0.1"}
    code, lines = project.call("demo", patch="pair.PATIENCE = 0.3", **env)

    assert (code, lines[1]) == (0, "client | SERVER OK - STATUS 200")


def test_ctrl_c_ends_both_processes(project: Project) -> None:
    """Ctrl-C ends client and server, and the demo reports it."""
    process = project.start(*DEMO, RETRY_DELAY="30", DRAIN_TIMEOUT="0")
    shown(process, "listening")
    process.send_signal(signal.SIGINT)

    assert project.ended(process)[-1] == "interrupted; nothing is left running"
    assert process.returncode == 128 + signal.SIGINT
    assert project.processes() == []


def test_port_is_below_those_that_the_system_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's port is no ephemeral one, which a client on this host may take first."""
    for pid in (1, 19_999, 49_999):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        assert 1024 < demo.free_port() < 32_768
