"""What is said where Docker, or its Compose, is not as it must be, and Compose out of Debian."""

import stat

import pytest

from tests.make.conftest import Project, on_debian

NO_COMPOSE = {"compose version": "exit 1"}


@pytest.mark.parametrize("kind", ["missing", "not a program"])
def test_no_docker(project: Project, kind: str) -> None:
    """Where there is none, the advice is to install it; one that cannot be run is named."""
    docker = project.bin / "docker"
    docker.unlink() if kind == "missing" else docker.chmod(0o644)
    said = project.refusal("docker.make_ready", PATH=str(project.bin))

    assert ("is not installed" if kind == "missing" else "Permission denied") in said


@pytest.mark.parametrize(
    ("stderr", "env", "said"),
    [
        ("dial unix /var/run/docker.sock: connect: permission denied", {}, "usermod -aG docker"),
        ("Cannot connect to it", {}, "start it (sudo systemctl start docker, or"),
        ("no such host", {"DOCKER_HOST": "tcp://x"}, "correct or unset DOCKER_HOST=tcp://x"),
        ("not found", {"DOCKER_CONTEXT": "far"}, "correct or unset DOCKER_CONTEXT=far"),
    ],
    ids=["no permission", "no daemon", "host", "context"],
)
def test_no_daemon(project: Project, stderr: str, env: dict[str, str], said: str) -> None:
    """Each cause has its advice, with what Docker says of it where that tells more."""
    project.answer("docker", {"version *": f"echo '{stderr}' >&2; exit 1"})
    line = project.refusal("docker.make_ready", **env)

    assert said in line
    assert "permission" in stderr or line.endswith(f"Docker says: {stderr}")


@on_debian
@pytest.mark.parametrize(
    ("name", "below"), [("HOME", ".docker/cli-plugins"), ("DOCKER_CONFIG", "cli-plugins")]
)
def test_compose_out_of_debian(project: Project, name: str, below: str) -> None:
    """It comes from the first source that is a mirror, and a marker says that it is ours.

    Docker looks for it in DOCKER_CONFIG, and only without that in the home.
    """
    project.answer("docker", NO_COMPOSE)
    folder = project.folder / "own" / below
    code, lines = project.run("make", "docker", **{name: str(project.folder / "own")})

    assert (code, lines) == (0, [f"Docker has no Compose v2; putting Debian's into {folder}."])
    assert {path.name for path in folder.iterdir()} == {"docker-compose", ".tcp-pair-compose"}
    assert (folder / "docker-compose").stat().st_mode & stat.S_IXUSR
    assert not any((project.folder / "scratch").iterdir())
    assert not any(project.home.iterdir())


@on_debian
@pytest.mark.parametrize(
    ("apt", "env", "said"),
    [
        ({"-c * update *": "echo E: no; exit 100"}, {}, "Cannot get Debian's Compose: E: no"),
        ({"-c * download *": "echo E: gone; exit 100"}, {}, "Cannot get Debian's Compose: E: gone"),
        ({}, {"PLUGIN": "echo bad ELF; exit 1"}, "Debian's Compose does not run here: bad ELF"),
        ({}, {"HOME": "/dev/null"}, "Cannot write to /dev/null/.docker/cli-plugins"),
        ({}, {"HOME": ""}, "HOME is not set"),
    ],
    ids=["no answer", "no package", "does not run", "home read-only", "no home"],
)
def test_no_compose(project: Project, apt: dict[str, str], env: dict[str, str], said: str) -> None:
    """Where Compose cannot be had the reason is said, and nothing is left behind."""
    project.answer("docker", NO_COMPOSE)
    project.answer("apt-get", apt)

    assert project.refusal("docker.make_ready", **env).startswith(said)
    assert not [path for path in project.home.rglob("*") if path.is_file()]
