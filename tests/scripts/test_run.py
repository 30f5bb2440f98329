"""What make run does, and what interrupts it; tests/containers has real containers."""

import os
import signal

import pytest

from tests.scripts.conftest import Project, ended, shown
from tests.support import until

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
    code, lines = project.run("make", "run")

    assert (code, lines) == (
        0,
        [
            "starting the client; the server follows once the client waits",
            "client | T INFO waiting for 198.18.0.2:8888",
            "server | T INFO listening",
            "client | SERVER OK - STATUS 200",
            "the client ended with exit code 0: all went well",
        ],
    )
    calls = [call.removeprefix("docker ") for call in project.calls]
    assert calls[-7:] == [
        "compose build --quiet",
        "compose up --no-start",
        "compose ps --all --quiet client",
        "compose ps --all --quiet server",
        "start --attach container-of-client",
        "start --attach container-of-server",
        "compose down",
    ]


def test_a_server_that_ends_first(project: Project) -> None:
    """It is named, with its own exit code, which is that of the run."""
    server = {"start --attach *server": "echo T ERROR no; exit 78"}
    client = {"start --attach *client": STAYING["start --attach *"]}
    project.answer("docker", server | client)
    code, lines = project.call("run.main")

    assert code == 78
    assert lines[-1] == "the server ended before the client with exit code 78: a value is not valid"


@pytest.mark.parametrize(
    ("answers", "said", "down"),
    [
        (
            {"compose ps --quiet": "echo abc"},
            "The pair is already running: make down first.",
            False,
        ),
        ({"compose build *": "exit 17"}, "The images cannot be built, see above.", False),
        ({"compose up *": "echo no room >&2; exit 1"}, "docker compose up: no room", True),
        ({"compose ps --all *": "exit 0"}, "Somebody else is taking the pair down", True),
        ({"compose down": "echo away >&2; exit 1"}, "Containers may be left: make down.", True),
        ({"version *": "echo no daemon >&2; exit 1"}, "The Docker daemon does not answer", False),
    ],
    ids=["running", "build", "create", "others", "down", "not ready"],
)
def test_what_goes_wrong(project: Project, answers: dict[str, str], said: str, down: bool) -> None:
    """It is said, and what may have been created is taken down, but never another's pair."""
    project.answer("docker", answers)
    code, lines = project.call("run.main")

    assert code == 1
    assert lines[-1].startswith(said)
    assert ("docker compose down" in project.calls) == down


def test_two_at_once(project: Project) -> None:
    """The second one says so and leaves the first one's pair alone."""
    project.answer("docker", STAYING)
    with project.start("make", "run") as first:
        shown(first, "client | ")
        code, lines = project.call("run.main")
        assert (code, lines) == (1, ["Another make run is at work in this folder: wait for it."])
        assert "docker compose down" not in project.calls
        os.killpg(first.pid, signal.SIGINT)
        assert ended(first)[-1] == "interrupted; nothing is left running"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_it_runs(project: Project, number: signal.Signals) -> None:
    """Ctrl-C, which the whole group gets, takes the pair down by Docker, and says so."""
    project.answer("docker", STAYING)
    with project.start(*RUN) as process:
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
    with project.start("make", "run") as process:
        called(project, "compose up")
        os.killpg(process.pid, signal.SIGINT)
        (project.folder / "go").touch()
        lines = ended(process)

    assert lines[-1] == "interrupted; nothing is left running"
    assert "docker compose down" in project.calls


@pytest.mark.parametrize("command", ["compose up", "compose down"])
def test_a_second_ctrl_c(project: Project, command: str) -> None:
    """Where Docker hangs it ends the run at once, and what may be left is said."""
    project.answer("docker", STAYING | {f"{command}*": HANGING})
    with project.start(*RUN) as process:
        if command == "compose up":
            called(project, command)
            os.killpg(process.pid, signal.SIGINT)
        else:
            shown(process, "client | ")
            os.killpg(process.pid, signal.SIGINT)
            called(project, command)
        # Another one, since two of the same may be one.
        os.killpg(process.pid, signal.SIGTERM)
        lines = ended(process)

    assert process.returncode == 128 + signal.SIGINT
    assert lines[-1] == "interrupted; containers may be left: make down"


def test_ctrl_c_before_anything_is_created(project: Project) -> None:
    """It ends the run, the build too, and there is nothing to say."""
    project.answer("docker", {"compose build *": HANGING})
    with project.start(*RUN) as process:
        called(project, "compose build")
        os.killpg(process.pid, signal.SIGINT)
        lines = ended(process)

    assert (process.returncode, lines) == (-signal.SIGINT, [])
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
