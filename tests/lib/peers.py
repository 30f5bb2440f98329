"""The other end of a connection: clients and listeners as plain sockets on loopback."""

import fcntl
import itertools
import os
import select
import socket
import struct
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer

from tests.lib.support import PATIENCE

Address = tuple[str, int]
Peer = Callable[[socket.socket], object]
REPLY = b"SERVER OK - STATUS 200"
MESSAGE = "Testando conexão".encode()
HEALTH_ADDRESS = "127.8.8.8"

_numbers = itertools.count(1)


def own_address() -> str:
    """Return a loopback address that nothing else in this run has.

    The kernel reuses ephemeral ports, so only such an address makes a peer's name unique.
    """
    if sys.platform != "linux":
        return "127.0.0.1"  # the only one on other systems
    number = next(_numbers)
    return f"127.{100 + os.getpid() % 150}.{number >> 8 & 255}.{number & 255}"


def connect(address: Address, source: str = "") -> socket.socket:
    """Return a connection from the given local address, or from a new one."""
    return socket.create_connection(address, PATIENCE, (source or own_address(), 0))


def name(sock: socket.socket) -> str:
    """Return the name that the server's log has for this socket."""
    return "{}:{}".format(*sock.getsockname())


class _Listener(ThreadingTCPServer):
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        raise  # noqa: PLE0704 - an exception is being handled; it fails the test


@contextmanager
def listening(serve: Peer, host: str = "") -> Iterator[Address]:
    """Listen, and serve each connection in a thread of its own; yield the address."""

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(PATIENCE)
            with suppress(ConnectionResetError, BrokenPipeError):  # a client may leave its peer
                serve(self.request)

    with _Listener((host or own_address(), 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield listener.socket.getsockname()
        finally:
            listener.shutdown()
            thread.join(PATIENCE)


@contextmanager
def refused() -> Iterator[Address]:
    """Yield an address that refuses connections."""
    with socket.socket() as sock:
        sock.bind((own_address(), 0))
        yield sock.getsockname()


@contextmanager
def deaf(host: str = "") -> Iterator[Address]:
    """Yield an address where nothing answers: its backlog is full."""
    with socket.create_server((host or own_address(), 0), backlog=0) as listener:
        address: Address = listener.getsockname()
        # Linux then accepts one connection, other systems a few.
        socks = [socket.socket() for _ in range(5)]
        for sock in socks:
            sock.setblocking(False)
            sock.connect_ex(address)
        yield address
        for sock in socks:
            sock.close()


def exchange(sock: socket.socket, reply: bytes = REPLY) -> None:
    """Send the message and get the reply."""
    sock.sendall(MESSAGE)
    assert receive(sock, len(reply)) == reply


def receive(sock: socket.socket, size: int = sys.maxsize) -> bytes:
    """Return this many bytes, or fewer if the peer closes. Raises ConnectionResetError."""
    data = b""
    while len(data) < size and (chunk := sock.recv(min(size - len(data), 65536))):
        data += chunk
    return data


def reset(sock: socket.socket) -> None:
    """Close with RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def unacknowledged(sock: socket.socket) -> bool:
    """Tell whether the peer's kernel has not acknowledged all data: SIOCOUTQ, tcp(7)."""
    return any(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))


def fill(sock: socket.socket) -> None:
    """Send without reading, until the kernel takes nothing for a quarter of a second."""
    sent = 0
    sock.setblocking(False)
    while select.select([], [sock], [], 0.25)[1]:
        sent += sock.send(bytes(65536))
        assert sent < 50_000_000  # or the peer takes everything
    sock.settimeout(PATIENCE)
