"""`make run` and `make demo`, and their interruption; tests/docker has real containers."""

import os
import re
import signal
import sys

import pytest

from scripts import demo
from tests.lib.project import Project, shown
from tests.lib.support import until

pytestmark = pytest.mark.slow

RUN = ("python3", "-m", "scripts.run")
DEMO = (sys.executable, "-m", "scripts.demo")
# Containers that run until `down`, and print a line if a signal reaches them.
STAYING = {
    "start --attach *": """
        trap 'echo reached' INT TERM HUP
        echo 'T INFO waiting for x'; until [ -e down ]; do sleep 0.02; done"""
}
HANGING = "exec sleep 60"
# The last `docker compose down` hangs; the first runs before the containers are created.
HANGING_DOWN = {"compose down": f"! grep -q 'start --attach' calls || {HANGING}"}
SERVER_ENDED = "the server ended before the client with exit code"
DOWN = "docker compose down"


def called(project: Project, command: str) -> None:
    """Wait until docker is called with this command."""
    until(lambda: any(call.startswith(f"docker {command}") for call in project.calls))


def test_run_shows_both_logs_and_the_result(project: Project) -> None:
    """`make run` starts the client, then the server, shows both logs and takes the pair down."""
    code, lines = project.run("make", "run")

    assert code == 0
    assert lines[1] == "client | T INFO waiting for 198.18.0.2:8888"
    # Client and server are two processes: their last lines arrive in any order.
    both = ["client | SERVER OK - STATUS 200", r"server | T INFO listening \xff"]
    assert sorted(lines[2:-1]) == both
    assert lines[-1] == "the client ended with exit code 0: all went well"
    assert project.calls[-3:] == [
        "docker start --attach container-of-client",
        "docker start --attach container-of-server",
        DOWN,
    ]
    assert project.calls.index(DOWN) < project.calls.index("docker compose up --no-start")


@pytest.mark.parametrize(
    ("answers", "code", "said", "down"),
    [
        ({"start --attach *server": "exit 0"}, 1, f"{SERVER_ENDED} 0: see its log above", 2),
        (
            {"start --attach *server": "kill -9 $$"},
            137,
            f"{SERVER_ENDED} 137: see its log above",
            2,
        ),
        ({"compose up *": "echo no room >&2; exit 1"}, 1, "docker compose up: no room", 2),
        ({"compose ps --quiet": "echo abc"}, 1, "The pair is already running: make down first.", 0),
    ],
)
def test_failure_is_reported_and_own_pair_taken_down(
    project: Project, answers: dict[str, str], code: int, said: str, down: int
) -> None:
    """A failed run reports its reason and takes its own pair down, but no other run's pair."""
    project.answer("docker", answers | STAYING)
    returned, lines = project.call("run")

    assert (returned, lines[-1]) == (code, said)
    assert project.calls.count(DOWN) == down


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_takes_the_pair_down(project: Project, number: int) -> None:
    """Ctrl-C, SIGTERM and a closed terminal end the run and take the pair down."""
    project.answer("docker", STAYING)
    process = project.start(*RUN)
    shown(process, "client | ")
    os.killpg(process.pid, number)
    lines = project.ended(process)

    assert process.returncode == 128 + number
    assert lines[-1] == "interrupted; nothing is left running"
    assert not any("reached" in line for line in lines)
    assert project.calls.count(DOWN) == 2


def test_ctrl_c_while_the_pair_is_created_takes_it_down(project: Project) -> None:
    """Ctrl-C while Docker creates the pair takes it down once it is created."""
    project.answer("docker", STAYING)
    project.answer("docker", {"compose up *": "until [ -e go ]; do sleep 0.02; done; rm down"})
    process = project.start("make", "run")
    called(project, "compose up")
    os.killpg(process.pid, signal.SIGINT)
    (project.folder / "go").touch()

    assert project.ended(process)[-1] == "interrupted; nothing is left running"
    assert project.calls.count(DOWN) == 2


@pytest.mark.parametrize(
    ("answers", "awaited", "down"),
    [({"compose build": HANGING}, "compose build", 0), (HANGING_DOWN, "start --attach", 2)],
)
def test_ctrl_c_ends_the_run_at_once(
    project: Project, answers: dict[str, str], awaited: str, down: int
) -> None:
    """Ctrl-C during the build, or a second Ctrl-C during the end, does not wait for Docker."""
    project.answer("docker", answers | STAYING)
    process = project.start(*RUN)
    called(project, awaited)
    os.killpg(process.pid, signal.SIGINT)
    if down:
        until(lambda: project.calls.count(DOWN) == down)
        os.killpg(process.pid, signal.SIGINT)

    project.ended(process)
    assert process.returncode == -signal.SIGINT
    assert project.calls.count(DOWN) == down


def test_demo_starts_client_first_and_names_its_exit_code(project: Project) -> None:
    """The demo starts the client first, and its last line names the client's exit code."""
    # No line is lost, even if the output's encoding is ASCII.
    env = {"REPLY": "another", "WRONG_REPLY": "fail", "PYTHONIOENCODING": "ascii"}
    code, lines = project.run(*DEMO, MESSAGE="\xe9", RETRY_DELAY="0.1", **env)

    assert code == 0
    assert re.fullmatch(r"client \| .* Connection refused \(attempt 1, .*", lines[1])
    assert re.fullmatch(r"server \| .* listening on 127\.0\.0\.1:\d+", lines[2])
    assert any(line.endswith(r": \xe9") for line in lines)
    assert "client | another" in lines
    assert lines[-1] == "the client ended with exit code 0: all went well"
    assert project.processes() == []


def test_demo_starts_the_server_even_if_the_client_logs_nothing(project: Project) -> None:
    """The demo starts the server after a while, even if LOG_LEVEL hides the client's wait."""
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


def test_demo_port_is_not_ephemeral(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's port is below the ephemeral ports, which a client on this host may take."""
    for pid in (1, 19_999, 49_999):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        assert 1024 < demo.free_port() < 32_768
