"""The pair without Docker: two processes on loopback, the client first."""

import os
import socket
import sys
from contextlib import suppress
from itertools import count
from subprocess import Popen

from scripts.common import end_with
from scripts.pair import Commands, Pair


def free_port() -> int:
    """Choose a closed port below those that a system gives to its clients."""
    for port in count(10_000 + os.getpid() % 20_000):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            break
    return port


def create() -> Commands:
    port = str(free_port())
    os.environ.update(HOST="127.0.0.1", PORT=port, SERVER_HOST="127.0.0.1", SERVER_PORT=port)
    return [sys.executable, "-m", "app.client"], [sys.executable, "-m", "app.server"]


def main() -> int:
    return Pair().play(create, lambda processes: [*map(Popen.terminate, processes)])


if __name__ == "__main__":
    end_with(main)
