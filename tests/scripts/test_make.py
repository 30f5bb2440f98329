"""The other targets of make: what each runs, and that it ends as what it runs."""

import os
import re
import shutil
import signal
import sys

import pytest

from tests.scripts.conftest import Project
from tests.support import PATIENCE, ROOT, until

pytestmark = pytest.mark.slow

# As python3 -m venv, and pip in what it makes, as far as venv.sh sees them.
VENV = """
    sleep 0.2; mkdir -p "$3/bin"; echo '#!/bin/sh
    [ "$2" = pip ] && exit $PIP
    exec {python} "$@"' >"$3/bin/python"; chmod +x "$3/bin/python" """
NO_ROOT = "\nimport os; os.geteuid = lambda: 1000"
NO_DOCKER = {"version *": "echo no daemon >&2; exit 1"}
NO_ROUTE = {"build *": "echo no route >&2; exit 1"}
NO_DAEMON = "The Docker daemon does not answer"


@pytest.fixture
def with_tools(project: Project) -> Project:
    """Let the project have a virtual environment that is quickly made: of our own Python."""
    (project.folder / "requirements.txt").write_text("one\n")
    project.answer(
        "python", {"-m venv *": VENV.format(python=sys.executable), "*": f'{sys.executable} "$@"'}
    )
    project.env |= {"PYTHON": str(project.bin / "python"), "PIP": "0"}
    return project


def with_test(project: Project, body: str) -> None:
    """Let the project have one test."""
    (project.folder / "test_it.py").write_text(f"def test_it():\n    {body}\n")


def test_help_names_every_target(project: Project) -> None:
    """Each target that is for users has its line, and what has no line is not for them."""
    code, lines = project.run("make")
    text = (ROOT / "Makefile").read_text()
    phony = text.partition(".PHONY:")[2].replace("\\", "").split()

    assert code == 0
    assert [line.split()[0] for line in lines] == re.findall(r"(?m)^([a-z-]+):.* ## ", text)
    assert {line.split()[0] for line in lines} == set(phony) - {"python", "docker", "venv"}


def test_the_background(project: Project) -> None:
    """Make up gets ready, builds and starts; make logs and make down are Compose's."""
    for target, last in (("up", "up --detach"), ("logs", "logs"), ("down", "down")):
        assert project.run("make", target) == (0, [])
        assert project.calls[-1] == f"docker compose {last}"
    assert project.calls.index("docker network ls --quiet") < project.calls.index(
        "docker compose build --quiet"
    )


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("exec /nowhere/python", "No such file or directory"),
        (
            "echo 'pyenv: version 3.12 is not installed' >&2; exit 1",
            "version 3.12 is not installed",
        ),
        (f'exec {sys.executable} -c "import sys; sys.version_info = (3, 9, 2); $2"', "it is 3.9"),
    ],
    ids=["missing", "shim", "old"],
)
def test_a_python_that_does_not_do(project: Project, program: str, said: str) -> None:
    """Make uses the one that PYTHON names, and says why that cannot be used."""
    project.answer("mine", {"*": program})
    (project.folder / "requirements.txt").touch()
    for target in ("demo", "venv"):
        code, lines = project.run("make", target, PYTHON=str(project.bin / "mine"))
        assert code == 2
        assert "does not run as Python 3.11 or later" in lines[0]
        assert said in lines[0]


@pytest.mark.parametrize(("body", "status"), [("assert True", 0), ("assert False", 2)])
def test_the_status_of_make_test(with_tools: Project, body: str, status: int) -> None:
    """It is 0 where all tests pass, and only then; neither .env nor the home is written."""
    with_test(with_tools, body)
    code, lines = with_tools.run("make", "test")

    assert code == status, lines
    assert not (with_tools.folder / ".env").exists()
    assert not any(with_tools.home.iterdir())


@pytest.mark.parametrize(
    ("body", "answers", "env", "code", "last"),
    [
        ("assert False", NO_DOCKER, {}, 1, f"Left out: .*{NO_DAEMON}.* Docker says: no daemon"),
        ("not run", NO_DOCKER, {"REQUIRE_DOCKER": "1"}, 1, f"{NO_DAEMON}.*"),
        ("assert True", NO_ROUTE, {}, 0, "Left out: .*Cannot build tcp-pair-services:.* no route"),
        ("assert True", {}, {"patch": NO_ROOT}, 0, "Left out: tests/cluster needs root .*"),
    ],
    ids=["no docker", "docker required", "no services", "no root"],
)
def test_what_cannot_be_tested(
    project: Project,
    body: str,
    answers: dict[str, str],
    env: dict[str, str],
    code: int,
    last: str,
) -> None:
    """The other tests run, with pytest's status, and what was left out is said; or it fails."""
    with_test(project, body)
    project.answer("docker", answers)
    ended, lines = project.call("run_tests.main", **env)

    assert ended == code
    assert re.fullmatch(last, lines[-1])
    assert (len(lines) == 1) == (body == "not run")


def test_the_cluster_needs_root(project: Project) -> None:
    """Who asks for nothing else is told that it cannot be."""
    said = "Left out: tests/cluster needs root (sudo make test-cluster)."

    assert project.call("run_tests.main", "tests/cluster", patch=NO_ROOT) == (1, [said])


def test_the_images_are_handed_on(project: Project) -> None:
    """The chosen tests find base image and services in the environment; Docker builds those."""
    with_test(
        project,
        "import os; names = ('PYTHON_IMAGE', 'SERVICES_IMAGE')"
        "; assert [os.environ[n] for n in names] == ['mine:1', 'tcp-pair-services:trixie']",
    )
    (project.folder / "test_not_chosen.py").write_text("assert False")
    project.configure("mine:1")
    project.answer("docker", {"build *": f"cat >{project.folder}/built"})

    code, lines = project.call("run_tests.main", "test_it.py")
    assert code == 0, lines
    assert (project.folder / "built").read_text().startswith("\nFROM mine:1\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_tests(project: Project, number: signal.Signals) -> None:
    """Ctrl-C, or a SIGTERM that only make's own child gets, ends pytest in its own way."""
    with_test(
        project,
        "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.default_int_handler)"
        "; pathlib.Path('started').touch(); time.sleep(60)",
    )
    code = "from scripts import common, run_tests; common.end_with(run_tests.main)"
    with project.start(sys.executable, "-c", code) as process:
        until((project.folder / "started").exists)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        shown, _ = process.communicate(timeout=PATIENCE)

    assert "KeyboardInterrupt" in shown
    assert process.returncode == 2  # pytest's code for it


def test_the_tools_are_installed_once(with_tools: Project) -> None:
    """Two at once install them once; again only where what is pinned, or the folder, changes."""
    said = ["Installing the tools of requirements.txt into .venv."]
    scripts = with_tools.folder / "scripts"
    scripts.unlink()
    shutil.copytree(ROOT / "scripts", scripts)
    with with_tools.start("scripts/venv.sh") as one, with_tools.start("scripts/venv.sh") as two:
        shown = [process.communicate(timeout=PATIENCE)[0] for process in (one, two)]

    assert sorted(shown) == ["", said[0] + "\n"]
    assert (one.returncode, two.returncode) == (0, 0)
    assert with_tools.run("make", "venv") == (0, [])
    (with_tools.folder / "requirements.txt").write_text("two\n")
    (with_tools.folder / ".venv/old").touch()
    assert with_tools.run("make", "venv") == (0, said)
    assert not (with_tools.folder / ".venv/old").exists()


def test_tools_that_cannot_be_installed(with_tools: Project) -> None:
    """Pip's failure is said, and tried again the next time."""
    for pip, status in (("1", 2), ("0", 0)):
        (with_tools.folder / "bench").mkdir(exist_ok=True)
        (with_tools.folder / "bench/requirements.txt").touch()
        _, lines = with_tools.run("make", "bench", PIP=pip, QUICK="1")
        assert lines[0] == "Installing the tools of bench/requirements.txt into bench/.venv."
        assert any(line.startswith("pip failed, see above") for line in lines) == (pip == "1")
        assert (with_tools.folder / "bench/.venv/stamp").exists() == (status == 0)


def test_no_module_venv(with_tools: Project) -> None:
    """A Python that cannot make environments is named, with Debian's package for it."""
    with_tools.answer("python", {"-c import ensurepip, venv": "exit 1"})
    code, lines = with_tools.run("make", "venv")

    assert code == 2
    assert "install what it lacks (Debian: sudo apt-get install python3-venv)" in lines[0]


@pytest.mark.parametrize("changed", [False, True])
def test_clean(project: Project, changed: bool) -> None:
    """Environments and images go, and Compose if it is the file that was installed."""
    plugins = project.home / ".docker/cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-compose").write_text("ours")
    project.run("sh", "-c", f"cksum <{plugins}/docker-compose >{plugins}/.tcp-pair-compose")
    if changed:
        (plugins / "docker-compose").write_text("theirs")
    for name in (".venv", ".mypy_cache"):
        (project.folder / name).mkdir()
    project.answer("docker", {"image inspect tcp-pair-services:trixie": "exit 1"})

    assert project.run("make", "clean") == (0, [])
    assert [path.name for path in plugins.iterdir()] == ["docker-compose"] * changed
    assert not (project.folder / ".venv").exists()
    assert "docker compose down --rmi local" in project.calls
    assert [call for call in project.calls if " rmi " in call] == [
        "docker rmi tcp-pair-base:trixie"
    ]


def test_clean_without_compose(project: Project) -> None:
    """What images there may be is said."""
    project.answer("docker", {"compose version": "exit 1"})

    assert project.call("clean.main") == (
        1,
        ["Images cannot be removed: Docker has no Compose v2."],
    )


@pytest.mark.parametrize("works", [True, False])
def test_record(project: Project, works: bool) -> None:
    """The picture is of what make run shows; a run that fails makes none."""
    (project.folder / "docs").mkdir()
    if not works:
        project.answer("docker", {"compose build *": "exit 1"})
    code, _ = project.run("make", "record")
    picture = project.folder / "docs/run.svg"

    assert (code == 0) == picture.exists() == works
    if works:
        assert "the client ended with exit code 0: all went well</text>" in picture.read_text()
        assert re.search(r'class="server"[^>]+>server \| T INFO listening<', picture.read_text())


def test_no_swarm(project: Project) -> None:
    """Make fleet-check gets Docker ready, and says what it lacks."""
    for name in (".env.example", "docker-compose.yml"):
        shutil.copy(ROOT / name, project.folder)
    values = '{"DEADLINE": "1", "MESSAGE": "", "REPLY": "x"}'
    services = f'{{"services": {{"client": {{"image": "x", "environment": {values}}}}}}}'
    project.answer(
        "docker",
        {"compose --file *": f"echo '{services}'", "node ls *": "echo no swarm >&2; exit 1"},
    )
    code, lines = project.run("make", "fleet-check")
    assert (code, lines[0]) == (2, "fleet-check: docker node ls: no swarm")
    project.answer("docker", NO_DOCKER)
    assert project.run("make", "fleet-check")[1][0].startswith("fleet-check: The Docker daemon")


def test_nobody_reads(project: Project) -> None:
    """With its output closed, or nobody to read it, the pair is played to its end all the same."""
    for command in ("make run >&-", "make run | head -n 1"):
        (project.folder / "down").unlink(missing_ok=True)
        (project.folder / "server").unlink(missing_ok=True)
        code, _ = project.run("bash", "-o", "pipefail", "-c", command)
        assert (code, project.calls[-1]) == (0, "docker compose down")
