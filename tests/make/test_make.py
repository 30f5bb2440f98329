"""The other targets of make: the commands that each runs, and its exit code."""

import os
import re
import signal
import sys
from zipfile import ZipFile

import pytest

from tests.lib.project import Project
from tests.lib.support import ROOT, until

pytestmark = pytest.mark.slow

# A stub of python3 -m venv. Its pip is real, but only prints what it would install.
VENV = f"""
    sleep 0.2; mkdir -p "$3/bin"; printf '#!/bin/sh\nexec {sys.executable} "$@"' >"$3/bin/python"
    chmod +x "$3/bin/python" """
NO_DOCKER = {"version *": "echo no daemon >&2; exit 1"}
NO_ROUTE = {"build *": "echo no route >&2; exit 1"}
LEFT_OUT = "Left out: tests whose requirements are missing: "
NO_DAEMON = "The Docker daemon does not answer: no daemon"
RUN_TESTS = (sys.executable, "-m", "tools.run_tests")
INSTALLING = "Installing the tools of requirements/test.txt into .venv."


@pytest.fixture
def with_tools(project: Project) -> Project:
    """Give the project a quick stub of venv and an empty list of requirements."""
    (project.folder / "requirements").mkdir()
    (project.folder / "requirements/test.txt").touch()
    project.answer("python", {"-m venv *": VENV, "*": f'{sys.executable} "$@"'})
    project.env |= {"PYTHON": str(project.bin / "python"), "PIP_DRY_RUN": "1"}
    return project


def with_test(project: Project, body: str) -> None:
    """Give the project one test."""
    (project.folder / "tests/all").mkdir(parents=True)
    (project.folder / "tests/all/test_it.py").write_text(f"def test_it():\n    {body}\n")


def test_help_names_every_target(project: Project) -> None:
    """`make help` lists each target for users, and make runs only in its own folder."""
    code, lines = project.run("make")
    text = (ROOT / "Makefile").read_text()
    phony = text.partition(".PHONY:")[2].replace("\\", "").split()

    assert code == 0
    assert [line.split()[0] for line in lines] == re.findall(r"(?m)^([a-z-]+):.* ## ", text)
    assert {line.split()[0] for line in lines} == set(phony) - {"python", "docker", "venv"}
    code, lines = project.run("sh", "-c", "cd home && make -f ../Makefile help")
    assert code == 2
    assert "make runs in its own folder: make -C FOLDER TARGET" in lines[-1]


def test_up_checks_and_builds_before_it_starts(project: Project) -> None:
    """`make up` checks the networks and builds both images before it starts the pair."""
    assert project.run("make", "up", PYTHONSAFEPATH="1") == (0, [])

    said = [f"docker {what}" for what in ("network ls --quiet", "compose build")]
    assert [call for call in project.calls if call in said] == said
    assert project.calls[-1] == "docker compose up --detach"


def test_old_python_is_refused(project: Project) -> None:
    """A Python older than 3.11 is refused with an error that names the required version."""
    old = '-c "import sys; sys.version_info = (3, 10, 9); $2"'
    project.answer("mine", {"*": f"exec {sys.executable} {old}"})
    mine = str(project.bin / "mine")
    code, lines = project.run("make", "demo", PYTHON=mine)

    assert code == 2
    assert f"{mine} does not run as Python 3.11 or later: install that, or name it" in lines[-1]


@pytest.mark.parametrize(
    ("answers", "said"),
    [(NO_DOCKER, NO_DAEMON), (NO_ROUTE, "Cannot build tcp-pair-services:trixie: no route")],
)
def test_last_line_names_what_is_left_out(
    with_tools: Project, answers: dict[str, str], said: str
) -> None:
    """Without Docker the last line names the reason; with REQUIRE_DOCKER=1 no test runs."""
    with_test(with_tools, "open('ran', 'w').close(); assert False")
    with_tools.answer("docker", answers)
    command = "make", "--silent", "test", "TESTS=tests/all"

    code, lines = with_tools.run(*command, REQUIRE_DOCKER="1")
    assert (code, lines[-1]) == (2, said)
    assert not (with_tools.folder / "ran").exists()
    code, lines = with_tools.run(*command)
    assert (code, lines[-1]) == (2, LEFT_OUT + said)
    assert (with_tools.folder / "ran").exists()


def test_swarm_tests_are_never_skipped(with_tools: Project) -> None:
    """`make test-cluster` fails without Docker or without root."""
    with_tools.answer("docker", NO_DOCKER)
    for user, said in (
        (0, NO_DAEMON),
        (1, "Tests of Docker Swarm need root: sudo make test-cluster"),
    ):
        with_tools.answer("id", {"-u": f"echo {user}"})
        code, lines = with_tools.run("make", "test-cluster")
        assert (code, lines[-1]) == (2, said)


def test_tests_get_the_names_of_the_images(project: Project) -> None:
    """The environment has the names of the images, and the built images are removed at the end."""
    names = "PYTHON_IMAGE", "TEST_RUN", "SERVER_IMAGE", "CLIENT_IMAGE"
    values = f"' '.join(os.environ[name] for name in {names})"
    with_test(project, f"import os; open('named', 'w').write({values})")
    project.answer("docker", {"ps *": "echo left-container", "images *": "echo left-image:1"})
    (project.folder / ".env").write_text("PYTHON_IMAGE=tcp-pair-base:trixie\n")

    code, lines = project.run(*RUN_TESTS, "tests")
    assert code == 0, lines
    base, run, *images = (project.folder / "named").read_text().split()
    assert (base, *images) == ("python:3.14-slim", f"{run}-server", f"{run}-client")
    assert (project.folder / ".env").read_text() == "PYTHON_IMAGE=tcp-pair-base:trixie\n"
    assert {
        f"docker compose --project-name={run} build",
        f"docker ps --all --format={{{{.Names}}}} --filter=name=^/?{run}",
        "docker rm --force --volumes left-container",
        "docker rmi left-image:1",
    } <= {*project.calls}


def test_interrupted_tests_leave_nothing(project: Project) -> None:
    """Ctrl-C ends pytest with its own exit code, and the images of the run are removed."""
    with_test(project, "import pathlib, time; pathlib.Path('started').touch(); time.sleep(60)")
    project.answer("docker", {"images *": "echo left-image:1"})
    process = project.start(*RUN_TESTS, "tests")
    until((project.folder / "started").exists)
    os.killpg(process.pid, signal.SIGINT)
    project.ended(process)

    assert process.returncode == 2  # pytest's code for it
    assert "docker rmi left-image:1" in project.calls


def test_tools_are_installed_once_and_by_hash(with_tools: Project) -> None:
    """Tools are installed by hash, once, and again only if a pin or the folder changes."""
    two = [with_tools.start("make", "venv") for _ in range(2)]
    assert [lines[:1] for lines in sorted(map(with_tools.ended, two))] == [[], [INSTALLING]]
    assert with_tools.run("make", "venv") == (0, [])
    copy = "cp -r Makefile scripts requirements .venv home && make -C home venv"
    assert INSTALLING in with_tools.run("sh", "-c", copy)[1]

    with ZipFile(with_tools.folder / "one-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("one-1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("one-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: one\nVersion: 1\n")
    (with_tools.folder / "requirements/test.txt").write_text("./one-1-py3-none-any.whl\n")
    for _ in range(2):
        (with_tools.folder / ".venv/old").touch()
        code, lines = with_tools.run("make", "venv")
        assert (code, lines[0]) == (2, INSTALLING)
        assert not (with_tools.folder / ".venv/old").exists()


def test_clean_removes_what_make_has_made(project: Project) -> None:
    """`make clean` removes the files and images of make, but neither .env nor a user's Compose."""
    plugin = project.home / ".docker/cli-plugins/docker-compose"
    plugin.parent.mkdir(parents=True)
    plugin.write_text("theirs")
    plugin.with_name(".tcp-pair-compose").write_text("checksum of ours")
    before = sorted(project.folder.iterdir())
    for name in (".venv", ".venv-compose", ".venv-lint", "docs/__pycache__", ".ruff_cache", "dist"):
        (project.folder / name).mkdir(parents=True)
    for name in ("packets.pcap", "packets.log", "packets.html", ".env", ".env.mine"):
        (project.folder / name).touch()
    of_this_folder = "image ls --all --quiet --filter=label=tcp-pair --filter=reference=x-server *"
    of_debian = "image ls --all --quiet --filter=label=made-of --filter=reference=*"
    nameless = "image ls --all --quiet --filter=label=tcp-pair --filter=dangling=true"
    project.answer("docker", {of_this_folder: "echo one two one", of_debian: "echo three"})
    project.answer("docker", {nameless: "echo four", "rmi three": "echo in use >&2; exit 1"})

    assert project.run("make", "clean") == (0, ["Some images stay: in use"])
    assert [*plugin.parent.iterdir()] == [plugin]
    left = {path.name for path in project.folder.iterdir() if path not in before}
    assert left - {"down"} == {".env", ".env.mine", "docs"}
    assert not any((project.folder / "docs").iterdir())
    removed = [sorted(call.split()[2:]) for call in project.calls if " rmi " in call]
    assert removed == [["one", "two"], ["three"], ["four"]]
    assert "docker compose down --remove-orphans" in project.calls


@pytest.mark.parametrize("command", ["make run >&-", "make run | head -n 1"])
def test_run_ends_even_if_nobody_reads(project: Project, command: str) -> None:
    """`make run` runs the pair to its end, even if its output is closed or nobody reads it."""
    code, _ = project.run("bash", "-o", "pipefail", "-c", command)

    assert (code, project.calls[-1]) == (0, "docker compose down")
