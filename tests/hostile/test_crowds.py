"""More clients than the server has room for, and clients that take all that they can get."""

import re
import signal
import time
from contextlib import ExitStack

import pytest

from tests.hostile.crowd import Crowd
from tests.hostile.support import (
    OrdinaryClient,
    cpu_seconds,
    descriptors,
    never_reading,
    resident_kib,
    send_until_stuck,
)
from tests.support import (
    MESSAGE,
    REPLY,
    receive,
    reset,
    running_server,
    until,
)

QUIET = 2.0  # seconds


@pytest.mark.parametrize(
    ("prefix", "room"), [((), 1000), (("prlimit", "--nofile=64"), 40)], ids=["cap", "descriptors"]
)
def test_silent_clients_keep_nobody_out(prefix: tuple[str, ...], room: int) -> None:
    """Ten times as many silent clients as there is room for cost others nothing, nor the host."""
    with running_server(prefix=prefix, MAX_CONNECTIONS="1000") as server:
        own = descriptors(server)
        ordinary = OrdinaryClient(server)
        began = time.monotonic()
        with Crowd(server.address) as crowd:
            crowd.come(10_000, meanwhile=ordinary.exchange)
            ordinary.check()
            assert descriptors(server) - own <= 1000

            used = cpu_seconds(server)
            time.sleep(QUIET)
            assert cpu_seconds(server) - used < 0.01 * QUIET

            for _ in range(200):
                ordinary.exchange()
            ordinary.check()

        with ExitStack() as stack:
            # One by one, since the first go while the last come.
            kept = [stack.enter_context(server.connect()) for _ in range(room)]
            for sock in kept * 2:
                sent = time.monotonic()
                sock.sendall(MESSAGE)
                assert receive(sock, len(REPLY)) == REPLY
                assert time.monotonic() - sent < 1.0

        lines = re.findall(r"^\S+:(\S+)Z (?!INFO \S+: Testando)", server.stop().stderr, re.M)
        assert len(lines) < 2 * (time.monotonic() - began)


def test_clients_that_never_read_cost_no_memory() -> None:
    """A hundred clients that send without end and never read: others are served, memory stays."""
    with running_server(REPLY="R" * 65536) as server, ExitStack() as stack:
        ordinary = OrdinaryClient(server, b"R" * 65536)
        for _ in range(50):
            ordinary.exchange()
        before = resident_kib(server)
        clients = [stack.enter_context(sock) for sock in never_reading(server, 100)]
        send_until_stuck(clients, meanwhile=ordinary.exchange)

        assert resident_kib(server) - before < 1024


def test_clients_that_never_read_make_room() -> None:
    """A reply that is not read is silence: it is no way to hold a place."""
    with (
        running_server(REPLY="R" * 65536, MAX_CONNECTIONS="20") as server,
        ExitStack() as stack,
    ):
        ordinary = OrdinaryClient(server, b"R" * 65536)
        clients = [stack.enter_context(sock) for sock in never_reading(server, 20)]
        send_until_stuck(clients)
        for _ in range(50):
            ordinary.exchange()


@pytest.mark.parametrize("message", [b"", MESSAGE], ids=["silent", "message"])
def test_connect_and_reset(message: bytes) -> None:
    """Ten thousand clients that reset at once, having said something or not, leave nothing."""
    with running_server() as server:
        own = descriptors(server)
        ordinary = OrdinaryClient(server)
        for _ in range(50):
            ordinary.exchange()
        before = resident_kib(server)
        for number in range(10_000):
            sock = server.connect()
            sock.send(message)
            reset(sock)
            if number % 100 == 0:
                ordinary.exchange()
        ordinary.exchange()

        until(lambda: descriptors(server) == own)
        assert resident_kib(server) - before < 512


@pytest.mark.parametrize(
    ("prefix", "cap"), [((), "4"), (("prlimit", "--nofile=12"), "1000")], ids=["cap", "descriptors"]
)
def test_who_has_spoken_is_answered_before_it_makes_room(prefix: tuple[str, ...], cap: str) -> None:
    """Bytes that have arrived are not silence: several full houses at once are all answered."""
    with running_server(prefix=prefix, MAX_CONNECTIONS=cap) as server, ExitStack() as stack:
        # All wait for the server by the time that it goes on.
        first = [stack.enter_context(server.connect()) for _ in range(4)]
        OrdinaryClient(server).exchange()
        server.signal(signal.SIGSTOP)
        clients = first + [stack.enter_context(server.connect()) for _ in range(30)]
        for sock in clients:
            sock.sendall(MESSAGE)
        server.signal(signal.SIGCONT)

        for sock in clients[1:]:  # the first has made room for the ordinary client
            assert receive(sock, len(REPLY)) == REPLY
