"""The other targets of make: what each runs, and that it ends as what it runs."""

import json
import re
import sys

import pytest

from tests.lib.support import ROOT, until
from tests.make.conftest import Project, ended

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
    (project.folder / "requirements").mkdir()
    (project.folder / "requirements/test.txt").write_text("one\n")
    project.answer(
        "python", {"-m venv *": VENV.format(python=sys.executable), "*": f'{sys.executable} "$@"'}
    )
    project.env |= {"PYTHON": str(project.bin / "python"), "PIP": "0"}
    return project


def with_test(project: Project, body: str) -> None:
    """Let the project have one test."""
    (project.folder / "test_it.py").write_text(f"def test_it():\n    {body}\n")


def test_help_names_every_target(project: Project) -> None:
    """Make help has a line for each target but those that others depend on."""
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
        "docker compose build"
    )


def test_odd_surroundings(project: Project) -> None:
    """PYTHONSAFEPATH hides no module; make -f from another folder says how to call it."""
    assert project.run("make", "run", PYTHONSAFEPATH="1")[0] == 0
    code, lines = project.run("sh", "-c", "cd home && make -f ../Makefile help")

    assert code == 2
    assert "make runs in its own folder: make -C FOLDER TARGET" in lines[-1]


@pytest.mark.parametrize("target", ["demo", "venv"])
@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("exec /nowhere/python", "No such file or directory"),
        (f'exec {sys.executable} -c "import sys; sys.version_info = (3, 9, 2); $2"', "it is 3.9"),
    ],
    ids=["missing", "old"],
)
def test_a_python_that_does_not_do(project: Project, program: str, said: str, target: str) -> None:
    """Make uses the Python that PYTHON names, or says why it cannot."""
    project.answer("mine", {"*": program})
    mine = project.bin / "mine"
    code, lines = project.run("make", target, PYTHON=str(mine))

    assert code == 2
    assert lines[0].endswith(f"does not run as Python 3.11 or later: {said}")


def test_make_test_changes_no_line_of_env(with_tools: Project) -> None:
    """The status is pytest's; neither .env nor the home is written, whichever base is taken."""
    with_test(with_tools, "assert False")
    (with_tools.folder / ".env").write_text("PYTHON_IMAGE=tcp-pair-base:trixie\n")
    code, lines = with_tools.run("make", "test", "TESTS=test_it.py")

    assert code == 2, lines
    assert (with_tools.folder / ".env").read_text() == "PYTHON_IMAGE=tcp-pair-base:trixie\n"
    assert not any(with_tools.home.iterdir())


@pytest.mark.parametrize(
    ("answers", "patch", "said"),
    [
        (NO_DOCKER, "", f"{NO_DAEMON}: .* Docker says: no daemon"),
        (NO_ROUTE, "", "Cannot build tcp-pair-services:trixie: no route"),
        ({}, NO_ROOT, "tests/all/swarm needs root .*"),
    ],
    ids=["no docker", "no services", "no root"],
)
def test_what_cannot_be_tested(
    project: Project, answers: dict[str, str], patch: str, said: str
) -> None:
    """The other tests run with pytest's status, and the last line names what is left out."""
    (project.folder / "tests/all").mkdir(parents=True)
    test = project.folder / "tests/all/test_it.py"
    test.write_text("def test_it():\n    assert False\n")
    project.answer("docker", answers)
    code, lines = project.call("run_tests.main", "tests/all/test_it.py", patch=patch)

    assert code == 1
    assert re.fullmatch(f"Left out: (tests whose requirements are missing: )?{said}", lines[-1])


def test_docker_is_required(project: Project) -> None:
    """REQUIRE_DOCKER=1 without Docker runs no test."""
    project.answer("docker", NO_DOCKER)

    assert project.refusal("run_tests.main", REQUIRE_DOCKER="1").startswith(NO_DAEMON)


def test_the_cluster_needs_root(project: Project) -> None:
    """Make test-cluster without root is refused."""
    said = "Left out: tests/all/swarm needs root (sudo make test-cluster)."

    assert project.call("run_tests.main", "tests/all/swarm", patch=NO_ROOT) == (1, [said])


def test_the_images_are_handed_on(project: Project) -> None:
    """The environment names base image and built images; the built ones are removed afterwards."""
    with_test(
        project,
        "import os; names = ('PYTHON_IMAGE', 'TEST_RUN', 'SERVER_IMAGE', 'CLIENT_IMAGE')"
        "; open('named', 'w').write(' '.join(os.environ[n] for n in names))",
    )
    project.configure("mine:1")
    project.answer("docker", {"ps *": "echo left-container", "images *": "echo left-image:1"})

    code, lines = project.call("run_tests.main", "test_it.py")
    assert code == 0, lines
    base, run, *images = (project.folder / "named").read_text().split()
    assert (base, *images) == ("mine:1", f"{run}-server", f"{run}-client")
    assert f"docker compose --project-name={run} build" in project.calls
    assert "docker rm --force --volumes left-container" in project.calls
    assert "docker rmi left-image:1" in project.calls
    assert f"docker ps --all --format={{{{.Names}}}} --filter=name=^/?{run}" in project.calls


def test_interrupted_tests(project: Project) -> None:
    """A SIGTERM to make's child alone ends pytest and its workers in their own way."""
    with_test(project, "import pathlib, time; pathlib.Path('started').touch(); time.sleep(60)")
    process = project.start(sys.executable, "-m", "scripts.run_tests", "test_it.py")
    until((project.folder / "started").exists)
    process.terminate()

    assert any("KeyboardInterrupt" in line for line in ended(process))
    assert process.returncode == 2  # pytest's code for it


def test_the_tools_are_installed_once(with_tools: Project) -> None:
    """Two runs at once install the tools once, and a later one only if a pin changes."""
    said = ["Installing the tools of requirements/test.txt into .venv."]
    two = [with_tools.start("make", "venv") for _ in range(2)]
    assert sorted(map(ended, two)) == [[], said]
    assert with_tools.run("make", "venv") == (0, [])
    (with_tools.folder / "requirements/test.txt").write_text("two\n")
    (with_tools.folder / ".venv/old").touch()
    assert with_tools.run("make", "venv") == (0, said)
    assert not (with_tools.folder / ".venv/old").exists()


def test_tools_that_cannot_be_installed(with_tools: Project) -> None:
    """A failure of pip is reported, and the next run tries again."""
    (with_tools.folder / "requirements/bench.txt").touch()
    for pip in ("1", "0"):
        _, lines = with_tools.run("make", "bench", PIP=pip)
        assert lines[0] == "Installing the tools of requirements/bench.txt into .venv-bench."
        assert any(line.startswith("pip failed, see above") for line in lines) == (pip == "1")


def test_no_module_venv(with_tools: Project) -> None:
    """A Python that cannot make environments is named, with Debian's package for it."""
    with_tools.answer("python", {"-c import ensurepip, venv": "exit 1"})
    code, lines = with_tools.run("make", "venv")

    assert code == 2
    assert "install what it lacks (Debian: sudo apt-get install python3-venv)" in lines[0]


@pytest.mark.parametrize("changed", [False, True])
def test_clean(project: Project, changed: bool) -> None:
    """All that make made goes: files, labelled images, Compose if it is unchanged; .env stays."""
    plugins = project.home / ".docker/cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-compose").write_text("ours")
    project.run("sh", "-c", f"cksum <{plugins}/docker-compose >{plugins}/.tcp-pair-compose")
    if changed:
        (plugins / "docker-compose").write_text("theirs")
    before = sorted(project.folder.iterdir())
    for name in (".venv", ".venv-lint", ".venv-bench", "docs/__pycache__", ".ruff_cache", "dist"):
        (project.folder / name).mkdir(parents=True)
    for name in ("packets.pcap", "packets.log", "packets.html", ".env", ".env.mine"):
        (project.folder / name).touch()
    of_this_folder = "image ls --all --quiet --filter=label=tcp-pair --filter=reference=x-server *"
    of_debian = "image ls --all --quiet --filter=label=made-of --filter=reference=*"
    nameless = "image ls --all --quiet --filter=label=tcp-pair --filter=dangling=true"
    project.answer("docker", {of_this_folder: "echo one two one", of_debian: "echo three"})
    project.answer("docker", {nameless: "echo four"})

    assert project.run("make", "clean") == (0, [])
    assert [path.name for path in plugins.iterdir()] == ["docker-compose"] * changed
    left = {path.name for path in project.folder.iterdir() if path not in before}
    assert left - {"down"} == {".env", ".env.mine", "docs"}
    assert not any((project.folder / "docs").iterdir())
    removed = [sorted(call.split()[2:]) for call in project.calls if " rmi " in call]
    assert removed == [["one", "two"], ["three"], ["four"]]
    assert "docker compose down --remove-orphans" in project.calls


def test_an_image_that_is_in_use(project: Project) -> None:
    """Make clean goes on after an image that Docker keeps, and gives Docker's reason."""
    project.answer("docker", {"image ls *": "echo one", "rmi *": "echo in use >&2; exit 1"})

    assert project.refusal("clean.main") == "Some images stay: in use"
    assert project.calls.count("docker rmi one") == 4


def test_clean_without_compose(project: Project) -> None:
    """Make clean without Compose v2 says that images stay."""
    project.answer("docker", {"compose version": "exit 1"})

    said = "Images cannot be removed: Docker has no Compose v2."
    assert project.refusal("clean.main") == said


def test_record(project: Project) -> None:
    """The picture is of what make run shows."""
    (project.folder / "docs").mkdir()
    code, _ = project.run("make", "record")
    picture = (project.folder / "docs/run.svg").read_text()

    assert code == 0
    assert "the client ended with exit code 0: all went well</text>" in picture
    assert re.search(r'class="server"[^>]+>server \| T INFO listening<', picture)


def test_no_swarm(project: Project) -> None:
    """Make fleet-check says so on a node that is no manager of a Swarm."""
    environment = {"DEADLINE": "1", "MESSAGE": "", "REPLY": "x"}
    service = {"image": "x", "environment": environment}
    config = json.dumps({"services": {"client": service, "server": service}})
    no_swarm = "echo no swarm >&2; exit 1"
    project.answer("docker", {"compose --file *": f"echo '{config}'", "node ls *": no_swarm})
    code, lines = project.run("make", "fleet-check")

    assert (code, lines[0]) == (2, "fleet-check: docker node ls: no swarm")


@pytest.mark.parametrize("command", ["make run >&-", "make run | head -n 1"])
def test_nobody_reads(project: Project, command: str) -> None:
    """The pair runs to its end with a closed output, and with one that nobody reads."""
    code, _ = project.run("bash", "-o", "pipefail", "-c", command)

    assert (code, project.calls[-1]) == (0, "docker compose down")
