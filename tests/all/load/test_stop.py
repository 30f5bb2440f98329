"""A stop in the midst of everything."""

import re
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from tests.lib.peers import MESSAGE, REPLY, connect, name, receive
from tests.lib.programs import Server
from tests.lib.support import until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("load")]

AT_ONCE = 64  # clients, of which every fourth keeps its connection


@pytest.mark.parametrize("_round", range(3))
def test_stop_under_full_load_answers_what_was_read(_round: int) -> None:
    """Each message that the server has read is answered, and no reset destroys its reply."""
    replies = Counter[str]()  # whole ones, by the client's name in the log
    unanswered: list[str] = []
    torn: list[str] = []

    def exchange(kept: bool) -> None:
        """Be a client to the server's end, on one connection or on a new one each time."""
        got = REPLY
        # The listener is gone, or was in the midst of this one's connecting.
        with suppress(ConnectionRefusedError, ConnectionResetError):
            while got == REPLY:
                with connect(server.address) as sock:
                    own = name(sock)
                    try:
                        while got == REPLY and (kept or not replies[own]):
                            got = b""
                            sock.sendall(MESSAGE)
                            got = receive(sock, len(REPLY))
                            replies[own] += got == REPLY
                    except (ConnectionResetError, BrokenPipeError):
                        got = b"reset" if replies[own] else b""
                if not replies[own]:
                    unanswered.append(own)
                if got not in (REPLY, b""):
                    torn.append(own)

    with Server() as server, ThreadPoolExecutor(AT_ONCE) as pool:
        server.wait_for("listening")
        busy = [pool.submit(exchange, number % 4 == 0) for number in range(AT_ONCE)]
        until(lambda: len(replies) > 1000, awaited="a thousand connections")
        server.signal(signal.SIGTERM)
        for client in busy:
            client.result()
        outcome = server.outcome()
    assert outcome.exit_code == 0
    (counted,) = re.findall(r"stopped: .* replies=(\d+)", outcome.stderr)
    assert replies.total() == int(counted)
    assert not torn
    # It is written when the first message is read.
    logged = set(re.findall(r"INFO (\S+): ", outcome.stderr))
    assert logged.issuperset(+replies)
    assert not logged & {*unanswered}
