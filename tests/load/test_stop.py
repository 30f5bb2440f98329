"""Stops in the midst of everything, and starts again at once."""

import re
import selectors
import signal
import socket
from contextlib import ExitStack, suppress
from typing import NamedTuple

import pytest

from tests.peers import MESSAGE, REPLY, Address, connect, exchange, name, receive_all
from tests.programs import Server, client

pytestmark = pytest.mark.slow

AT_ONCE = 64  # connections, of which every other is kept


class Busy:
    """A connection on which each reply is followed by the next message, or by the end."""

    def __init__(self, address: Address, *, kept: bool) -> None:
        self.kept = kept
        self.replies = 0
        self.got = b""
        self.sock = connect(address)
        self.name = name(self.sock)
        self.sock.sendall(MESSAGE)


class Tally(NamedTuple):
    """What clients have seen by the end of the server."""

    replies: int  # whole ones
    torn: int  # ends, or anything else than a reply, where the rest of a reply was due
    resets: int  # after some replies, with none to the last message
    unanswered: set[str]  # clients that had no reply at all, by their names in the server's log


def stop_under_load(server: Server, after: int) -> Tally:
    """Keep clients busy, stop the server after so many replies; return when it has ended each."""
    address = server.address
    replies = torn = resets = 0
    unanswered = set()
    with selectors.DefaultSelector() as selector:

        def start(*, kept: bool) -> None:
            # The listener is gone, or was in the midst of this one's connecting.
            with suppress(ConnectionRefusedError, ConnectionResetError, BrokenPipeError):
                busy = Busy(address, kept=kept)
                selector.register(busy.sock, selectors.EVENT_READ, busy)

        for number in range(AT_ONCE):
            start(kept=number % 2 == 0)
        while selector.get_map():
            if replies >= after:
                server.signal(signal.SIGTERM)
                after = 2**63
            for key, _ in selector.select():
                busy: Busy = key.data
                got, was_reset = b"", False
                try:
                    got = busy.sock.recv(4096)
                    busy.got += got
                    if busy.got == REPLY:
                        replies += 1
                        busy.replies += 1
                        busy.got = b""
                        if busy.kept:
                            busy.sock.sendall(MESSAGE)
                            continue
                except (ConnectionResetError, BrokenPipeError):
                    was_reset = True
                if got and busy.got and REPLY.startswith(busy.got):
                    continue
                torn += bool(busy.got)
                if not busy.replies:
                    unanswered.add(busy.name)
                elif busy.kept:
                    resets += was_reset
                selector.unregister(busy.sock)
                busy.sock.close()
                if busy.replies and not busy.kept:
                    start(kept=False)
    return Tally(replies, torn, resets, unanswered)


@pytest.mark.parametrize("_round", range(3))
def test_stop_under_full_load(_round: int) -> None:
    """What the server has read it has answered, each reply arrives, and nobody is reset for it."""
    with Server() as server:
        tally = stop_under_load(server, after=3000)
        outcome = server.outcome()
    assert outcome.exit_code == 0
    (replies,) = re.findall(r"stopped: .* (\d+) replies", outcome.stderr)
    assert tally.replies == int(replies)
    assert tally.torn == tally.resets == 0
    # It is written when the first message is read.
    logged = set(re.findall(r"INFO (\S+): ", outcome.stderr))
    assert len(logged) > 1000
    assert not logged & tally.unanswered


def test_stop_answers_what_has_arrived() -> None:
    """What the kernel has of a message when the signal comes is answered, then comes EOF.

    Who is not accepted any more is reset; nobody is accepted and then left without an answer.
    """
    with Server() as server, ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(500)]
        for sock in clients:
            exchange(sock)
        server.freeze()
        late = [stack.enter_context(server.connect()) for _ in range(10)]
        for sock in clients + late:
            sock.sendall(MESSAGE)
        server.signal(signal.SIGTERM)
        server.thaw()
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


def test_twenty_restarts_on_one_port() -> None:
    """A server takes its predecessor's port at once, and the client that waits for it succeeds."""
    # Nobody else has this address, and so nobody the port: it is free between two servers.
    with Server() as server, server.connect():
        host, port = server.address
        # The server ends first, and so leaves a connection of its port in TIME_WAIT.
        server.stop()
    for _ in range(20):
        with client((host, port), RETRY_DELAY="0.01") as waiting:
            waiting.wait_for("waiting for")
            with Server(HOST=host, PORT=str(port)) as server, server.connect() as kept:
                assert waiting.outcome().exit_code == 0
                exchange(kept)
                server.signal(signal.SIGTERM)
                assert kept.recv(1) == b""
                kept.shutdown(socket.SHUT_WR)
                assert server.outcome().exit_code == 0
