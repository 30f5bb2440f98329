"""What make run does, and what interrupts it; tests/docker has real containers."""

import os
import signal

import pytest

from tests.lib.support import until
from tests.make.conftest import Project, ended, shown

pytestmark = pytest.mark.slow

RUN = ("python3", "-m", "scripts.run")
# Containers that stay, so that a signal comes while they run, and say so if it reaches them.
STAYING = {
    "start --attach *": """
        trap 'echo reached' INT TERM HUP
        echo 'T INFO waiting for x'; until [ -e down ]; do sleep 0.02; done"""
}
HANGING = "exec sleep 60"
# At the end, and not before the containers are created.
HANGING_DOWN = {"compose down": f"! grep -q 'start --attach' calls || {HANGING}"}


def called(project: Project, command: str) -> None:
    """Wait until docker has been called so."""
    until(lambda: any(call.startswith(f"docker {command}") for call in project.calls))


def test_the_main_job(project: Project) -> None:
    """The client starts first, the server once it waits; the result and down follow."""
    code, lines = project.run("make", "run")

    assert code == 0
    # Client and server are two processes: what they say last comes in any order.
    assert lines[:2] == [
        "starting the client; the server follows once the client waits",
        "client | T INFO waiting for 198.18.0.2:8888",
    ]
    assert sorted(lines[2:-1]) == ["client | SERVER OK - STATUS 200", "server | T INFO listening"]
    assert lines[-1] == "the client ended with exit code 0: all went well"
    assert project.calls[-7:] == [
        "docker compose down",
        "docker compose up --no-start",
        "docker compose ps --all --quiet client",
        "docker compose ps --all --quiet server",
        "docker start --attach container-of-client",
        "docker start --attach container-of-server",
        "docker compose down",
    ]


@pytest.mark.parametrize(
    ("server", "code", "exit_code"), [("exit 0", 0, 1), ("kill -KILL $$", 137, 137)]
)
def test_a_server_that_ends_first(project: Project, server: str, code: int, exit_code: int) -> None:
    """A server that ends first is a failure, whatever its exit code."""
    project.answer("docker", {"start --attach *server": server} | STAYING)
    said = f"the server ended before the client with exit code {code}: see its log above"

    returned, lines = project.call("run.main")
    assert (returned, lines[-1]) == (exit_code, said)


@pytest.mark.parametrize(
    ("answers", "said", "down"),
    [
        ({"compose ps --quiet": "echo abc"}, "The pair is already running: make down", False),
        ({"compose up *": "echo no room >&2; exit 1"}, "docker compose up: no room", True),
    ],
    ids=["running", "create"],
)
def test_what_goes_wrong(project: Project, answers: dict[str, str], said: str, down: bool) -> None:
    """What this run may have created is taken down, but never another's pair."""
    project.answer("docker", answers)

    assert project.refusal("run.main").startswith(said)
    assert (project.calls[-1] == "docker compose down") == down


def test_two_at_once(project: Project) -> None:
    """The second run leaves the first one's pair alone."""
    project.answer("docker", STAYING)
    first = project.start("make", "run")
    shown(first, "client | ")

    said = "Another `make run` is running here; wait for it to finish."
    assert project.call("run.main") == (1, [said])
    assert project.calls.count("docker compose down") == 1


def test_a_closed_terminal(project: Project) -> None:
    """SIGHUP, which the whole group gets, takes the pair down by Docker."""
    project.answer("docker", STAYING)
    process = project.start(*RUN)
    shown(process, "client | ")
    os.killpg(process.pid, signal.SIGHUP)
    lines = ended(process)

    assert process.returncode == 128 + signal.SIGHUP
    assert lines[-1] == "interrupted; nothing is left running"
    assert not any("reached" in line for line in lines)
    assert project.calls.count("docker compose down") == 2


def test_ctrl_c_while_it_is_created(project: Project) -> None:
    """What Docker is creating is created to its end, and then taken down."""
    project.answer(
        "docker", {"compose up *": "until [ -e go ]; do sleep 0.02; done; rm down"} | STAYING
    )
    process = project.start("make", "run")
    called(project, "compose up")
    os.killpg(process.pid, signal.SIGINT)
    (project.folder / "go").touch()

    assert ended(process)[-1] == "interrupted; nothing is left running"
    assert project.calls.count("docker compose down") == 2


def test_a_second_ctrl_c(project: Project) -> None:
    """The second signal ends the run at once, and the command for what may be left is named."""
    project.answer("docker", HANGING_DOWN | STAYING)
    process = project.start(*RUN)
    shown(process, "client | ")
    os.killpg(process.pid, signal.SIGINT)
    until(lambda: project.calls.count("docker compose down") == 2)
    # Another one, since two of the same may be one.
    os.killpg(process.pid, signal.SIGTERM)

    assert ended(process)[-1] == "interrupted; containers may be left: make down"
    assert process.returncode == 128 + signal.SIGINT


def test_ctrl_c_before_anything_is_created(project: Project) -> None:
    """Ctrl-C during the build ends the run without a word."""
    project.answer("docker", {"compose build": HANGING})
    process = project.start(*RUN)
    called(project, "compose build")
    os.killpg(process.pid, signal.SIGINT)

    assert (ended(process), process.returncode) == ([], -signal.SIGINT)
    assert "docker compose down" not in project.calls


def test_a_docker_that_hangs(project: Project) -> None:
    """A Docker that does not answer is given up, and the command for what may be left is named."""
    project.answer("docker", HANGING_DOWN)
    code, lines = project.call("run.main", patch="docker.ANSWER = 1")

    assert code == 1
    assert lines[-2:] == [
        "docker compose down has not answered for 1 s.",
        "Containers may be left: make down.",
    ]
