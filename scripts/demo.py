"""The pair without Docker: two processes on loopback, the client first."""

import os
import socket
import sys

from scripts.common import end_with
from scripts.pair import Commands, Pair, Processes


def create() -> Commands:
    """Choose a port that is free now, and say how the two are started."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    os.environ.update(HOST="127.0.0.1", PORT=port, SERVER_HOST="127.0.0.1", SERVER_PORT=port)
    return [sys.executable, "-m", "app.client"], [sys.executable, "-m", "app.server"]


def stop(processes: Processes) -> None:
    """End what still runs, as `docker compose down` would."""
    for process in processes:
        process.terminate()


def main() -> int:
    return Pair("nothing is left running").play(create, stop)


if __name__ == "__main__":
    end_with(main)
