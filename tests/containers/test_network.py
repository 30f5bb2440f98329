"""The network between the two containers, or the server, taken away and given back."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from docker.models.containers import Container

from tests.containers.conftest import Start
from tests.containers.support import NewPair, Pair, connected, exit_code, logged, result

QUICK = {"RETRY_DELAY": "0.2", "CONNECT_TIMEOUT": "0.3", "REPLY_TIMEOUT": "0.3"}
NO_REPLY = " 0 of 22 bytes"

StartClient = Callable[..., Container]
Fault = Callable[[Pair, Container], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def pair(new_pair: NewPair) -> Iterator[Pair]:
    """Return a pair whose server listens, and whose client is for each test to start."""
    with new_pair() as pair:
        pair.start("server")
        logged(pair.server, "listening")
        yield pair


@pytest.fixture
def start_client(pair: Pair, start: Start) -> StartClient:
    """Return what starts a client, quick to try again, at its fixed address."""
    settings = {"SERVER_HOST": pair.env["SERVER_HOST"], "OUTPUT": "json"} | QUICK

    def start_client(**more: str) -> Container:
        image, address = f"{pair.project}-client", pair.env["CLIENT_HOST"]
        return start(image, address, environment=settings | more)

    return start_client


@contextmanager
def disconnected(pair: Pair, container: Container, host: str = "SERVER_HOST") -> Iterator[None]:
    """Take a container off the network, and give it back at the same address."""
    pair.bridge.disconnect(container)
    try:
        yield
    finally:
        pair.bridge.connect(container, ipv4_address=pair.env[host])


@contextmanager
def paused(_: Pair, container: Container) -> Iterator[None]:
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


@pytest.mark.parametrize(("fault", "said"), [(disconnected, "waiting"), (paused, NO_REPLY)])
def test_a_server_that_comes_back(
    pair: Pair, start_client: StartClient, fault: Fault, said: str
) -> None:
    """Taken off the network, or standing still, for a while, it is no more than late."""
    with fault(pair, pair.server):
        client = start_client(DEADLINE="60")
        logged(client, said)

    assert ended(client) == (0, "ok")


@pytest.mark.parametrize(
    ("fault", "end"), [(disconnected, (69, "unavailable")), (paused, (75, "no-reply"))]
)
def test_a_server_that_does_not_come_back(
    pair: Pair, start_client: StartClient, fault: Fault, end: tuple[int, str]
) -> None:
    """It cannot be connected to until the deadline; for one that is paused the kernel connects."""
    with fault(pair, pair.server):
        assert ended(start_client(DEADLINE="1.5")) == end


def test_a_client_off_the_network(pair: Pair, start_client: StartClient) -> None:
    """A client that is itself without a network waits for one."""
    with paused(pair, pair.server):
        client = start_client(DEADLINE="60")
        logged(client, NO_REPLY)
        with disconnected(pair, client, "CLIENT_HOST"):
            logged(client, "unreachable")

    assert ended(client) == (0, "ok")


def test_a_network_that_swallows_a_reply(pair: Pair, start_client: StartClient) -> None:
    """A reply that never comes, since the network has gone meanwhile, is asked for again."""
    server = pair.server
    with paused(pair, server):
        client = start_client(DEADLINE="60", REPLY_TIMEOUT="2")
        connected(client)
        pair.bridge.disconnect(server)
    try:
        logged(client, NO_REPLY)
    finally:
        pair.bridge.connect(server, ipv4_address=pair.env["SERVER_HOST"])

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
