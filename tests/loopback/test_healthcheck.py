"""The health check against a server of ours, and against what is none."""

import socket
from collections.abc import Callable

import pytest

from app import healthcheck
from tests.peers import HEALTH_ADDRESS, Address, listening, receive_all, refused, reset
from tests.programs import Outcome, Program, Server
from tests.support import linux_only

NO_TRACE = "INFO stopped: 0 connections, 0 replies, 0 idle, 0 evicted, 0 failed"

pytestmark = linux_only  # elsewhere its address has to be set up first


def check(address: Address, before: str = "") -> Outcome:
    """Run the health check to its end."""
    env = {"HOST": address[0], "PORT": str(address[1])}
    with Program("healthcheck", env, before=before) as program:
        return program.outcome()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_healthy_server_has_a_check_that_leaves_no_trace(host: str) -> None:
    """The check of a server that answers is 0 and silent, and the server's log knows nothing."""
    with Server(HOST=host) as server:
        outcome = check(server.address)
        server.stop()

        assert outcome[:3] == (0, "", "")
        assert server.log == [f"INFO listening on {host}:{server.address[1]}", NO_TRACE]


def test_no_end_of_a_check_is_counted() -> None:
    """A check that is closed as idle, or resets, leaves no trace either."""
    with Server(IDLE_TIMEOUT="0.1") as server:
        reset(server.connect(HEALTH_ADDRESS))
        with server.connect(HEALTH_ADDRESS) as silent:
            assert receive_all(silent) == b""
        server.stop()

        assert server.log[1:] == [NO_TRACE]


def wrong(sock: socket.socket) -> None:
    """Answer like another service."""
    sock.recv(1024)
    sock.sendall(b"SERVER KO - STATUS 500")


@pytest.mark.parametrize("answer", [socket.socket.close, reset, wrong], ids=lambda f: f.__name__)
def test_an_open_port_is_not_health(answer: Callable[[socket.socket], None]) -> None:
    """Whatever is not the whole reply is 1, and a line that says why."""
    with listening(answer) as address:
        exit_code, stdout, stderr, _ = check(address)

    assert (exit_code, stdout, stderr.count("\n")) == (1, "", 1)


def test_nobody_listening_is_not_health() -> None:
    """A refused connection is 1."""
    with refused() as address:
        assert check(address).exit_code == 1


def test_a_silent_server_is_not_health() -> None:
    """A server that does not answer in time is 1; the time is 3 s, cut here to 0.3."""
    assert healthcheck.SECONDS == 3
    with listening(receive_all) as address:
        exit_code, stdout, stderr, seconds = check(address, before="program.SECONDS = 0.3")

    assert (exit_code, stdout, stderr.count("\n")) == (1, "", 1)
    # The rest is the start of the interpreter.
    assert 0.3 <= seconds < 0.3 + 1
