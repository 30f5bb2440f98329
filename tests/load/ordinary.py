"""The client that must not notice what others do."""

import socket
import statistics
import time

from tests.peers import MESSAGE, REPLY, own_address, receive
from tests.programs import Server
from tests.support import PATIENCE


class OrdinaryClient:
    """Makes whole exchanges, a new connection each, and notes how long they take."""

    def __init__(self, server: Server, reply: bytes = REPLY) -> None:
        self._address = server.address
        self._reply = reply
        self.seconds: list[float] = []

    def exchange(self, times: int = 1) -> None:
        """Connect, send, and get the reply."""
        for _ in range(times):
            began = time.monotonic()
            with socket.socket() as sock:
                sock.bind((own_address(), 0))
                # Connects and sends in one system call: between two of them this process may
                # wait for the CPU, and is for so long one of the silent, which have to make room.
                sock.sendto(MESSAGE, socket.MSG_FASTOPEN, self._address)
                sock.settimeout(PATIENCE)
                assert receive(sock, len(self._reply)) == self._reply
            self.seconds.append(time.monotonic() - began)

    def check(self) -> None:
        """Assert that no exchange so far took long, and begin anew."""
        assert statistics.median(self.seconds) < 0.05
        assert max(self.seconds) < 1.0
        self.seconds.clear()
