"""Stops in the midst of everything."""

import re
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from tests.lib.peers import MESSAGE, REPLY, Address, connect, name, receive
from tests.lib.programs import Server
from tests.lib.support import until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("load")]

AT_ONCE = 64  # clients, of which every fourth keeps its connection


class Tally:
    """What clients have seen by the end of the server: their names in its log."""

    def __init__(self) -> None:
        self.replies: list[str] = []  # for each whole one
        self.unanswered: list[str] = []  # no reply at all
        self.wrong: list[str] = []  # a part of a reply, or a reset after some replies

    def exchange(self, address: Address, *, kept: bool) -> None:
        """Be a client, on one connection or on a new one for each exchange, to the end."""
        got = REPLY
        # The listener is gone, or was in the midst of this one's connecting.
        with suppress(ConnectionRefusedError, ConnectionResetError):
            while got == REPLY:
                with connect(address) as sock:
                    own, replies = name(sock), 0
                    try:
                        while got == REPLY and (kept or not replies):
                            got = b""
                            sock.sendall(MESSAGE)
                            got = receive(sock, len(REPLY))
                            if got == REPLY:
                                replies += 1
                                self.replies.append(own)
                    except (ConnectionResetError, BrokenPipeError):
                        got = b"reset" if replies else b""
                if not replies:
                    self.unanswered.append(own)
                if got not in (REPLY, b""):
                    self.wrong.append(own)


@pytest.mark.parametrize("_round", range(3))
def test_stop_under_full_load(_round: int) -> None:
    """What the server has read it has answered, each reply arrives, and nobody is reset for it."""
    tally = Tally()
    with Server() as server, ThreadPoolExecutor(AT_ONCE) as pool:
        busy = [
            pool.submit(tally.exchange, server.address, kept=number % 4 == 0)
            for number in range(AT_ONCE)
        ]
        until(lambda: len(set(tally.replies)) > 1000, awaited="a thousand connections")
        server.signal(signal.SIGTERM)
        for client in busy:
            client.result()
        outcome = server.outcome()
    assert outcome.exit_code == 0
    (replies,) = re.findall(r"stopped: .* replies=(\d+)", outcome.stderr)
    assert len(tally.replies) == int(replies)
    assert not tally.wrong
    # It is written when the first message is read.
    logged = set(re.findall(r"INFO (\S+): ", outcome.stderr))
    assert logged.issuperset(tally.replies)
    assert not logged & {*tally.unanswered}
