"""More clients than the server has room for, and clients that take all that they can get."""

import re
import select
import socket
import subprocess
import time
from contextlib import ExitStack

import pytest

from tests.lib.peers import MESSAGE, REPLY, exchange, own_address, receive, reset
from tests.lib.programs import Server
from tests.lib.support import PATIENCE, until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("load")]

WAVE = 100  # at once, ahead of the ordinary client
QUIET = 2.0  # seconds
LARGE_REPLY = b"R" * 65536


def time_of_exchanges(server: Server, count: int = 1, reply: bytes = REPLY) -> float:
    """Be an ordinary client, with a connection for each exchange; return the longest time."""
    longest = 0.0
    for _ in range(count):
        began = time.monotonic()
        with socket.socket() as sock:
            sock.bind((own_address(), 0))
            # Connects and sends in one system call: between two of them this process may wait for
            # the CPU, and is for so long one of the silent, which have to make room.
            sock.sendto(MESSAGE, socket.MSG_FASTOPEN, server.address)
            sock.settimeout(PATIENCE)
            assert receive(sock, len(reply)) == reply
        longest = max(longest, time.monotonic() - began)
    return longest


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
        server.wait_for("listening")
        own = server.usage.num_fds()
        with ExitStack() as crowd:
            for _ in range(10_000 // WAVE):
                for _ in range(WAVE):
                    crowd.enter_context(server.connect())
                # Accepted in turn: once this one is served, the backlog is empty again.
                assert time_of_exchanges(server) < 1
            assert server.usage.num_fds() - own <= 1000
            assert used_cpu(server, QUIET) < 0.01 * QUIET

            assert time_of_exchanges(server, 200) < 1

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
        server.wait_for("listening")
        own = server.usage.num_fds()
        time_of_exchanges(server, 50, LARGE_REPLY)
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
        address = "{}:{}".format(*server.address)
        listed = subprocess.run(
            ["ss", "-Htmn", "src", address], capture_output=True, text=True, check=True
        ).stdout
        # Received, to be sent, and set aside for more, of each socket: see ss(8).
        held = re.findall(r"skmem:\(r(\d+),.*?,f(\d+),w(\d+)", listed)
        assert len(held) == 999
        assert sum(int(bytes_) for sock in held for bytes_ in sock) <= 64 * 2**20
        assert time_of_exchanges(server, 20, LARGE_REPLY) < 1

        for sock in clients:
            reset(sock)
        until(server.usage.num_fds, is_right=own.__eq__, awaited="no connection left")
        assert " failed=999" in server.stop().stderr
