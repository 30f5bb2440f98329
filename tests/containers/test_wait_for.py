"""What others copy, as it stands: examples/wait-for.yml, and README.md's own lines for that."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from socket import socket

import pytest
import yaml
from docker import DockerClient
from docker.models.containers import Container
from docker.models.networks import Network
from docker.types import IPAMConfig, IPAMPool
from testcontainers.compose import DockerCompose
from testcontainers.core.exceptions import ContainerIsNotRunning

from app import __version__
from scripts.dist import build_pyz
from tests.containers.services import SERVICES
from tests.containers.support import Json, exit_code, logged, logs, moment, on_a_free_subnet
from tests.peers import listening
from tests.support import ROOT, linux_only, until

# Each Compose file by the service that it waits for.
WAITED_FOR = {"database": SERVICES["PostgreSQL"], "redis": SERVICES["Redis"]}
README = (ROOT / "README.md").read_text(encoding="utf-8")
# What the official image does with POSTGRES_PASSWORD.
SET_PASSWORD = """
echo "ALTER USER postgres PASSWORD 'example'" | postgres --single -D /etc/postgresql/17/main
"""


@pytest.fixture
def network(docker_client: DockerClient, run_name: str) -> Iterator[Network]:
    """Make a network on a free subnet."""

    def create(addresses: dict[str, str]) -> Network:
        ipam = IPAMConfig(pool_configs=[IPAMPool(addresses["SUBNET"])])
        return docker_client.networks.create(f"{run_name}-wait-for", internal=True, ipam=ipam)

    network = on_a_free_subnet(create)
    yield network
    network.remove()


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[str]:
    """Serve the project by Git, with a tag for its version; yield the address."""
    folder = tmp_path / "tcp-pair.git"
    shutil.copytree(ROOT / "app", folder / "app")
    for name in (".dockerignore", "Dockerfile.client"):
        shutil.copy(ROOT / name, folder)
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message=All"], check=True)
    subprocess.run([*git, "tag", f"v{__version__}"], check=True)

    def serve(connection: socket) -> None:
        connection.setblocking(True)
        daemon = ["git", "daemon", "--inetd", "--export-all", f"--base-path={tmp_path}"]
        number = connection.fileno()
        subprocess.run(daemon, stdin=number, stdout=number, check=True)

    with listening(serve) as (host, port):
        yield f"git://{host}:{port}/tcp-pair.git"


@pytest.fixture
def database(services_image: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Json]:
    """Return the example, and what turns its database into one that takes its time to start."""
    monkeypatch.setenv("DATABASE_IMAGE", services_image)
    script, user, *_ = WAITED_FOR["database"]
    path = {"environment": {"PATH": "/usr/lib/postgresql/17/bin:/usr/bin:/bin"}}
    command = ["sh", "-ec", SET_PASSWORD + script]
    services = {"database": path | {"user": user, "command": command}, "app": path}
    return ROOT / "examples" / "wait-for.yml", services


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
    services = {
        "redis": {
            "image": services_image,
            "command": ["sh", "-ec", WAITED_FOR["redis"].script],
        },
        "wait": {"build": {"args": {"PYTHON_IMAGE": base_image}}},
        "app": {"image": images["client"], "environment": env | {"WRONG_REPLY": "fail"}},
    }
    return file, services


@pytest.fixture
def stack(
    request: pytest.FixtureRequest,
    service: str,
    run_name: str,
    base_image: str,
    network: Network,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[DockerCompose]:
    """Have the file started that waits for this service."""
    # First, because the variables would change what it builds.
    file, services = request.getfixturevalue(service)
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", f"{run_name}-stack")
    monkeypatch.setenv("PYTHON_IMAGE", base_image)
    ours = tmp_path / "ours.yml"
    networks = {"default": {"external": True, "name": network.name}}
    ours.write_text(json.dumps({"services": services, "networks": networks}))
    files = [str(file), str(ours)]
    compose = DockerCompose(tmp_path, compose_file_name=files, build=True, wait=False)
    try:
        yield compose
    finally:
        compose.stop()


@pytest.fixture
def find(docker_client: DockerClient, stack: DockerCompose) -> Callable[[str], Container]:
    """Return what finds the container of a service once it is there."""

    def find(service: str) -> Container:
        def look() -> str | None:
            with suppress(ContainerIsNotRunning):
                return stack.get_container(service, include_all=True).ID
            return None

        return docker_client.containers.get(until(look, 60))  # a build comes first

    return find


@pytest.fixture
def up(stack: DockerCompose) -> Iterator["Future[None]"]:
    """Start it, which ends with the start of the application."""
    with ThreadPoolExecutor() as pool:
        yield pool.submit(stack.start)


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ("database", "PostgreSQL 17"),
        pytest.param("redis", r"+PONG\r\n", marks=linux_only),  # elsewhere Docker is in a VM
    ],
)
def test_an_application_that_needs_a_service(
    service: str, said: str, up: "Future[None]", find: Callable[[str], Container]
) -> None:
    """It starts only after the service has answered that it can be used, and works then."""
    logged(find("wait"), f"Wrong reply: {WAITED_FOR[service].not_yet}")
    assert find("app").status == "created"
    find(service).exec_run(WAITED_FOR[service].go)
    up.result()

    app = find("app")
    assert exit_code(app) == 0
    assert said in logs(app).stdout
    answered, started = (find(name).attrs["State"] for name in ("wait", "app"))
    assert moment(answered["FinishedAt"]) < moment(started["StartedAt"])


@pytest.mark.parametrize("service", ["database"])
def test_a_database_that_never_answers(
    stack: DockerCompose, find: Callable[[str], Container], monkeypatch: pytest.MonkeyPatch
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
    image = f"{run_name}-pyz"
    docker_client.images.build(path=str(tmp_path), tag=image, rm=True)
    env = {"HOST": "127.0.0.1", "SERVER_HOST": "127.0.0.1"}
    command = "python3 tcp-pair.pyz"
    server = docker_client.containers.run(
        image,
        f"{command} server",
        name=image,
        environment=env,
        network_mode="none",
        detach=True,
    )
    try:
        done = server.exec_run(f"{command} client", demux=True)
        assert (done.exit_code, done.output[0]) == (0, b"SERVER OK - STATUS 200\n")
    finally:
        server.remove(force=True)
