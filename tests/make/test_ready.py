"""The base image, the line of .env that names it, and the build of both images."""

from pathlib import Path

import pytest
from dotenv import dotenv_values

from scripts import ready
from scripts.ready import BASE, DEFAULT
from tests.lib.support import ROOT
from tests.make.conftest import Project, on_debian

LAN = '[{"Name": "lan", "IPAM": {"Config": [{"Subnet": "198.18.0.0/16"}]}}]'
MISSING = {f"image inspect {DEFAULT}": "exit 1"}
REFUSED = MISSING | {"pull *": "echo working; echo no such host >&2; exit 1"}
SILENT = MISSING | {"pull *": "sleep 0.5; echo 3.14-slim: Pulling from library/python"}
SLOW = MISSING | {"pull *": "echo 3.14-slim: Pulling from library/python; sleep 0.5"}
FIRST_ANSWER = "ready.FIRST_ANSWER = 0.2"
PULLING = f"Pulling {DEFAULT}, once; this takes from seconds to minutes."
BUILDING = f"Building {BASE} from Debian's packages; this takes a minute."


def env_of(project: Project, line: str = "") -> Path:
    """Return the .env of a project, with a line for the base image if one is given."""
    path = project.folder / ".env"
    if line:
        path.write_text(f"A=1\nPYTHON_IMAGE={line}\n")
    return path


def test_the_default() -> None:
    """The default image has the same name everywhere."""
    assert dotenv_values(ROOT / ".env.example")["PYTHON_IMAGE"] == DEFAULT


@pytest.mark.parametrize(
    ("answers", "patch", "said"),
    [
        ({}, "", []),
        ({"network inspect *": "echo '[]'; echo not found >&2; exit 1"}, "", []),
        (SLOW, FIRST_ANSWER, [PULLING]),
        (SILENT, f"{FIRST_ANSWER}; ready.KEYRING = ready.Path('nowhere')", [PULLING]),
    ],
    ids=["here", "networks that go meanwhile", "slow pull", "slow answer without Debian"],
)
@pytest.mark.parametrize("line", ["", DEFAULT, BASE], ids=["no .env", "default", "ours"])
def test_the_default_is_taken(
    project: Project, answers: dict[str, str], patch: str, said: list[str], line: str
) -> None:
    """The default is taken if it is here or can be pulled, even if an earlier run took ours."""
    project.answer("docker", answers)
    env = env_of(project, line)
    code, lines = project.call("ready.main", patch=patch)

    assert code == 0
    assert lines == said + [f".env now says PYTHON_IMAGE={DEFAULT}"] * (line == BASE)
    assert any("pull" in call for call in project.calls) == bool(said)
    assert env.exists() == bool(line)
    assert not line or env.read_text() == f"A=1\nPYTHON_IMAGE={DEFAULT}\n"


@on_debian
@pytest.mark.parametrize("line", ["", DEFAULT, BASE], ids=["no .env", "default", "ours"])
@pytest.mark.parametrize("answers", [REFUSED, SILENT], ids=["refused", "silent"])
def test_no_registry(project: Project, answers: dict[str, str], line: str) -> None:
    """An image of Debian's packages takes the default's place, and .env names it."""
    project.answer("docker", answers)
    env = env_of(project, line)
    code, lines = project.call("ready.main", patch=FIRST_ANSWER)
    why = "no such host" if answers is REFUSED else "the registry has not answered for 0.2 seconds"

    assert code == 0, lines
    assert lines[:3] == [PULLING, f"Cannot pull {DEFAULT}: {why}", BUILDING]
    assert lines[3:] == [f".env now says PYTHON_IMAGE={BASE}"] * (line != BASE)
    assert env.read_text() == "A=1\n" * bool(line) + f"PYTHON_IMAGE={BASE}\n"
    assert not any((project.folder / "scratch").iterdir())


@on_debian
def test_our_own_image_is_made_once_for_its_packages(project: Project) -> None:
    """Ours is made again, and the old one removed, only for other packages."""
    project.answer("docker", REFUSED)
    env_of(project, BASE)

    assert BUILDING in project.call("ready.main")[1]
    assert not any("rmi" in call for call in project.calls)
    assert BUILDING not in project.call("ready.main")[1]
    assert BUILDING in project.call("ready.main", patch="ready.PYTHON += ('more',)")[1]
    assert "docker rmi sha256:0" in project.calls


@on_debian
@pytest.mark.parametrize(
    ("program", "answers", "said"),
    [
        ("apt-get", {"--print-uris update": "exit 0"}, "name no mirror of Debian"),
        ("mmdebstrap", {"*": 'echo "E: cannot write ${@: -2:1}"; exit 1'}, "write image.tar"),
        ("docker", {"import *": "echo Error response from daemon: full; exit 1"}, "daemon: full"),
    ],
    ids=["no mirror", "mmdebstrap", "import"],
)
def test_an_image_that_cannot_be_made(
    project: Project, program: str, answers: dict[str, str], said: str
) -> None:
    """The pull that failed is reported last, since it is what the user can mend."""
    project.answer("docker", REFUSED)
    project.answer(program, answers)
    code, lines = project.call("ready.main")

    assert code == 1
    assert lines[-2].startswith(f"Cannot build {BASE} here: ")
    assert said in lines[-2]
    assert lines[-1].startswith(f"{DEFAULT} cannot be pulled: check the name, the network, docker")
    assert not env_of(project).exists()


@pytest.mark.parametrize("place", [".env", "your shell"])
@pytest.mark.parametrize("image", ["mine:1", "python:3.99-slim"])
def test_a_chosen_image_is_never_replaced(project: Project, image: str, place: str) -> None:
    """A pull that fails says what to check, and .env stays as it is."""
    project.answer("docker", REFUSED | {"image inspect *": "exit 1"})
    env = env_of(project, image)
    shell = {"PYTHON_IMAGE": image} if place == "your shell" else {}

    assert project.refusal("ready.main", **shell) == (
        f"{image} cannot be pulled: check the name, the network, docker login;"
        f" PYTHON_IMAGE in {place}. Docker says: no such host"
    )
    assert env.read_text() == f"A=1\nPYTHON_IMAGE={image}\n"


def test_an_empty_name(project: Project) -> None:
    """An empty PYTHON_IMAGE is shown in quotes."""
    project.configure("")
    project.answer("docker", REFUSED | {"image inspect *": "exit 1"})

    assert project.refusal("ready.main").startswith("'' cannot be pulled: check the name")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "A=own\n"),
        ("B=1", "B=1\nA=own\n"),
        ("A=old # why\r\nB=1\n", "A=own\r\nB=1\n"),
        ("  export A = old\nB='1", "  export A=own\nB='1"),
        ("# A=old\nAA=1\nB=é\udcff\n", "# A=old\nAA=1\nB=é\udcff\nA=own\n"),
    ],
    ids=["no file", "no end of line", "there", "export", "other names, other bytes"],
)
def test_a_line_of_env(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None, after: str
) -> None:
    """One variable is set, through a link, and every other line stays as it is."""
    monkeypatch.chdir(tmp_path)
    Path(".env").symlink_to("real")
    if before is not None:
        Path("real").write_bytes(before.encode(errors="surrogateescape"))
    ready.set_in_env("A=own")

    assert Path("real").read_bytes() == after.encode(errors="surrogateescape")


def test_an_env_that_cannot_be_written(project: Project) -> None:
    """The run goes on with the image, and the line that .env lacks is reported."""
    project.answer("docker", {"compose build": "echo $PYTHON_IMAGE >built"})
    (project.folder / ".env").mkdir()
    project.configure(BASE)

    assert project.call("ready.main") == (
        0,
        [f"Cannot write .env, Is a directory: put PYTHON_IMAGE={DEFAULT} there yourself."],
    )
    assert (project.folder / "built").read_text() == f"{DEFAULT}\n"


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (
            {"compose config *": "echo unexpected character >&2; exit 15"},
            "Docker Compose cannot use docker-compose.yml with this .env: unexpected character",
        ),
        (
            {"compose config *": 'echo invalid project name \\"É\\" >&2; exit 1'},
            'Docker Compose cannot use docker-compose.yml with this .env: invalid project name "É".'
            " Set COMPOSE_PROJECT_NAME, in .env or your shell, to tcp-pair for example.",
        ),
        (
            {"compose config *": 'echo \'{"services": {"db": {}}}\''},
            "Docker Compose reads another file than docker-compose.yml: unset COMPOSE_FILE.",
        ),
        ({"network ls *": "echo gone away >&2; exit 1"}, "docker network ls: gone away"),
        (
            {"network inspect *": f"echo '{LAN}'"},
            "SUBNET=198.18.0.0/29 overlaps 198.18.0.0/16 of Docker's network lan",
        ),
    ],
    ids=["bad .env", "no name", "another file", "daemon away", "overlap"],
)
def test_what_is_wrong_is_said(project: Project, answers: dict[str, str], said: str) -> None:
    """A sentence says what keeps the pair from starting, and nothing is pulled before."""
    project.answer("docker", answers)
    code, lines = project.call("ready.main")

    assert code == 1
    assert lines[0].startswith(said)
    assert not any("image" in call for call in project.calls)


@pytest.mark.parametrize("code", [0, 17])
def test_a_build_is_shown_if_it_fails(project: Project, code: int) -> None:
    """A build that fails shows what it wrote; one that takes long says how long."""
    answer = f"echo step 1; sleep 0.3; echo 'no space' >&2; exit {code}"
    project.answer("docker", {"compose build": answer})
    building = "Building both images; this takes up to half a minute."
    failed = ["step 1", "no space", "The images cannot be built, see above."]

    called = project.call("ready.main", patch="ready.NOTICEABLE = 0.1")
    assert called == (bool(code), [building, *failed * bool(code)])


@pytest.mark.parametrize(("name", "buildkit"), [("código", "0"), ("codigo", "")])
def test_a_folder_with_an_accent(tmp_path: Path, name: str, buildkit: str) -> None:
    """Both images are built without BuildKit, which refuses the folder's name."""
    (tmp_path / name).mkdir()
    project = Project(tmp_path / name)
    project.answer("docker", {"compose build": "echo $DOCKER_BUILDKIT >built"})

    assert project.call("ready.main") == (0, [])
    assert (project.folder / "built").read_text() == f"{buildkit}\n"
