"""The base image, the line of .env that names it, and the build of both images."""

from pathlib import Path

import pytest

from scripts import ready
from scripts.ready import BASE, DEFAULT
from tests.lib.project import Project, on_debian

LAN = '[{"Name": "lan", "IPAM": {"Config": [{"Subnet": "198.18.0.0/16"}]}}]'
MISSING = {f"image inspect {DEFAULT}": "exit 1"}
REFUSED = MISSING | {"pull *": "echo working; echo no such host >&2; exit 1"}
SILENT = MISSING | {"pull *": "sleep 0.5; echo 3.14-slim: Pulling from library/python"}
SLOW = MISSING | {"pull *": "echo 3.14-slim: Pulling from library/python; sleep 0.5"}
# The real apt-get, and a mirror that Debian has not signed.
UNSIGNED = {
    "--print-uris update": """
        mkdir -p mirror/dists/trixie/main/binary-amd64
        touch mirror/dists/trixie/main/binary-amd64/Packages
        printf 'Suite: trixie\nComponents: main\n' >mirror/dists/trixie/Release
        echo "'file:$PWD/mirror/dists/x' a 0" """,
    "-c * update *": 'exec /usr/bin/apt-get "$@"',
}
FIRST_ANSWER = "ready.FIRST_ANSWER = 0.2"
PULLING = f"Pulling {DEFAULT}, once, to build on it; this takes from seconds to minutes."
BUILDING = f"Building {BASE} from Debian's packages; this takes a minute."

every_line = pytest.mark.parametrize("line", ["", DEFAULT, BASE], ids=["none", "default", "ours"])


def env_of(project: Project, line: str = "") -> Path:
    """Return the .env of a project, with a line for the base image if one is given."""
    path = project.folder / ".env"
    if line:
        path.write_text(f"A=1\nPYTHON_IMAGE={line}\n")
    return path


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
@every_line
def test_default_is_taken_if_it_can_be_had(
    project: Project, answers: dict[str, str], patch: str, said: list[str], line: str
) -> None:
    """The default is taken if it is here or can be pulled, even if an earlier run took ours."""
    project.answer("docker", answers)
    env = env_of(project, line)
    code, lines = project.call("ready", patch=patch)

    assert code == 0
    assert lines == said + [f".env now says PYTHON_IMAGE={DEFAULT}"] * (line == BASE)
    assert any("pull" in call for call in project.calls) == bool(said)
    assert env.exists() == bool(line)
    assert not line or env.read_text() == f"A=1\nPYTHON_IMAGE={DEFAULT}\n"


@on_debian
@every_line
@pytest.mark.parametrize("answers", [REFUSED, SILENT], ids=["refused", "silent"])
def test_image_of_debian_takes_the_place_of_the_default(
    project: Project, answers: dict[str, str], line: str
) -> None:
    """Without a registry an image of Debian's packages is made once, and .env names it."""
    project.answer("docker", answers)
    env = env_of(project, line)
    code, lines = project.call("ready", patch=FIRST_ANSWER)
    why = "no such host" if answers is REFUSED else "the registry has not answered for 0.2 seconds"

    assert code == 0, lines
    assert lines[:3] == [PULLING, f"Cannot pull {DEFAULT}: {why}", BUILDING]
    assert lines[3:] == [f".env now says PYTHON_IMAGE={BASE}"] * (line != BASE)
    assert env.read_text() == "A=1\n" * bool(line) + f"PYTHON_IMAGE={BASE}\n"
    assert not any((project.folder / "scratch").iterdir())
    assert BUILDING not in project.call("ready", patch=FIRST_ANSWER)[1]


@on_debian
@pytest.mark.parametrize(
    ("program", "answers", "said"),
    [
        ("apt-get", {"--print-uris update": "exit 0"}, "name no mirror of Debian"),
        ("apt-get", UNSIGNED, "is not signed"),
        ("mmdebstrap", {"*": 'echo "E: cannot write ${@: -2:1}"; exit 1'}, "write image.tar"),
        ("docker", {"import *": "echo Error response from daemon: full; exit 1"}, "daemon: full"),
    ],
    ids=["no mirror", "unsigned mirror", "mmdebstrap", "import"],
)
def test_image_that_cannot_be_made_is_reported(
    project: Project, program: str, answers: dict[str, str], said: str
) -> None:
    """Both failures are reported, that of the pull and that of the build."""
    project.answer("docker", REFUSED)
    project.answer(program, answers)
    code, lines = project.call("ready")

    assert code == 1
    assert lines[:-1] == [PULLING, f"Cannot pull {DEFAULT}: no such host", BUILDING]
    assert lines[-1].startswith(f"Cannot build {BASE} here: ")
    assert said in lines[-1]
    assert not env_of(project).exists()


@pytest.mark.parametrize("image", ["mine:1", "python:3.99-slim"])
def test_chosen_image_is_never_replaced(project: Project, image: str) -> None:
    """A pull that fails says what to check, and .env stays as it is."""
    project.answer("docker", REFUSED | {"image inspect *": "exit 1"})
    env = env_of(project, image)
    code, lines = project.call("ready")

    assert code == 1
    assert lines[-1] == (
        f"{image} cannot be pulled: check the name, the network, docker login;"
        " PYTHON_IMAGE in .env or your shell. Docker says: no such host"
    )
    assert env.read_text() == f"A=1\nPYTHON_IMAGE={image}\n"


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
def test_one_line_of_env_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None, after: str
) -> None:
    """One variable is set, through a link, and every other line stays as it is."""
    monkeypatch.chdir(tmp_path)
    Path(".env").symlink_to("real")
    if before is not None:
        Path("real").write_bytes(before.encode(errors="surrogateescape"))
    ready.set_in_env("A=own")

    assert Path("real").read_bytes() == after.encode(errors="surrogateescape")


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
            "Compose reads another file than docker-compose.yml: unset COMPOSE_FILE.",
        ),
        (
            {"network inspect *": f"echo '{LAN}'"},
            "SUBNET=198.18.0.0/29 overlaps 198.18.0.0/16 of Docker's network lan",
        ),
    ],
    ids=["bad .env", "no name", "another file", "overlap"],
)
def test_reason_why_the_pair_cannot_start_is_reported(
    project: Project, answers: dict[str, str], said: str
) -> None:
    """A sentence names the reason, and nothing is pulled before."""
    project.answer("docker", answers)
    code, lines = project.call("ready")

    assert code == 1
    assert lines[0].startswith(said)
    assert not any("image" in call for call in project.calls)


@pytest.mark.parametrize("code", [0, 17])
def test_build_is_shown_if_it_fails(project: Project, code: int) -> None:
    """A build that fails shows its output, and one that succeeds nothing."""
    project.answer("docker", {"compose build": f"echo step 1; echo no space >&2; exit {code}"})
    failed = ["step 1", "no space", "The images cannot be built, see above."]

    assert project.call("ready") == (bool(code), failed * bool(code))


@pytest.mark.parametrize(("name", "buildkit"), [("código", "0"), ("codigo", "")])
def test_folder_with_an_accent_is_built_without_buildkit(
    project: Project, name: str, buildkit: str
) -> None:
    """BuildKit, which refuses the name of such a folder, is not used there."""
    (project.folder / name).mkdir()
    project.answer("docker", {"compose build": "echo $DOCKER_BUILDKIT >built"})
    command = f"cd {name} && PYTHONPATH=.. $PYTHON -m scripts.ready"

    assert project.run("sh", "-c", command) == (0, [])
    assert (project.folder / name / "built").read_text() == f"{buildkit}\n"
