"""Single clients that use TCP in ways that an ordinary one does not."""

import re
import socket
import threading
import time

import pytest

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
    RunningServer,
    receive,
    receive_all,
    reset,
    running_server,
    until,
)

ROUNDS = 200


def cpu_of_half_a_second(server: RunningServer) -> float:
    """Return the seconds of CPU that the server takes meanwhile."""
    used = cpu_seconds(server)
    time.sleep(0.5)
    return cpu_seconds(server) - used


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(b"", b"", b""), (MESSAGE[:15], b"", REPLY), (MESSAGE[:15], MESSAGE[15:], REPLY * 2)],
    ids=["before", "during", "after"],
)
def test_half_close(before: bytes, after: bytes, expected: bytes) -> None:
    """Who half-closes before, within or after a message still gets what is due, and EOF."""
    with running_server() as server:
        for _ in range(ROUNDS):
            with server.connect() as sock:
                got = b""
                if before and after:
                    sock.sendall(before)
                    got = receive(sock, len(REPLY))
                sock.sendall(after or before)
                sock.shutdown(socket.SHUT_WR)
                assert got + receive_all(sock) == expected
        assert " 0 failed" in server.stop().stderr


def test_one_byte_at_a_time() -> None:
    """A message in single bytes is answered byte by byte, or in fewer replies that are whole."""
    with running_server() as server:
        with server.connect() as sock:
            for byte in MESSAGE:
                sock.sendall(bytes([byte]))
                assert receive(sock, len(REPLY)) == REPLY
        with server.connect() as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in MESSAGE:
                sock.sendall(bytes([byte]))
            sock.shutdown(socket.SHUT_WR)
            got = receive_all(sock)
            count = len(got) // len(REPLY)
            assert got == REPLY * count
            assert 1 <= count <= len(MESSAGE)


def test_a_message_of_one_gib() -> None:
    """A message without end is answered chunk by chunk; others are served, memory stays."""
    chunk = bytes(2**20)

    def send() -> None:
        for _ in range(1024):
            sock.sendall(chunk)
        sock.shutdown(socket.SHUT_WR)

    with running_server() as server:
        ordinary = OrdinaryClient(server)
        for _ in range(50):
            ordinary.exchange()
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
        (replies,) = re.findall(r", (\d+) replies", server.stop().stderr)

    assert size == (int(replies) - ordinary.count) * len(REPLY)
    assert size >= 2**30 / 65536 * len(REPLY)


def test_urgent_data() -> None:
    """An urgent byte, which is not part of the stream, neither spins the server nor confuses it."""
    with running_server() as server, server.connect() as sock:
        sock.send(b"!", socket.MSG_OOB)
        assert cpu_of_half_a_second(server) < 0.05

        for _ in range(ROUNDS):
            sock.sendall(MESSAGE)
            assert receive(sock, len(REPLY)) == REPLY
            sock.send(b"!", socket.MSG_OOB)
        sock.shutdown(socket.SHUT_WR)
        assert receive_all(sock) == b""


def test_reset_while_the_reply_is_pending() -> None:
    """A client that does not read costs no CPU; if it goes so, it has failed and is forgotten."""
    with running_server(REPLY="R" * 65536) as server:
        own = descriptors(server)
        clients = never_reading(server, 20)
        send_until_stuck(clients)
        assert cpu_of_half_a_second(server) < 0.05
        for sock in clients:
            reset(sock)
        until(lambda: descriptors(server) == own)

        assert cpu_of_half_a_second(server) < 0.05
        OrdinaryClient(server, b"R" * 65536).exchange()
        assert re.search(r"stopped: 21 .* 20 failed", server.stop().stderr)
