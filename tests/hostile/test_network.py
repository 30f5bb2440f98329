"""The network between the two containers, or the server, taken away and given back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.containers import conftest as containers
from tests.containers.support import (
    NewPair,
    OnHost,
    Pair,
    docker,
    execute,
    exit_code,
    logged,
    result,
    state,
    until,
)

# What finds Docker, or skips, and makes copies of the project.
settings, name = containers.settings, containers.name
new_pair, images, on_host = containers.new_pair, containers.images, containers.on_host

StartClient = Callable[..., str]

ESTABLISHED = " 01 "  # as /proc/net/tcp has it
NO_REPLY = " 0 of 22 bytes"


@pytest.fixture(scope="module")
def pair(new_pair: NewPair) -> Iterator[Pair]:
    """Return a pair whose server listens, and whose client is for each test to start."""
    with new_pair() as pair:
        pair.start("server")
        logged(pair.server, "listening")
        yield pair


@pytest.fixture
def start_client(pair: Pair) -> Iterator[StartClient]:
    """Return what starts a client, quick to try again, at its fixed address; it returns its ID."""
    name = f"{pair.project}-tried"
    env = {
        "SERVER_HOST": pair.env["SERVER_HOST"],
        "OUTPUT": "json",
        "RETRY_DELAY": "0.2",
        "CONNECT_TIMEOUT": "0.5",
        "REPLY_TIMEOUT": "0.5",
    }

    def start(**more: str) -> str:
        options = [f"--env={key}={value}" for key, value in (env | more).items()]
        options += [
            f"--name={name}",
            f"--network={network(pair)}",
            f"--ip={pair.env['CLIENT_HOST']}",
        ]
        return docker("run", "--detach", *options, f"{pair.project}-client").stdout.strip()

    yield start
    docker("rm", "--force", name)


def network(pair: Pair) -> str:
    """Return the name of the pair's network."""
    return f"{pair.project}_pair"


@contextmanager
def disconnected(pair: Pair, container: str, address: str) -> Iterator[None]:
    """Take a container off the network, and give it back at the same address."""
    docker("network", "disconnect", network(pair), container)
    try:
        yield
    finally:
        docker("network", "connect", f"--ip={address}", network(pair), container)


@contextmanager
def paused(container: str) -> Iterator[None]:
    """Let a container stand still, while the kernel goes on for it."""
    docker("pause", container)
    try:
        yield
    finally:
        docker("unpause", container)


def ended(client: str) -> tuple[int, str]:
    """Wait for a client's end, which is not its first attempt's; its exit code and status."""
    code = exit_code(client)
    found = result(client)
    assert found["exit_code"] == code
    assert found["attempts"] > 1
    return code, found["status"]


def wait_until_connected(client: str) -> None:
    """Wait until the kernel has a connection for a client."""
    until(lambda: ESTABLISHED in execute(client, "print(open('/proc/net/tcp').read())"))


def test_a_server_off_the_network(pair: Pair, start_client: StartClient) -> None:
    """A server that is given back in time, at the same address, is no more than late."""
    with disconnected(pair, pair.server, pair.env["SERVER_HOST"]):
        client = start_client(DEADLINE="60")
        logged(client, "waiting")

    assert ended(client) == (0, "ok")


def test_a_server_off_the_network_for_good(pair: Pair, start_client: StartClient) -> None:
    """A server that is not given back cannot be connected to, until the deadline."""
    with disconnected(pair, pair.server, pair.env["SERVER_HOST"]):
        assert ended(start_client(DEADLINE="3")) == (69, "unavailable")


def test_a_client_off_the_network(pair: Pair, start_client: StartClient) -> None:
    """A client that is itself without a network waits for one."""
    with paused(pair.server):
        client = start_client(DEADLINE="60")
        logged(client, NO_REPLY)
        with disconnected(pair, client, pair.env["CLIENT_HOST"]):
            logged(client, "unreachable")

    assert ended(client) == (0, "ok")


def test_a_network_that_swallows_a_reply(pair: Pair, start_client: StartClient) -> None:
    """A reply that never comes, since the network has gone meanwhile, is asked for again."""
    with paused(pair.server):
        client = start_client(DEADLINE="60", REPLY_TIMEOUT="3")
        wait_until_connected(client)
        docker("network", "disconnect", network(pair), pair.server)
    try:
        logged(client, NO_REPLY)
    finally:
        address = f"--ip={pair.env['SERVER_HOST']}"
        docker("network", "connect", address, network(pair), pair.server)

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


def test_a_server_that_is_killed_for_good(
    pair: Pair, start_client: StartClient, on_host: OnHost
) -> None:
    """A server that Docker does not start again cannot be connected to, until the deadline."""
    docker("update", "--restart=no", pair.server)
    pid = state(pair.server)["Pid"]
    on_host(f"os.kill({pid}, signal.SIGSTOP)")
    client = start_client(DEADLINE="5", REPLY_TIMEOUT="60")
    wait_until_connected(client)
    on_host(f"os.kill({pid}, signal.SIGKILL)")

    assert ended(client) == (69, "unavailable")
