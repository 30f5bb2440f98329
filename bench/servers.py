"""The peers: what people write instead, each as short as its own documentation has it.

``python3 servers.py NAME PORT REPLY`` runs one of them on loopback. None logs anything.
"""

import asyncio
import selectors
import socket
import socketserver
import sys
from contextlib import suppress

HOST, PORT, REPLY = "127.0.0.1", int(sys.argv[2]), sys.argv[3].encode()
BACKLOG = 4096  # as ours: a peer does not lose for its default of 5 or 100


async def streams() -> None:
    """Serve by asyncio streams."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(64 * 1024):
            writer.write(REPLY)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, HOST, PORT, backlog=BACKLOG)
    await server.serve_forever()


class Answer(asyncio.Protocol):
    """Answers each chunk."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, _: bytes) -> None:
        self.transport.write(REPLY)


async def protocol() -> None:
    """Serve by an asyncio Protocol."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Answer, HOST, PORT, backlog=BACKLOG)
    await server.serve_forever()


def uvloop_protocol() -> None:
    """Serve by the same Protocol on uvloop."""
    import uvloop  # here, because it is the only one that needs it

    uvloop.run(protocol())


def threads() -> None:
    """Serve by socketserver, a thread for each connection."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while self.request.recv(64 * 1024):
                self.request.sendall(REPLY)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        request_queue_size = BACKLOG

    Server((HOST, PORT), Handler).serve_forever()


def sketch() -> None:
    """Serve by a bare selectors loop, without log, limits or time-outs."""
    selector = selectors.DefaultSelector()
    with socket.create_server((HOST, PORT), backlog=BACKLOG) as listener:
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                sock: socket.socket = key.fileobj  # type: ignore[assignment]
                if sock is listener:
                    client, _ = listener.accept()
                    client.setblocking(False)
                    selector.register(client, selectors.EVENT_READ)
                    continue
                with suppress(ConnectionError):
                    if sock.recv(64 * 1024):
                        sock.send(REPLY)
                        continue
                selector.unregister(sock)
                sock.close()


if __name__ == "__main__":
    serve = {
        "streams": lambda: asyncio.run(streams()),
        "protocol": lambda: asyncio.run(protocol()),
        "uvloop": uvloop_protocol,
        "threads": threads,
        "sketch": sketch,
    }
    serve[sys.argv[1]]()
