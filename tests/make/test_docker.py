"""What is said if Docker or its Compose is missing, and Compose out of Debian."""

import stat

import pytest

from tests.make.conftest import Project, on_debian

NO_COMPOSE = {"compose version": "exit 1"}


@pytest.mark.parametrize("why", ["No such file or directory", "Permission denied"])
def test_no_docker(project: Project, why: str) -> None:
    """A docker that is missing or cannot be run is reported with the way to install one."""
    docker = project.bin / "docker"
    docker.unlink() if why.startswith("No") else docker.chmod(0o644)
    said = project.refusal("docker.make_ready", PATH=str(project.bin))

    assert said.startswith(f"docker cannot be run, {why}: https://docs.docker.com/")


@pytest.mark.parametrize(
    ("stderr", "advice"),
    [("socket: permission denied", "usermod -aG docker"), ("no such host", "systemctl start")],
)
def test_no_daemon(project: Project, stderr: str, advice: str) -> None:
    """The advice fits the cause, and Docker's own words follow, without its last paragraph."""
    answer = (
        f"printf \"{stderr}\n\nRun 'docker version --help' for more information\n\" >&2; exit 1"
    )
    project.answer("docker", {"version *": answer})
    line = project.refusal("docker.make_ready")

    assert advice in line
    assert line.endswith(f"Docker says: {stderr}")


@on_debian
@pytest.mark.parametrize(
    ("name", "below"), [("HOME", ".docker/cli-plugins"), ("DOCKER_CONFIG", "cli-plugins")]
)
def test_compose_out_of_debian(project: Project, name: str, below: str) -> None:
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
        ({}, {"HOME": ""}, "HOME is not set"),
    ],
    ids=["no package", "does not run", "home read-only", "no home"],
)
def test_no_compose(project: Project, apt: dict[str, str], env: dict[str, str], said: str) -> None:
    """A failure is reported with its reason and leaves nothing behind."""
    project.answer("docker", NO_COMPOSE)
    project.answer("apt-get", apt)

    assert project.refusal("docker.make_ready", **env).startswith(said)
    assert not [path for path in project.home.rglob("*") if path.is_file()]
