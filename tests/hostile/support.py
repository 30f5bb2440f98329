"""What the hostile tests measure a server by, and what an ordinary client sees meanwhile."""

import os
import selectors
import socket
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from tests.support import MESSAGE, PATIENCE, REPLY, RunningServer, receive

# Kept apart from the hostile ones': the ephemeral ports of an address are not many.
ORDINARY = "127.0.100.1"

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(server: RunningServer) -> float:
    """CPU that the server has used, in steps of a tick (10 ms)."""
    stat = Path(f"/proc/{server.process.pid}/stat").read_text()
    # The second field, a name in parentheses, may hold anything.
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_kib(server: RunningServer) -> int:
    """Memory of the server, as the kernel counts it."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise LookupError("VmRSS")


def descriptors(server: RunningServer) -> int:
    """Count the file descriptors that the server has open."""
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def name_of(client: socket.socket) -> str:
    """Return the name of a client in the server's log."""
    host, port = client.getsockname()
    return f"{host}:{port}"


class OrdinaryClient:
    """Makes whole exchanges, a new connection each, and notes how long they take."""

    def __init__(self, server: RunningServer, reply: bytes = REPLY) -> None:
        self._address = server.address
        self._reply = reply
        self.seconds: list[float] = []
        self.count = 0

    def exchange(self) -> None:
        """Connect, send, and get the reply."""
        began = time.monotonic()
        with socket.socket() as sock:
            sock.bind((ORDINARY, 0))
            # Connects and sends in one system call: between two of them this process may have to
            # wait for the CPU, and is for so long one of the silent, which have to make room.
            sock.sendto(MESSAGE, socket.MSG_FASTOPEN, self._address)
            sock.settimeout(PATIENCE)
            assert receive(sock, len(self._reply)) == self._reply
        self.seconds.append(time.monotonic() - began)
        self.count += 1

    def check(self) -> None:
        """Assert that no exchange so far took long, and begin anew."""
        assert statistics.median(self.seconds) < 0.05
        assert max(self.seconds) < 1.0
        self.seconds.clear()


def never_reading(server: RunningServer, size: int) -> list[socket.socket]:
    """Connect clients that will not read, with small buffers, so that it is noticed soon."""
    clients = []
    for _ in range(size):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        sock.connect(server.address)
        sock.setblocking(False)
        clients.append(sock)
    return clients


def send_until_stuck(clients: list[socket.socket], meanwhile: Callable[[], object] = int) -> None:
    """Send without end, until nothing is read any more, or so much has been that it shows."""
    left = len(clients) * 8 * 2**20
    with selectors.DefaultSelector() as sending:
        for sock in clients:
            sending.register(sock, selectors.EVENT_WRITE)
        while left > 0 and (ready := sending.select(0.2)):
            for key, _ in ready:
                left -= key.fileobj.send(bytes(65536))  # type: ignore[union-attr] # it is a socket
            meanwhile()
