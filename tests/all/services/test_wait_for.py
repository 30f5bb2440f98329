"""What others copy, as it stands: the Compose files of examples, and README.md's own lines."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from socket import socket

import pytest
import yaml
from docker import DockerClient
from docker.errors import NotFound
from docker.models.containers import Container
from testcontainers.compose import DockerCompose

from app import __version__
from tests.lib.containers import Json, exit_code, logged, logs
from tests.lib.peers import listening
from tests.lib.services import SERVICES
from tests.lib.support import ROOT, linux_only, until
from tools.dist import build_pyz

Find = Callable[[str], Container]

README = (ROOT / "README.md").read_text(encoding="utf-8")
# What the official image does with POSTGRES_PASSWORD.
DATABASE = SERVICES["postgresql"]._replace(
    script="""
echo "ALTER USER postgres PASSWORD 'example'" |
    /usr/lib/postgresql/17/bin/postgres --single -D /etc/postgresql/17/main
"""
    + SERVICES["postgresql"].script
)


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[str]:
    """Serve the project by Git, with a tag for its version; yield the address."""
    folder = tmp_path / "tcp-pair.git"
    shutil.copytree(ROOT / "app", folder / "app")
    for name in (".dockerignore", "Dockerfile.client"):
        shutil.copy(ROOT / name, folder)
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x"]
    for command in ("init -q", "add .", "commit -q -m All", f"tag v{__version__}"):
        subprocess.run([*git, *command.split()], check=True)

    def serve(connection: socket) -> None:
        connection.setblocking(True)
        daemon = ["git", "daemon", "--inetd", "--export-all", f"--base-path={tmp_path}"]
        number = connection.fileno()
        subprocess.run(daemon, stdin=number, stdout=number, check=True)

    with listening(serve) as (host, port):
        yield f"git://{host}:{port}/tcp-pair.git"


@pytest.fixture
def database(services_image: str) -> tuple[Path, Json]:
    """Return the example, and what turns its database into one that takes its time to start."""
    path = {"image": services_image, "environment": {"PATH": "/usr/lib/postgresql/17/bin:/bin"}}
    services = {"database": {"user": DATABASE.user, "command": DATABASE.command}, "app": {}}
    return ROOT / "examples" / "wait-for.yml", {name: path | services[name] for name in services}


@pytest.fixture
def two(services_image: str) -> tuple[Path, Json]:
    """Return the example of two services, and what makes them of the image of services."""
    image = {"image": services_image, "init": True}
    services = {name: image | {"command": SERVICES[name].command} for name in ("mysql", "redis")}
    return ROOT / "examples" / "wait-for-two.yml", services | {"app": image}


@pytest.fixture
def redis(
    repository: str, base_image: str, images: dict[str, str], services_image: str, tmp_path: Path
) -> tuple[Path, Json]:
    """Return the lines of README.md, and what they leave to the reader: a Redis, and a user of it.

    Only the address of the repository is another.
    """
    (block,) = re.findall(r"^```yml\n(services:\n.*?)^```$", README, re.M | re.S)
    file = tmp_path / "pasted.yml"
    file.write_text(block.replace("https://github.com/OWNER/tcp-pair.git", repository))
    env = yaml.safe_load(block)["services"]["wait"]["environment"]
    return file, {
        "redis": {"image": services_image, "init": True, "command": SERVICES["redis"].command},
        "wait": {"build": {"args": {"PYTHON_IMAGE": base_image}}},
        "app": {"image": images["client"], "environment": env | {"WRONG_REPLY": "fail"}},
    }


@pytest.fixture
def stack(
    request: pytest.FixtureRequest,
    file: str,
    run_name: str,
    base_image: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[DockerCompose]:
    """Have a Compose file started, whose fixture has this name."""
    # First, because the variables would change what it builds.
    path, services = request.getfixturevalue(file)
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", f"{run_name}-stack")
    monkeypatch.setenv("PYTHON_IMAGE", base_image)
    ours = tmp_path / "ours.yml"
    ours.write_text(json.dumps({"services": services, "networks": {"default": {"internal": True}}}))
    files = [str(path), str(ours)]
    compose = DockerCompose(tmp_path, compose_file_name=files, build=True, wait=False)
    yield compose
    compose.stop()


@pytest.fixture
def find(docker_client: DockerClient, run_name: str) -> Find:
    """Return what finds the container of a service once it is there."""

    def look(service: str) -> Container | None:
        with suppress(NotFound):
            return docker_client.containers.get(f"{run_name}-stack-{service}-1")
        return None

    def find(service: str) -> Container:
        found = until(lambda: look(service), 60, awaited=service)  # a build comes first
        assert found
        return found

    return find


@pytest.mark.parametrize(
    ("file", "waits", "said"),
    [
        ("database", {"wait": "database"}, "PostgreSQL 17"),
        ("two", {"wait-for-mysql": "mysql", "wait-for-redis": "redis"}, "PONG"),
        # Elsewhere Docker is in a VM, which does not reach the repository.
        pytest.param("redis", {"wait": "redis"}, r"+PONG\r\n", marks=linux_only),
    ],
)
def test_an_application_that_needs_services(
    waits: dict[str, str], said: str, stack: DockerCompose, find: Find
) -> None:
    """It starts only after each service has answered that it can be used, and works then."""
    with ThreadPoolExecutor() as pool:
        up = pool.submit(stack.start)  # which ends with the start of the application
        for wait, service in waits.items():
            not_yet = (SERVICES | {"database": DATABASE})[service].not_yet
            logged(find(wait), not_yet)
            assert find("app").status == "created"
            find(service).exec_run(["touch", "/tmp/go"])
        up.result()

    app = find("app")
    assert exit_code(app) == 0
    assert said in logs(app).stdout
    started = datetime.fromisoformat(app.attrs["State"]["StartedAt"])
    for wait in waits:
        assert datetime.fromisoformat(find(wait).attrs["State"]["FinishedAt"]) < started


@pytest.mark.parametrize("file", ["database"])
def test_a_database_that_never_answers(
    stack: DockerCompose, find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compose fails at the client's deadline, and the application has never been started."""
    monkeypatch.setenv("DEADLINE", "1")
    with pytest.raises(subprocess.CalledProcessError):
        stack.start()
    # Which of the two depends on whether PostgreSQL has come so far as to say that it is starting.
    assert exit_code(find("wait")) in {69, 76}
    assert find("app").status == "created"


def test_the_one_file_in_an_image(
    docker_client: DockerClient, run_name: str, base_image: str, tmp_path: Path
) -> None:
    """COPY is all that an image with Python needs: both programs run in it."""
    build_pyz(tmp_path / "tcp-pair.pyz")
    (copy,) = re.findall("`(COPY .*?)`", README)
    (tmp_path / "Dockerfile").write_text(f"FROM {base_image}\n{copy}\n")
    name = f"{run_name}-pyz"
    docker_client.images.build(path=str(tmp_path), tag=name, rm=True)
    env = {"HOST": "127.0.0.1", "SERVER_HOST": "127.0.0.1"}
    command = "python3 tcp-pair.pyz"
    options = {"name": name, "environment": env, "network_mode": "none", "detach": True}
    server = docker_client.containers.run(name, f"{command} server", **options)
    try:
        done = server.exec_run(f"{command} client", demux=True)
        assert (done.exit_code, done.output[0]) == (0, b"SERVER OK - STATUS 200\n")
    finally:
        server.remove(force=True)
