"""The base image: pulled, or made of Debian's packages where no registry answers."""

from pathlib import Path

import pytest

from scripts.ready import set_in_env
from tests.make.conftest import Project, on_debian

OWN = "tcp-pair-base:trixie"
LAN = '[{"Name": "lan", "IPAM": {"Config": [{"Subnet": "198.18.0.0/16"}]}}]'
MISSING = {"image inspect python:3.14-slim": "exit 1"}
REFUSED = MISSING | {"pull *": "echo working; echo no such host >&2; exit 1"}
REFUSING = "echo unexpected character >&2; exit 15"
PULLING = "Pulling python:3.14-slim, which is not here yet."
BUILDING = f"Building {OWN} from Debian's packages (a minute)."


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({}, []),
        ({"network inspect *": "echo '[]'; echo not found >&2; exit 1"}, []),
        (MISSING | {"pull *": "echo 3.14-slim: Pulling from library/python"}, [PULLING]),
    ],
    ids=["there", "networks that go meanwhile", "pulled"],
)
def test_all_is_well(project: Project, answers: dict[str, str], said: list[str]) -> None:
    """An image is pulled where it is missing, and only that is said: nothing of Debian."""
    project.answer("docker", answers)

    assert project.call("ready.main") == (0, said)
    assert any("pull" in call for call in project.calls) == bool(said)
    assert not (project.folder / ".env").exists()


@on_debian
@pytest.mark.parametrize("pull", ["echo working; echo no such host; exit 1", "exec sleep 60"])
def test_no_registry(project: Project, pull: str) -> None:
    """The default gives way to an image out of Debian's packages, and .env names that."""
    project.answer("docker", MISSING | {"pull *": pull})
    code, lines = project.call("ready.main", patch="ready.FIRST_ANSWER = 0.2")
    why = "no such host" if "host" in pull else "no answer for 0.2 seconds"

    assert code == 0, lines
    assert lines[1:] == [
        f"Cannot pull python:3.14-slim: {why}",
        BUILDING,
        f".env now says PYTHON_IMAGE={OWN}",
    ]
    assert (project.folder / ".env").read_text() == f"PYTHON_IMAGE={OWN}\n"
    assert not any((project.folder / "scratch").iterdir())


@on_debian
def test_our_own_image_is_made_once_for_its_packages(project: Project) -> None:
    """It is made where it is missing, and anew when it is made of other packages; the old goes."""
    project.configure(OWN)

    assert project.call("ready.main") == (0, [BUILDING])
    assert not any("rmi" in call for call in project.calls)
    assert project.call("ready.main") == (0, [])
    assert project.call("ready.main", patch="ready.PYTHON += ('more',)") == (0, [BUILDING])
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
    """What failed is said, and .env is as it was."""
    project.answer("docker", REFUSED)
    project.answer(program, answers)
    line = project.refusal("ready.main")

    assert line.startswith(f"Cannot build {OWN} here: ")
    assert said in line
    assert not (project.folder / ".env").exists()


@pytest.mark.parametrize(
    ("image", "in_shell", "said"),
    [
        ("", False, "PYTHON_IMAGE is empty in .env: name one, or remove that line."),
        ("", True, "PYTHON_IMAGE is empty in your shell: unset it."),
        ("mine:1", False, "mine:1 cannot be pulled: in .env, set PYTHON_IMAGE to an image"),
        ("python:3.9", True, "python:3.9 cannot be pulled: in your shell, set PYTHON_IMAGE to an"),
    ],
    ids=["empty", "empty in the shell", "of the user", "in the shell"],
)
def test_an_image_that_only_its_user_can_change(
    project: Project, image: str, in_shell: bool, said: str
) -> None:
    """What somebody has chosen is not replaced; where to change it is said."""
    project.answer("docker", REFUSED | {"image inspect *": "exit 1"})
    project.configure(image)
    env = {"PYTHON_IMAGE": image} if in_shell else {}

    assert project.refusal("ready.main", **env).startswith(said)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "A=own\n"),
        ("B=1", "B=1\nA=own\n"),
        ("A=old\nB=1\n", "A=own\nB=1\n"),
        ("  export A = old # why\nB='1", "  export A =own\nB='1"),
        ('A="old\nA=2"\n', "A=own\n"),
        ("B='1\nA=2'\nA=old\n", "B='1\nA=2'\nA=own\n"),
        ('B="1\\"\nA=2"\n', 'B="1\\"\nA=2"\nA=own\n'),
        ("# A=old\nAA=1\nB=é\udcff\n", "# A=old\nAA=1\nB=é\udcff\nA=own\n"),
    ],
    ids=[
        *("no file", "no end of line", "there", "export", "several lines"),
        *("inside a value", "escaped quote", "other names, other bytes"),
    ],
)
def test_a_line_of_env(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None, after: str
) -> None:
    """One variable is set, through a link, and every other line stays as it is."""
    monkeypatch.chdir(tmp_path)
    Path(".env").symlink_to("real")
    if before is not None:
        Path("real").write_bytes(before.encode(errors="surrogateescape"))
    set_in_env("A", "own")

    assert Path("real").read_bytes() == after.encode(errors="surrogateescape")


@on_debian
@pytest.mark.parametrize("target", [".", "/dev/null"], ids=["not writable", "not believed"])
def test_an_env_that_cannot_be_set(project: Project, target: str) -> None:
    """The line that is to be put there is said."""
    project.answer("docker", REFUSED)
    (project.folder / ".env").symlink_to(target)

    assert f"put PYTHON_IMAGE={OWN} there" in project.refusal("ready.main")


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (
            {"compose config *": REFUSING, "compose --project-name=any *": REFUSING},
            "Docker Compose refuses docker-compose.yml with this .env: unexpected character",
        ),
        ({"compose config *": REFUSING}, "Docker Compose cannot make a name out of this folder's"),
        ({"network ls *": "echo gone away >&2; exit 1"}, "docker network ls: gone away"),
        (
            {"network inspect *": f"echo '{LAN}'"},
            "SUBNET=198.18.0.0/29 overlaps 198.18.0.0/16 of Docker's network lan",
        ),
    ],
    ids=["bad .env", "no name", "daemon away", "overlap"],
)
def test_what_is_wrong_is_said(project: Project, answers: dict[str, str], said: str) -> None:
    """A sentence says what keeps the pair from starting, and nothing is pulled before."""
    project.answer("docker", answers)
    code, lines = project.call("ready.main")

    assert code == 1
    assert lines[0].startswith(said)
    assert not any("image" in call for call in project.calls)
