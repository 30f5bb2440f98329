"""The pair without Docker: two processes on loopback, the client first."""

import os
import socket
import subprocess
import sys

from pair import Pair


def stop(processes: list[subprocess.Popen[str]]) -> None:
    """End what still runs, as `docker compose down` would."""
    for process in processes:
        process.terminate()


def main() -> int:
    """Play the pair on a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    os.environ.update(HOST="127.0.0.1", PORT=port, SERVER_HOST="127.0.0.1", SERVER_PORT=port)
    client, server = ([sys.executable, "-m", f"app.{name}"] for name in ("client", "server"))
    return Pair().play(client, server, stop)


if __name__ == "__main__":
    sys.exit(main())
