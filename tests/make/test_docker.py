"""What make reports if Docker or its Compose is missing, and Compose out of Debian."""

import stat

import pytest

from tests.lib.project import Project, on_debian

NO_COMPOSE = {"compose version": "exit 1"}


@pytest.mark.parametrize("why", ["No such file or directory", "Permission denied"])
def test_docker_that_cannot_be_run_is_reported(project: Project, why: str) -> None:
    """The message names the way to install Docker."""
    docker = project.bin / "docker"
    docker.unlink() if why.startswith("No") else docker.chmod(0o644)
    code, (line,) = project.call("ready", PATH=str(project.bin))

    assert code == 1
    assert line.startswith(f"docker cannot be run, {why}: see https://docs.docker.com/")


@pytest.mark.parametrize(
    ("stderr", "more"), [("permission denied", "usermod -aG docker"), ("no such host", "no such")]
)
def test_daemon_that_does_not_answer_is_reported(project: Project, stderr: str, more: str) -> None:
    """Docker's reason follows, without Docker's advice but with ours."""
    words = f"{stderr}\n\nRun 'docker version --help' for more information\n"
    project.answer("docker", {"version *": f'printf "{words}" >&2; exit 1'})
    code, (line,) = project.call("ready")

    assert code == 1
    assert line.startswith(f"The Docker daemon does not answer: {stderr}")
    assert more in line
    assert "more information" not in line


@on_debian
@pytest.mark.parametrize(
    ("name", "below"), [("HOME", ".docker/cli-plugins"), ("DOCKER_CONFIG", "cli-plugins")]
)
def test_compose_comes_from_debian_and_clean_removes_it(
    project: Project, name: str, below: str
) -> None:
    """Compose goes into Docker's own plugin folder, and make clean removes it."""
    project.answer("docker", NO_COMPOSE)
    folder = project.folder / "own" / below
    env = {name: str(project.folder / "own")}
    code, lines = project.run("make", "docker", **env)

    assert (code, lines) == (0, [f"Docker has no Compose v2; putting Debian's into {folder}."])
    assert (folder / "docker-compose").stat().st_mode & stat.S_IXUSR
    assert not any((project.folder / "scratch").iterdir())
    assert not any(project.home.iterdir())
    project.answer("docker", {"compose version": ""})
    assert project.run("make", "clean", **env) == (0, [])
    assert not any(folder.iterdir())


@on_debian
@pytest.mark.parametrize(
    ("apt", "env", "said"),
    [
        ({"-c * download *": "echo E: gone; exit 100"}, {}, "Cannot get Debian's Compose: E: gone"),
        ({}, {"PLUGIN": "echo bad ELF; exit 1"}, "Debian's Compose does not run here: bad ELF"),
        ({}, {"HOME": "/dev/null"}, "Cannot write to /dev/null/.docker/cli-plugins"),
    ],
    ids=["no package", "does not run", "home read-only"],
)
def test_compose_that_cannot_be_had_is_reported(
    project: Project, apt: dict[str, str], env: dict[str, str], said: str
) -> None:
    """A failure is reported with its reason and leaves nothing behind."""
    project.answer("docker", NO_COMPOSE)
    project.answer("apt-get", apt)
    code, lines = project.call("ready", **env)

    assert code == 1
    assert lines[-1].startswith(said)
    assert not any(path.is_file() for path in project.home.rglob("*"))
