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
from tests.lib.programs import Server, cpu_seconds, descriptors, resident_kib
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


def never_reading(server: Server) -> socket.socket:
    """Connect a client that will not read, with small buffers, so that it is noticed soon."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    sock.bind((own_address(), 0))
    sock.connect(server.address)
    return sock


@pytest.mark.parametrize(
    ("prefix", "room"), [((), 1000), (("prlimit", "--nofile=64"), 40)], ids=["cap", "descriptors"]
)
def test_silent_clients_keep_nobody_out(prefix: tuple[str, ...], room: int) -> None:
    """Ten times as many silent clients as there is room for cost others nothing, nor the host."""
    with Server(prefix=prefix, MAX_CONNECTIONS="1000") as server:
        began = time.monotonic()
        ordinary = OrdinaryClient(server)
        own = descriptors(server)
        with ExitStack() as crowd:
            for _ in range(10_000 // WAVE):
                for _ in range(WAVE):
                    crowd.enter_context(server.connect())
                # Accepted in turn: once this one is served, the backlog is empty again.
                ordinary.exchange()
            ordinary.check()
            assert descriptors(server) - own <= 1000

            used = cpu_seconds(server)
            time.sleep(QUIET)
            assert cpu_seconds(server) - used < 0.01 * QUIET

            ordinary.exchange(200)
            ordinary.check()

        with ExitStack() as stack:
            # One by one, since the first go while the last come.
            kept = [stack.enter_context(server.connect()) for _ in range(room)]
            for sock in kept * 2:
                sent = time.monotonic()
                exchange(sock)
                assert time.monotonic() - sent < 1.0

        lines = re.findall(r"^\S+:(\S+)Z (?!INFO \S+: Testando)", server.stop().stderr, re.M)
        assert len(lines) < 2 * (time.monotonic() - began)


def test_clients_that_never_read() -> None:
    """A hundred that send without end and never read cost no memory and no CPU, and can go."""
    with Server(REPLY=LARGE_REPLY.decode()) as server:
        ordinary = OrdinaryClient(server, LARGE_REPLY)
        own = descriptors(server)
        ordinary.exchange(50)
        before = resident_kib(server)
        clients = [never_reading(server) for _ in range(100)]
        fill(*clients, meanwhile=ordinary.exchange)
        assert resident_kib(server) - before < 1024
        used = cpu_seconds(server)
        time.sleep(0.5)
        assert cpu_seconds(server) - used < 0.05

        for sock in clients:
            reset(sock)
        until(lambda: descriptors(server), is_right=own.__eq__, awaited="no connection left")
        ordinary.exchange()
        assert " failed=100" in server.stop().stderr


def test_the_kernel_holds_little_of_what_nobody_reads() -> None:
    """For 1,000 clients that send and never read it holds at most 64 MiB, and others are served."""
    with Server(REPLY=LARGE_REPLY.decode(), IDLE_TIMEOUT="0") as server, ExitStack() as stack:
        ordinary = OrdinaryClient(server, LARGE_REPLY)
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


def test_clients_that_never_read_make_room() -> None:
    """A reply that is not read is silence: it is no way to hold a place."""
    with Server(REPLY=LARGE_REPLY.decode(), MAX_CONNECTIONS="20") as server, ExitStack() as stack:
        fill(*(stack.enter_context(never_reading(server)) for _ in range(20)))
        OrdinaryClient(server, LARGE_REPLY).exchange(50)


def test_a_message_of_256_mib() -> None:
    """A message without end is answered chunk by chunk; others are served, memory stays."""
    chunk = bytes(2**20)

    def send() -> None:
        for _ in range(256):
            sock.sendall(chunk)
        sock.shutdown(socket.SHUT_WR)

    with Server() as server:
        ordinary = OrdinaryClient(server)
        ordinary.exchange(50)
        before = resident_kib(server)
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
        assert resident_kib(server) - before < 1024
        (replies,) = re.findall(r" replies=(\d+)", server.stop().stderr)

    assert size == (int(replies) - len(ordinary.seconds)) * len(REPLY)
    assert size >= 2**28 / 65536 * len(REPLY)
