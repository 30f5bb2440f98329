"""A stop in the midst of everything."""

import re
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from tests.lib.peers import MESSAGE, REPLY, connect, name, receive
from tests.lib.programs import Server
from tests.lib.support import until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("load")]

AT_ONCE = 64  # clients, with a new connection for each exchange


@pytest.mark.parametrize("_round", range(3))
def test_stop_under_full_load_answers_what_was_read(_round: int) -> None:
    """Each message that the server has read is answered, and no reset destroys its reply."""
    replies: dict[str, bytes] = {}  # by the client's name in the log

    def exchange() -> None:
        # At last the listener is gone, or was in the midst of this one's connecting.
        with suppress(ConnectionRefusedError, ConnectionResetError, BrokenPipeError):
            while True:
                with connect(server.address) as sock:
                    replies[name(sock)] = b""
                    sock.sendall(MESSAGE)
                    replies[name(sock)] = receive(sock, len(REPLY))

    with Server() as server, ThreadPoolExecutor(AT_ONCE) as pool:
        server.wait_for("listening")
        busy = [pool.submit(exchange) for _ in range(AT_ONCE)]
        until(lambda: len(replies) > 1000, awaited="a thousand connections")
        server.signal(signal.SIGTERM)
        for client in busy:
            client.result()
        outcome = server.outcome()
    assert outcome.exit_code == 0
    assert {*replies.values()} <= {REPLY, b""}
    answered = {client for client, reply in replies.items() if reply}
    assert f" replies={len(answered)} " in outcome.stderr
    # It is written when the first message is read.
    assert {*re.findall(r"INFO (\S+:\d+): ", outcome.stderr)} == answered
