"""The purpose of this project: a client that starts first waits until the server is up.

One test makes the containers with testcontainers, the other with docker-compose.yml. Each container
has a fixed address from .env.
"""

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from docker import DockerClient
from docker.models.containers import Container
from docker.types import IPAMConfig, IPAMPool
from dotenv import dotenv_values, set_key
from testcontainers.compose import DockerCompose
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from tests.lib.containers import NewPair, exit_code, log_of, on_a_free_subnet
from tests.lib.support import ROOT

# The client tries again sooner than by default.
QUICK = {"CONNECT_TIMEOUT": "0.5", "RETRY_DELAY": "0.2"}


def test_the_client_waits_until_the_server_is_up(
    containers: dict[str, DockerContainer], env: Path
) -> None:
    """The client waits until the server starts, gets the reply and ends with 0."""
    client, server = containers["client"], containers["server"]
    client.waiting_for(log("waiting for")).start()
    client.reload()
    assert client.status == "running"

    server.waiting_for(log("listening on")).start()
    assert client.wait() == 0
    assert client.get_logs()[0] == b"SERVER OK - STATUS 200\n"
    wrapped = client.get_wrapped_container(), server.get_wrapped_container()
    check_logs(*wrapped, dotenv_values(env))


def test_client_waits_with_docker_compose(new_pair: NewPair) -> None:
    """The client of docker-compose.yml waits until the server starts, and gets the reply."""
    pair = new_pair(**QUICK)
    client = DockerCompose(pair.folder, services=["client"], wait=False)
    client.waiting_for({"client": log("waiting for")}).start()
    assert client.get_container("client").State == "running"

    DockerCompose(pair.folder, services=["server"], wait=False).start()
    assert exit_code(pair.client) == 0
    assert pair.client.logs(stderr=False) == b"SERVER OK - STATUS 200\n"
    check_logs(pair.client, pair.server, pair.env)


def log(text: str) -> LogMessageWaitStrategy:
    """Return a strategy that waits until a container logs this text."""
    return LogMessageWaitStrategy(text).with_poll_interval(0.05)


def check_logs(client: Container, server: Container, env: Mapping[str, str | None]) -> None:
    """Assert that the client tried more than once, and that both have their fixed addresses."""
    pattern = rf"expected reply from {env['SERVER_HOST']}:8888 \(attempt (\d+),"
    reply = re.search(pattern, log_of(client))
    assert reply
    assert int(reply[1]) > 1
    assert f" {env['CLIENT_HOST']}:" in log_of(server)


@pytest.fixture
def env(tmp_path: Path) -> Path:
    """Copy .env.example to .env, as a user does."""
    path = Path(shutil.copy(ROOT / ".env.example", tmp_path / ".env"))
    for name, value in QUICK.items():
        set_key(path, name, value)
    return path


@pytest.fixture
def containers(
    docker_client: DockerClient, images: dict[str, str], run_name: str, env: Path
) -> Iterator[dict[str, DockerContainer]]:
    """Make a network, and describe both containers with the lines of .env; neither starts yet."""

    def create(addresses: dict[str, str]) -> Network:
        for name, value in addresses.items():
            set_key(env, name, value)
        pool = IPAMPool(addresses["SUBNET"], addresses["IP_RANGE"])
        options = {"internal": True, "ipam": IPAMConfig(pool_configs=[pool])}
        network = Network(docker_network_kw=options)
        network.name = f"{run_name}-network"
        return network.create()

    network, found = on_a_free_subnet(create), {}
    for service, image in images.items():
        address = dotenv_values(env)[f"{service.upper()}_HOST"] or ""
        container = found[service] = DockerContainer(image, name=f"{network.name}-{service}")
        endpoint = docker_client.api.create_endpoint_config(ipv4_address=address)
        container.with_network(network).with_kwargs(networking_config={network.name: endpoint})
        container.with_env_file(env).with_env("HOST", address)  # which only the server reads
    yield found
    for container in found.values():
        container.stop()
    network.remove()
