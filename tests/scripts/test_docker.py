"""What is said where Docker, or its Compose, is not as it must be, and Compose out of Debian."""

import os
import signal
import stat
from pathlib import Path

import pytest

from tests.scripts.conftest import Project
from tests.support import until

NO_COMPOSE = {"compose version": "exit 1"}
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
on_debian = pytest.mark.skipif(not KEYRING.exists(), reason="only Debian's keyring trusts Debian")

# Two sources, of which the first is no mirror of Debian.
APT = {
    "--print-uris update": """
        echo "'http://one.example/dists/forky/InRelease' a 0"
        echo "'http://two.example/debian/dists/forky/main/Packages.xz' b 0" """,
    "-c * update *": """
        grep -q two.example/debian "${2%/*}/sources.list" && exit
        echo "E: no Release file in ${2%/*}/lists"; exit 100""",
    "-c * download *": 'touch "$4_1.deb"',
}
PLUGIN = "usr/libexec/docker/cli-plugins/docker-compose"


def debian(project: Project, plugin: str) -> None:
    """Let a host of Debian have this Compose."""
    project.answer("docker", NO_COMPOSE)
    project.answer("apt-get", APT)
    unpack = f'mkdir -p "$3/{PLUGIN.rpartition("/")[0]}"; cp {project.folder}/plugin "$3/{PLUGIN}"'
    project.answer("dpkg", {"-x *": unpack})
    path = project.folder / "plugin"
    path.write_text(f"#!/bin/sh\n{plugin}\n")
    path.chmod(0o755)


def test_all_is_well(project: Project) -> None:
    """Nothing is said, and nothing done, where Docker answers and has Compose."""
    assert project.run("make", "docker") == (0, [])
    assert not any(project.home.iterdir())


@pytest.mark.parametrize("kind", ["missing", "not a program"])
def test_no_docker(project: Project, kind: str) -> None:
    """Where there is none, the advice is to install it; one that cannot be run is named."""
    docker = project.bin / "docker"
    docker.unlink() if kind == "missing" else docker.chmod(0o644)
    code, (line,) = project.call("docker.make_ready", PATH=str(project.bin))

    assert code == 1
    assert ("is not installed" if kind == "missing" else "Permission denied") in line


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
    code, (line,) = project.call("docker.make_ready", **env)

    assert code == 1
    assert said in line
    assert "permission" in stderr or line.endswith(f"Docker says: {stderr}")


def test_a_docker_that_hangs(project: Project) -> None:
    """It is given up, and named, after a while."""
    project.answer("docker", {"version *": "exec sleep 60"})

    assert project.call("docker.make_ready", patch="docker.ANSWER = 0.2") == (
        1,
        ["docker version --format has not answered for 0.2 s."],
    )


@on_debian
@pytest.mark.parametrize(("name", "config"), [("HOME", "home"), ("DOCKER_CONFIG", "other")])
def test_compose_out_of_debian(project: Project, name: str, config: str) -> None:
    """It comes from the first source that is a mirror, and a marker says that it is ours.

    Docker looks for it in DOCKER_CONFIG, and only without that in the home.
    """
    debian(project, "exit 0")
    path = project.folder / config
    folder = path / ".docker/cli-plugins" if name == "HOME" else path / "cli-plugins"
    code, lines = project.run("make", "docker", **{name: str(path)})

    assert (code, lines) == (0, [f"Docker has no Compose v2; putting Debian's into {folder}."])
    assert {path.name for path in folder.iterdir()} == {"docker-compose", ".tcp-pair-compose"}
    assert (folder / "docker-compose").stat().st_mode & stat.S_IXUSR
    assert not any((project.folder / "scratch").iterdir())
    assert any(project.home.iterdir()) == (name == "HOME")


@on_debian
@pytest.mark.parametrize(
    ("plugin", "apt", "env", "said"),
    [
        ("echo bad ELF; exit 1", {}, {}, "Debian's Compose does not run here: bad ELF"),
        ("", {"-c * update *": APT["-c * update *"].replace("two", "x")}, {}, "E: no Release file"),
        ("", {"--print-uris update": "exit 0"}, {}, "name no mirror of Debian"),
        (
            "",
            {"-c * download *": "echo E: gone; exit 100"},
            {},
            "Cannot get Debian's Compose: E: go",
        ),
        ("", {}, {"HOME": "/dev/null"}, "Cannot write to /dev/null/.docker/cli-plugins"),
        ("", {}, {"HOME": ""}, "HOME is not set"),
    ],
    ids=["does not run", "no answer", "no mirror", "no package", "home read-only", "no home"],
)
def test_no_compose(
    project: Project, plugin: str, apt: dict[str, str], env: dict[str, str], said: str
) -> None:
    """Where Compose cannot be had the reason is said, and nothing is left behind."""
    debian(project, plugin)
    project.answer("apt-get", apt)
    code, lines = project.call("docker.make_ready", **env)

    assert code == 1
    assert said in lines[-1]
    assert not [path for path in project.home.rglob("*") if path.is_file()]


@on_debian
def test_an_interrupted_download(project: Project) -> None:
    """Ctrl-C ends the script and takes its temporary folder away."""
    debian(project, "")
    project.answer("apt-get", {"-c * download *": "touch ../here; exec sleep 60"})
    with project.start("make", "docker") as process:
        until((project.folder / "scratch/here").exists)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate()

    assert process.returncode != 0
    assert not [path for path in (project.folder / "scratch").iterdir() if path.is_dir()]
