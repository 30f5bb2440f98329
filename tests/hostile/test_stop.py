"""Stops in the midst of everything, and starts again at once."""

import re
import signal
import socket
import time
from contextlib import ExitStack, suppress

import pytest

from tests.hostile.load import Load
from tests.hostile.support import never_reading, send_until_stuck
from tests.support import (
    MESSAGE,
    PATIENCE,
    REPLY,
    Program,
    RunningServer,
    client_environment,
    receive,
    receive_all,
    running_server,
    until,
)

GRACE = 0.5  # seconds that the end may take beyond DRAIN_TIMEOUT
BIG = 65536


def wait_for_the_stop(server: RunningServer) -> None:
    """Wait until the listener is closed."""

    def refused() -> bool:
        try:
            server.connect().close()
        except (ConnectionRefusedError, ConnectionResetError):
            return True
        return False

    until(refused)


@pytest.mark.parametrize("_round", range(5))
def test_stop_under_full_load(_round: int) -> None:
    """What the server has read it has answered, each reply arrives, and nobody is reset for it."""
    with running_server(DRAIN_TIMEOUT="2") as server:
        load = Load(server.address)
        until(lambda: len(server.log) > 1000)
        stopped = time.monotonic()
        server.signal(signal.SIGTERM)
        outcome = server.outcome()
        assert time.monotonic() - stopped < 2 + GRACE
        assert outcome.exit_code == 0
        tallies = load.tallies()

    logged = set(re.findall(r"INFO (\S+): ", outcome.stderr))
    assert len(logged) > 1000
    (replies,) = re.findall(r"stopped: .* (\d+) replies", outcome.stderr)
    assert sum(tally.replies for tally in tallies) == int(replies)
    for tally in tallies:
        assert tally.torn == tally.resets == 0
        # It is written when the first message is read.
        assert not logged.intersection(tally.unanswered)


def test_stop_answers_what_has_arrived() -> None:
    """What the kernel has of a message when the signal comes is answered, then comes EOF.

    Who is not accepted any more is reset; nobody is accepted and then left without an answer.
    """
    with running_server() as server, ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(500)]
        for sock in clients:
            sock.sendall(MESSAGE)
            assert receive(sock, len(REPLY)) == REPLY
        server.signal(signal.SIGSTOP)
        late = [stack.enter_context(server.connect()) for _ in range(10)]
        for sock in clients + late:
            sock.sendall(MESSAGE)
        server.signal(signal.SIGTERM)
        server.signal(signal.SIGCONT)
        for sock in clients:
            assert receive_all(sock) == REPLY
            sock.close()
        answered = 0
        for sock in late:
            with sock, suppress(ConnectionResetError):
                assert receive_all(sock) == REPLY
                answered += 1
        assert server.outcome().exit_code == 0
        assert f" {1000 + answered} replies" in server.log[-1]


def test_stop_sees_pending_replies_off() -> None:
    """Clients slow to read get each reply that was begun whole, and EOF, as they read in time."""
    with running_server(REPLY="R" * BIG, DRAIN_TIMEOUT="20") as server, ExitStack() as stack:
        clients = [stack.enter_context(sock) for sock in never_reading(server, 5)]
        send_until_stuck(clients)
        server.signal(signal.SIGTERM)
        wait_for_the_stop(server)
        for sock in clients:
            sock.settimeout(PATIENCE)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
            got = receive_all(sock)
            assert got == b"R" * len(got)
            assert got
            assert len(got) % BIG == 0
            sock.close()
        assert server.outcome().exit_code == 0
        assert server.log[-1].endswith(" 0 failed")


def test_stop_with_clients_that_never_read() -> None:
    """They get DRAIN_TIMEOUT, and no more."""
    with (
        running_server(REPLY="R" * BIG, DRAIN_TIMEOUT="1") as server,
        ExitStack() as stack,
    ):
        clients = [stack.enter_context(sock) for sock in never_reading(server, 50)]
        send_until_stuck(clients)
        stopped = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.outcome().exit_code == 0
        assert 1 <= time.monotonic() - stopped < 1 + GRACE
        assert server.log[-1].endswith(" 50 failed")


def test_stop_with_clients_that_never_end() -> None:
    """Who goes on sending after the end of the replies gets DRAIN_TIMEOUT, and no more."""
    with (
        running_server(DRAIN_TIMEOUT="1") as server,
        server.connect() as sock,
    ):
        sock.sendall(MESSAGE)
        stopped = time.monotonic()
        server.signal(signal.SIGTERM)
        with suppress(ConnectionResetError, BrokenPipeError):
            while time.monotonic() - stopped < PATIENCE:
                sock.sendall(bytes(BIG))
        assert server.outcome().exit_code == 0
        assert time.monotonic() - stopped < 1 + GRACE


def test_fifty_restarts_on_one_port() -> None:
    """A server takes its predecessor's port at once, and the client that waits for it succeeds."""
    # Nobody else has this address, and so nobody the port: it is free between two servers.
    host = "127.0.99.1"
    with running_server(HOST=host) as server, server.connect():
        port = server.address[1]
        # The server ends first, and so leaves a connection of its port in TIME_WAIT.
        server.stop()
    for _ in range(50):
        with Program("client", client_environment((host, port), RETRY_DELAY="0.01")) as client:
            client.wait_for("waiting for")
            with running_server(HOST=host, PORT=str(port)) as server, server.connect() as kept:
                assert client.outcome().exit_code == 0
                kept.sendall(MESSAGE)
                assert receive(kept, len(REPLY)) == REPLY
                server.signal(signal.SIGTERM)
                assert kept.recv(1) == b""
                kept.shutdown(socket.SHUT_WR)
                assert server.outcome().exit_code == 0
