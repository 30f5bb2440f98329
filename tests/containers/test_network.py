"""The network between the two containers, or the server, taken away and given back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from docker import DockerClient
from docker.models.containers import Container
from docker.models.networks import Network

from tests.containers.support import NewPair, Pair, connected, exit_code, logged, result

StartClient = Callable[..., Container]

NO_REPLY = " 0 of 22 bytes"


@pytest.fixture(scope="module")
def pair(new_pair: NewPair) -> Iterator[Pair]:
    """Return a pair whose server listens, and whose client is for each test to start."""
    with new_pair() as pair:
        pair.start("server")
        logged(pair.server, "listening")
        yield pair


@pytest.fixture
def network(pair: Pair, docker_client: DockerClient) -> Network:
    """Return the pair's network."""
    return docker_client.networks.get(pair.network)


@pytest.fixture
def start_client(pair: Pair) -> Iterator[StartClient]:
    """Return what starts a client, quick to try again, at its fixed address."""
    started: list[Container] = []
    quick = {"RETRY_DELAY": "0.2", "CONNECT_TIMEOUT": "0.5", "REPLY_TIMEOUT": "0.5"}
    settings = {"SERVER_HOST": pair.env["SERVER_HOST"], "OUTPUT": "json"} | quick

    def start(**more: str) -> Container:
        image, name = f"{pair.project}-client", f"{pair.project}-tried"
        address = pair.env["CLIENT_HOST"]
        started.append(pair.run(image, address, name=name, environment=settings | more))
        return started[-1]

    yield start
    for container in started:
        container.remove(force=True)


@contextmanager
def disconnected(network: Network, container: Container, address: str) -> Iterator[None]:
    """Take a container off the network, and give it back at the same address."""
    network.disconnect(container)
    try:
        yield
    finally:
        network.connect(container, ipv4_address=address)


@contextmanager
def paused(container: Container) -> Iterator[None]:
    """Let a container stand still, while the kernel goes on for it."""
    container.pause()
    try:
        yield
    finally:
        container.unpause()


def ended(client: Container) -> tuple[int, str]:
    """Wait for a client's end, which is not its first attempt's; its exit code and status."""
    code = exit_code(client)
    found = result(client)
    assert found["exit_code"] == code
    assert found["attempts"] > 1
    return code, found["status"]


def test_a_server_off_the_network(pair: Pair, network: Network, start_client: StartClient) -> None:
    """A server that is given back in time, at the same address, is no more than late."""
    with disconnected(network, pair.server, pair.env["SERVER_HOST"]):
        client = start_client(DEADLINE="60")
        logged(client, "waiting")

    assert ended(client) == (0, "ok")


def test_a_server_off_the_network_for_good(
    pair: Pair, network: Network, start_client: StartClient
) -> None:
    """A server that is not given back cannot be connected to, until the deadline."""
    with disconnected(network, pair.server, pair.env["SERVER_HOST"]):
        assert ended(start_client(DEADLINE="2")) == (69, "unavailable")


def test_a_client_off_the_network(pair: Pair, network: Network, start_client: StartClient) -> None:
    """A client that is itself without a network waits for one."""
    with paused(pair.server):
        client = start_client(DEADLINE="60")
        logged(client, NO_REPLY)
        with disconnected(network, client, pair.env["CLIENT_HOST"]):
            logged(client, "unreachable")

    assert ended(client) == (0, "ok")


def test_a_network_that_swallows_a_reply(
    pair: Pair, network: Network, start_client: StartClient
) -> None:
    """A reply that never comes, since the network has gone meanwhile, is asked for again."""
    server = pair.server
    with paused(server):
        client = start_client(DEADLINE="60", REPLY_TIMEOUT="3")
        connected(client)
        network.disconnect(server)
    try:
        logged(client, NO_REPLY)
    finally:
        network.connect(server, ipv4_address=pair.env["SERVER_HOST"])

    assert ended(client) == (0, "ok")


def test_a_server_that_stands_still(pair: Pair, start_client: StartClient) -> None:
    """The kernel still connects for a server that is paused; no reply comes in time."""
    with paused(pair.server):
        assert ended(start_client(DEADLINE="2")) == (75, "no-reply")


def test_a_server_that_stands_still_for_a_while(pair: Pair, start_client: StartClient) -> None:
    """Once it goes on, it answers who still waits."""
    with paused(pair.server):
        client = start_client(DEADLINE="60")
        logged(client, NO_REPLY)

    assert ended(client) == (0, "ok")


def test_a_server_that_is_killed_for_good(pair: Pair, start_client: StartClient) -> None:
    """A server that is killed before its reply cannot be connected to, until the deadline."""
    server = pair.server
    server.pause()
    client = start_client(DEADLINE="3", REPLY_TIMEOUT="60")
    connected(client)
    server.kill()

    assert ended(client) == (69, "unavailable")
    server.start()
