"""More clients than the server has room for, and clients that take all that they can get."""

import re
import select
import socket
import statistics
import subprocess
import threading
import time
from contextlib import ExitStack

import pytest

from tests.lib.peers import MESSAGE, REPLY, exchange, fill, own_address, receive, reset
from tests.lib.programs import Server
from tests.lib.support import PATIENCE, until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("load")]

WAVE = 100  # at once, ahead of the ordinary client
QUIET = 2.0  # seconds
LARGE_REPLY = b"R" * 65536


class OrdinaryClient:
    """Must not notice what others do: notes how long its exchanges take, a connection each."""

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


def used_cpu(server: Server, seconds: float) -> float:
    """Return the seconds of CPU that the server takes in so many seconds."""
    before = sum(server.usage.cpu_times())
    time.sleep(seconds)  # that is what is measured
    return sum(server.usage.cpu_times()) - before


@pytest.mark.parametrize(
    ("prefix", "room"), [((), 1000), (("prlimit", "--nofile=64"), 40)], ids=["cap", "descriptors"]
)
def test_silent_clients_keep_nobody_out(prefix: tuple[str, ...], room: int) -> None:
    """Ten times as many silent clients as there is room for cost others nothing, nor the host."""
    with Server(prefix=prefix, MAX_CONNECTIONS="1000") as server:
        began = time.monotonic()
        ordinary = OrdinaryClient(server)
        own = server.usage.num_fds()
        with ExitStack() as crowd:
            for _ in range(10_000 // WAVE):
                for _ in range(WAVE):
                    crowd.enter_context(server.connect())
                # Accepted in turn: once this one is served, the backlog is empty again.
                ordinary.exchange()
            ordinary.check()
            assert server.usage.num_fds() - own <= 1000
            assert used_cpu(server, QUIET) < 0.01 * QUIET

            ordinary.exchange(200)
            ordinary.check()

        with ExitStack() as stack:
            # One by one, since the first go while the last come.
            kept = [stack.enter_context(server.connect()) for _ in range(room)]
            for sock in kept * 2:
                exchange(sock)

        lines = re.findall(r"^\S+:(\S+)Z (?!INFO \S+: Testando)", server.stop().stderr, re.M)
        assert len(lines) < 2 * (time.monotonic() - began)


def test_clients_that_never_read_hold_little() -> None:
    """1,000 clients that send and never read cost no CPU, little memory, and no other client.

    The kernel holds at most 64 MiB for them.
    """
    with Server(REPLY=LARGE_REPLY.decode(), IDLE_TIMEOUT="0") as server, ExitStack() as stack:
        ordinary = OrdinaryClient(server, LARGE_REPLY)
        own = server.usage.num_fds()
        ordinary.exchange(50)
        before = server.usage.memory_info().rss
        clients = [stack.enter_context(server.connect()) for _ in range(999)]
        poller = select.poll()
        for sock in clients:
            sock.setblocking(False)
            poller.register(sock, select.POLLOUT)
        by_number = {sock.fileno(): sock for sock in clients}
        until_quiet = iter(lambda: poller.poll(500), [])
        for ready in until_quiet:
            for number, _ in ready:
                by_number[number].send(bytes(65536))
        assert used_cpu(server, QUIET / 4) < 0.05
        assert server.usage.memory_info().rss - before < 2**20 + 999 * 1024
        ordinary.exchange(20)
        ordinary.check()

        address = "{}:{}".format(*server.address)
        listed = subprocess.run(
            ["ss", "-Htmn", "src", address], capture_output=True, text=True, check=True
        ).stdout
        # Received, to be sent, and set aside for more, of each socket: see ss(8).
        held = re.findall(r"skmem:\(r(\d+),.*?,f(\d+),w(\d+)", listed)
        assert len(held) >= 999
        assert sum(int(bytes_) for sock in held for bytes_ in sock) <= 64 * 2**20

        for sock in clients:
            reset(sock)
        until(server.usage.num_fds, is_right=own.__eq__, awaited="no connection left")
        assert " failed=999" in server.stop().stderr


def test_clients_that_never_read_make_room() -> None:
    """A reply that is not read is silence: it holds no place."""
    with Server(REPLY=LARGE_REPLY.decode(), MAX_CONNECTIONS="20") as server, ExitStack() as stack:
        fill(*(stack.enter_context(server.connect()) for _ in range(20)))
        OrdinaryClient(server, LARGE_REPLY).exchange(50)


def test_message_of_256_mib_is_answered() -> None:
    """A message without end is answered chunk by chunk; others are served, memory stays."""
    chunk = bytes(2**20)

    def send() -> None:
        for _ in range(256):
            sock.sendall(chunk)
        sock.shutdown(socket.SHUT_WR)

    with Server() as server:
        ordinary = OrdinaryClient(server)
        ordinary.exchange(50)
        before = server.usage.memory_info().rss
        with server.connect() as sock:
            sender = threading.Thread(target=send)
            sender.start()
            size = 0
            while got := sock.recv(2**20):
                offset = size % len(REPLY)
                assert got == (REPLY * (len(got) // len(REPLY) + 2))[offset : offset + len(got)]
                size += len(got)
                if len(ordinary.seconds) < size // 4096:
                    ordinary.exchange()
            sender.join()
        assert server.usage.memory_info().rss - before < 2**20
        (replies,) = re.findall(r" replies=(\d+)", server.stop().stderr)

    assert size == (int(replies) - len(ordinary.seconds)) * len(REPLY)
    assert size >= 2**28 / 65536 * len(REPLY)
