"""What make run does, and what interrupts it; tests/containers has real containers."""

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


def called(project: Project, command: str) -> None:
    """Wait until docker has been called so."""
    until(lambda: any(call.startswith(f"docker {command}") for call in project.calls))


def test_the_main_job(project: Project) -> None:
    """Client first, server once it waits, the result, and down: that is all, and its order."""
    assert project.run("make", "run") == (
        0,
        [
            "starting the client; the server follows once the client waits",
            "client | T INFO waiting for 198.18.0.2:8888",
            "server | T INFO listening",
            "client | SERVER OK - STATUS 200",
            "the client ended with exit code 0: all went well",
        ],
    )
    assert project.calls[-7:] == [
        "docker compose build --quiet",
        "docker compose up --no-start",
        "docker compose ps --all --quiet client",
        "docker compose ps --all --quiet server",
        "docker start --attach container-of-client",
        "docker start --attach container-of-server",
        "docker compose down",
    ]


@pytest.mark.parametrize(
    ("server", "code", "last"),
    [
        ("exit 78", 78, "exit code 78: a value is not valid"),
        ("exit 0", 1, "exit code 0: something else has stopped it"),
        ("kill -KILL $$", 137, "exit code 137: killed; out of memory?"),
    ],
    ids=["bad value", "stopped", "killed"],
)
def test_a_server_that_ends_first(project: Project, server: str, code: int, last: str) -> None:
    """That is a failure, whatever its exit code, and told as one."""
    project.answer("docker", {"start --attach *server": server} | STAYING)
    exit_code, lines = project.call("run.main")

    assert exit_code == code
    assert lines[-1] == f"the server ended before the client with {last}"


@pytest.mark.parametrize(
    ("answers", "said", "down"),
    [
        ({"compose ps --quiet": "echo abc"}, "The pair is already running: make down", False),
        ({"compose build *": "exit 17"}, "The images cannot be built, see above.", False),
        ({"compose up *": "echo no room >&2; exit 1"}, "docker compose up: no room", True),
        ({"compose ps --all *": "exit 0"}, "Somebody else is taking the pair down", True),
        ({"version *": "echo no daemon >&2; exit 1"}, "The Docker daemon does not answer", False),
    ],
    ids=["running", "build", "create", "others", "not ready"],
)
def test_what_goes_wrong(project: Project, answers: dict[str, str], said: str, down: bool) -> None:
    """It is said, and what may have been created is taken down, but never another's pair."""
    project.answer("docker", answers)

    assert project.refusal("run.main").startswith(said)
    assert ("docker compose down" in project.calls) == down


def test_two_at_once(project: Project) -> None:
    """The second one says so and leaves the first one's pair alone."""
    project.answer("docker", STAYING)
    first = project.start("make", "run")
    shown(first, "client | ")

    said = "Another make run is at work in this folder: wait for it."
    assert project.call("run.main") == (1, [said])
    assert "docker compose down" not in project.calls


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_it_runs(project: Project, number: signal.Signals) -> None:
    """Ctrl-C, which the whole group gets, takes the pair down by Docker, and says so."""
    project.answer("docker", STAYING)
    process = project.start(*RUN)
    shown(process, "client | ")
    os.killpg(process.pid, number)
    lines = ended(process)

    assert process.returncode == 128 + number
    assert lines[-1] == "interrupted; nothing is left running"
    assert not any("reached" in line for line in lines)
    assert "docker compose down" in project.calls


def test_ctrl_c_while_it_is_created(project: Project) -> None:
    """What Docker is creating is created to its end, and then taken down."""
    project.answer("docker", {"compose up *": "until [ -e go ]; do sleep 0.02; done"} | STAYING)
    process = project.start("make", "run")
    called(project, "compose up")
    os.killpg(process.pid, signal.SIGINT)
    (project.folder / "go").touch()

    assert ended(process)[-1] == "interrupted; nothing is left running"
    assert "docker compose down" in project.calls


def test_a_second_ctrl_c(project: Project) -> None:
    """Where Docker hangs it ends the run at once, and what may be left is said."""
    project.answer("docker", {"compose down": HANGING} | STAYING)
    process = project.start(*RUN)
    shown(process, "client | ")
    os.killpg(process.pid, signal.SIGINT)
    called(project, "compose down")
    # Another one, since two of the same may be one.
    os.killpg(process.pid, signal.SIGTERM)

    assert ended(process)[-1] == "interrupted; containers may be left: make down"
    assert process.returncode == 128 + signal.SIGINT


def test_ctrl_c_before_anything_is_created(project: Project) -> None:
    """It ends the run, the build too, and there is nothing to say."""
    project.answer("docker", {"compose build *": HANGING})
    process = project.start(*RUN)
    called(project, "compose build")
    os.killpg(process.pid, signal.SIGINT)

    assert (ended(process), process.returncode) == ([], -signal.SIGINT)
    assert "docker compose down" not in project.calls


def test_a_docker_that_hangs(project: Project) -> None:
    """After a while it is given up, and what may be left is said."""
    project.answer("docker", {"compose down": HANGING})
    code, lines = project.call("run.main", patch="docker.ANSWER = 1")

    assert code == 1
    assert lines[-2:] == [
        "docker compose down has not answered for 1 s.",
        "Containers may be left: make down.",
    ]
