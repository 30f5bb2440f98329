"""A server that is taken off the network, or stands still, for a while or for good."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from docker.models.containers import Container

from tests.containers.conftest import Start
from tests.containers.support import NewPair, Pair, exit_code, logged, result

QUICK = {"RETRY_DELAY": "0.2", "CONNECT_TIMEOUT": "0.3", "REPLY_TIMEOUT": "0.3"}

StartClient = Callable[..., Container]
Fault = Callable[[Pair], AbstractContextManager[None]]


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
def disconnected(pair: Pair) -> Iterator[None]:
    """Take the server off the network, and give it back at the same address."""
    pair.bridge.disconnect(pair.server)
    try:
        yield
    finally:
        pair.bridge.connect(pair.server, ipv4_address=pair.env["SERVER_HOST"])


@contextmanager
def paused(pair: Pair) -> Iterator[None]:
    """Let the server stand still, while the kernel goes on for it."""
    pair.server.pause()
    try:
        yield
    finally:
        pair.server.unpause()


def ended(client: Container) -> tuple[int, str]:
    """Wait for a client's end, which is not its first attempt's; its exit code and status."""
    code = exit_code(client)
    found = result(client)
    assert found["exit_code"] == code
    assert found["attempts"] > 1
    return code, found["status"]


@pytest.mark.parametrize(("fault", "said"), [(disconnected, "waiting"), (paused, " 0 of 22 bytes")])
def test_a_server_that_comes_back(
    pair: Pair, start_client: StartClient, fault: Fault, said: str
) -> None:
    """Taken off the network, or standing still, for a while, it is no more than late."""
    with fault(pair):
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
    with fault(pair):
        assert ended(start_client(DEADLINE="1.5")) == end
