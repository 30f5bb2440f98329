"""Make checks Docker, installs Compose, chooses a base image for .env, and builds both images."""

import stat
from pathlib import Path

import pytest

from scripts import ready
from scripts.ready import BASE, DEFAULT
from tests.lib.project import DPKG, Project, on_debian

LAN = '[{"Name": "lan", "IPAM": {"Config": [{"Subnet": "198.18.0.0/16"}]}}]'
NO_COMPOSE = {"compose version": "exit 1"}
MISSING = {f"image inspect {DEFAULT}": "exit 1"}
REFUSED = MISSING | {"pull *": "echo working; echo no such host >&2; exit 1"}
SILENT = MISSING | {"pull *": "sleep 0.5; echo 3.14-slim: Pulling from library/python"}
HANGING = MISSING | {"pull *": "exec sleep 600"}
PULLED = MISSING | {"pull *": "echo 3.14-slim: Pulling from library/python"}
# The real apt-get, with a mirror that Debian has not signed.
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
NO_DAEMON = "The Docker daemon does not answer: "
ADVICE = """printf "no such host\n\nRun 'docker version --help' for more\n" >&2; exit 1"""
UNUSABLE = "Docker Compose cannot use docker-compose.yml with this .env: "
BUILDING = f"Building {BASE} from Debian's packages; this takes a minute."

NO_HOST, LATE = (
    [PULLING, f"Cannot pull {DEFAULT}: {why}", BUILDING]
    for why in ("no such host", "the registry has not answered for 0.2 seconds")
)


@pytest.mark.parametrize("line", ["", DEFAULT, BASE])
@pytest.mark.parametrize(
    ("answers", "patch", "image", "said"),
    [
        ({}, "", DEFAULT, []),
        ({"network inspect *": "echo '[]'; echo not found >&2; exit 1"}, "", DEFAULT, []),
        (PULLED, "", DEFAULT, [PULLING]),
        (SILENT, f"{FIRST_ANSWER}; ready.KEYRING = ready.Path('nowhere')", DEFAULT, [PULLING]),
        pytest.param(REFUSED, "", BASE, NO_HOST, marks=on_debian),
        pytest.param(HANGING, FIRST_ANSWER, BASE, LATE, marks=on_debian),
    ],
)
def test_base_image_is_the_default_or_ours(
    project: Project, answers: dict[str, str], patch: str, image: str, said: list[str], line: str
) -> None:
    """The default base image is used if it is available, else ours is built, once."""
    project.answer("docker", answers)
    env = project.folder / ".env"
    if line:
        env.write_text(f"A=1\nPYTHON_IMAGE={line}\n")
    is_new = image != (line or DEFAULT)
    expected = said + [f".env now says PYTHON_IMAGE={image}"] * is_new

    assert project.call("ready", patch=patch) == (0, expected)
    assert any("pull" in call for call in project.calls) == bool(said)
    lines = ["A=1"] * bool(line) + [f"PYTHON_IMAGE={image}"] * bool(line or is_new)
    assert lines == (env.read_text().splitlines() if env.exists() else [])
    assert not any((project.folder / "scratch").iterdir())
    assert BUILDING not in project.call("ready", patch=patch)[1]


@on_debian
@pytest.mark.parametrize(
    ("docker", "program", "answers", "said"),
    [
        (REFUSED, "apt-get", {"--print-uris update": "exit 0"}, "name no mirror of Debian"),
        (REFUSED, "apt-get", UNSIGNED, "is not signed"),
        (REFUSED, "mmdebstrap", {"*": 'echo "E: ${@: -2:1} full"; exit 1'}, "image.tar full"),
        (
            REFUSED,
            "docker",
            {"import *": "echo Error response; exit 1"},
            f"{BASE} here: Error resp",
        ),
        (NO_COMPOSE, "apt-get", {"-c * download *": "echo E: gone; exit 100"}, "Compose: E: gone"),
        (NO_COMPOSE, "dpkg", {"-x *": f"PLUGIN='echo bad; exit 1'{DPKG['-x *']}"}, "here: bad"),
        (NO_COMPOSE, "docker", {"version *": "rmdir home; touch home"}, "Cannot write to "),
    ],
)
def test_failure_with_debian_packages_is_reported(
    project: Project, docker: dict[str, str], program: str, answers: dict[str, str], said: str
) -> None:
    """A failure with Debian's packages is reported with its reason, and leaves no file."""
    project.answer("docker", docker)
    project.answer(program, answers)
    code, lines = project.call("ready")

    assert (code, len(lines)) == (1, 2 if docker is NO_COMPOSE else 4)
    assert said in lines[-1]
    assert not any(path.is_file() for path in project.home.rglob("*"))
    assert not (project.folder / ".env").exists()


@on_debian
def test_compose_comes_from_debian_and_clean_removes_it(project: Project) -> None:
    """Debian's Compose is put into Docker's plugin folder, and `make clean` removes it."""
    own = str(project.folder / "own")
    for env, plugins in ({"DOCKER_CONFIG": own}, own), ({}, str(project.home / ".docker")):
        folder = Path(plugins, "cli-plugins")
        project.answer("docker", {"compose version": "exit 1"})
        code, lines = project.run("make", "docker", **env)
        assert (code, lines) == (0, [f"Docker has no Compose v2; putting Debian's into {folder}."])
        assert (folder / "docker-compose").stat().st_mode & stat.S_IXUSR
        assert not any((project.folder / "scratch").iterdir())
        project.answer("docker", {"compose version": ""})
        assert project.run("make", "clean", **env) == (0, [])
        assert not any(folder.iterdir())


@pytest.mark.parametrize("image", ["mine:1", "python:3.99-slim"])
def test_chosen_image_is_never_replaced(project: Project, image: str) -> None:
    """A base image that the user chose is never replaced, even if it cannot be pulled."""
    project.answer("docker", REFUSED | {"image inspect *": "exit 1"})
    env = project.folder / ".env"
    env.write_text(f"PYTHON_IMAGE={image}\n")
    code, lines = project.call("ready")

    assert code == 1
    assert lines[-1] == (
        f"{image} cannot be pulled: check the name, the network, docker login;"
        " PYTHON_IMAGE in .env or your shell. Docker says: no such host"
    )
    assert env.read_text() == f"PYTHON_IMAGE={image}\n"


def test_setting_a_variable_changes_one_line_of_env(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Setting a variable in .env changes no other line, and keeps a symbolic link."""
    monkeypatch.chdir(tmp_path)
    env, real = Path(".env"), Path("real")
    env.symlink_to(real)
    ready.set_in_env("A=own")
    assert real.read_bytes() == b"A=own\n"
    for before, after in (
        (b"B=1", b"B=1\nA=own\n"),
        (b"A=old # why\r\nB=1\n", b"A=own\r\nB=1\n"),
        (b"  export A = old\nB='1", b"  export A=own\nB='1"),
        (b"# A=old\nAA=1\nB=\xff\n", b"# A=old\nAA=1\nB=\xff\nA=own\n"),
    ):
        real.write_bytes(before)
        ready.set_in_env("A=own")
        assert real.read_bytes() == after
    assert env.is_symlink()


@pytest.mark.parametrize(
    ("command", "answer", "said"),
    [
        ("version *", ADVICE, f"{NO_DAEMON}no such host"),
        ("version *", "echo permission denied >&2; exit 1", f"{NO_DAEMON}permission denied. Join"),
        ("compose config *", "echo unexpected >&2; exit 15", f"{UNUSABLE}unexpected."),
        (
            "compose config *",
            "echo bad project name >&2; exit 1",
            f"{UNUSABLE}bad project name. Set",
        ),
        (
            "compose config *",
            'echo \'{"services": {"db": {}}}\'',
            "Compose reads another file than",
        ),
        ("network inspect *", f"echo '{LAN}'", "SUBNET=198.18.0.0/29 overlaps 198.18.0.0/16 of"),
    ],
)
def test_reason_why_the_pair_cannot_start_is_reported(
    project: Project, command: str, answer: str, said: str
) -> None:
    """The reason why the pair cannot start is reported before anything is pulled."""
    project.answer("docker", {command: answer})
    code, lines = project.call("ready")

    assert code == 1
    assert lines[0].startswith(said)
    assert "--help" not in lines[0]
    assert not any("image" in call for call in project.calls)


def test_missing_docker_is_reported(project: Project) -> None:
    """The error for a missing `docker` names the page on how to install Docker."""
    (project.bin / "docker").unlink()
    said = "docker cannot be run, No such file or directory: see https://docs.docker.com/engine/install/."

    assert project.call("ready", PATH=str(project.bin)) == (1, [said])


def test_build_is_shown_if_it_fails(project: Project) -> None:
    """A failed build shows its output, and a successful build shows nothing."""
    project.answer("docker", {"compose build": "echo step 1"})
    assert project.call("ready") == (0, [])
    project.answer("docker", {"compose build": "echo step 1; echo no space >&2; exit 17"})
    failed = ["step 1", "no space", "The images cannot be built, see above."]
    assert project.call("ready") == (1, failed)


def test_folder_with_an_accent_is_built_without_buildkit(project: Project) -> None:
    """BuildKit, which refuses a folder name with an accent, is not used in such a folder."""
    project.answer("docker", {"compose build": "echo $DOCKER_BUILDKIT >built"})
    for name, buildkit in (("código", "0\n"), ("codigo", "\n")):
        (project.folder / name).mkdir()
        command = f"cd {name} && PYTHONPATH=.. $PYTHON -m scripts.ready"
        assert project.run("sh", "-c", command) == (0, [])
        assert (project.folder / name / "built").read_text() == buildkit
