"""Ordinary clients under full steam, in processes of their own, and what became of each.

``python3 -m tests.hostile.load HOST PORT SOURCE`` keeps some connections busy and makes new ones
all the time until the server is gone, then prints a JSON object of the fields of Tally.
"""

import json
import selectors
import socket
import subprocess
import sys
from contextlib import suppress
from typing import NamedTuple

from tests.hostile.support import name_of
from tests.support import MESSAGE, PATIENCE, REPLY, ROOT

KEPT = NEW = 32  # at a time, in each process


class Tally(NamedTuple):
    """What the clients of a process have seen."""

    replies: int  # whole ones
    torn: int  # ends, or anything else than a reply, where the rest of a reply was due
    in_flight: int  # ends in order, after some replies, with none to the last message
    resets: int  # the same, but by a reset
    unanswered: list[str]  # clients that had no reply at all, by their names in the server's log


class Load:
    """Processes of clients, at work from the start; ``tallies`` ends with the server."""

    def __init__(self, address: tuple[str, int]) -> None:
        command = [sys.executable, "-m", "tests.hostile.load", address[0], str(address[1])]
        self._processes = [
            subprocess.Popen([*command, source], cwd=ROOT, stdout=subprocess.PIPE)
            for source in ("127.0.51.1", "127.0.52.1")
        ]

    def tallies(self) -> list[Tally]:
        """Wait until all clients have seen the end of the server."""
        outputs = [process.communicate(timeout=PATIENCE)[0] for process in self._processes]
        return [Tally(**json.loads(output)) for output in outputs]


class Client:
    """A connection on which each reply is followed by the next message, or by the end."""

    def __init__(self, address: tuple[str, int], source: str, *, kept: bool) -> None:
        self.kept = kept
        self.replies = 0
        self.got = b""
        self.sock = socket.create_connection(address, PATIENCE, (source, 0))
        self.name = name_of(self.sock)
        self.sock.sendall(MESSAGE)


def work(address: tuple[str, int], source: str) -> Tally:
    """Keep all clients busy until the server has ended each."""
    replies = torn = in_flight = resets = 0
    unanswered = []

    with selectors.DefaultSelector() as selector:

        def start(*, kept: bool) -> None:
            # The listener is gone, or was in the midst of this one's connecting.
            with suppress(ConnectionRefusedError, ConnectionResetError, BrokenPipeError):
                client = Client(address, source, kept=kept)
                selector.register(client.sock, selectors.EVENT_READ, client)

        for number in range(KEPT + NEW):
            start(kept=number < KEPT)
        while selector.get_map():
            for key, _ in selector.select():
                client: Client = key.data
                got, reset = b"", 0
                try:
                    got = client.sock.recv(4096)
                    client.got += got
                    if client.got == REPLY:
                        replies += 1
                        client.replies += 1
                        client.got = b""
                        if client.kept:
                            client.sock.sendall(MESSAGE)
                            continue
                except (ConnectionResetError, BrokenPipeError):
                    reset = 1
                if got and client.got and REPLY.startswith(client.got):
                    continue
                torn += bool(client.got)
                if client.kept or not client.replies:
                    in_flight += bool(client.replies) and not reset
                    resets += bool(client.replies) and reset
                    if not client.replies:
                        unanswered.append(client.name)
                selector.unregister(client.sock)
                client.sock.close()
                if client.replies and not client.kept:
                    start(kept=False)
    return Tally(replies, torn, in_flight, resets, unanswered)


if __name__ == "__main__":
    print(json.dumps(work((sys.argv[1], int(sys.argv[2])), sys.argv[3])._asdict()))
