"""Build the images, run both containers once, and leave nothing running."""

import signal
import subprocess
import sys

from pair import Pair
from preflight import docker


def compose(*arguments: str) -> str:
    """Return what Compose prints, or show why it failed and give up."""
    answer = docker("compose", *arguments)
    if answer.returncode:
        sys.stderr.write(answer.stderr)
        raise SystemExit(f"run: docker compose {arguments[0]} failed, see above.")
    return answer.stdout.strip()


def down(_processes: list[subprocess.Popen[str]]) -> None:
    """Take both containers and their network away; the processes that follow them then end."""
    compose("down")


def main() -> int:
    """Have Compose create the pair; start the two one by one, which gives their own exit codes."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a build leaves nothing behind: no last words
    if compose("ps", "--quiet"):
        raise SystemExit("run: the pair is already running: make down first.")
    if subprocess.run(["docker", "compose", "build", "--quiet"], check=False).returncode:
        raise SystemExit("run: the images cannot be built, see above.")
    pair = Pair()
    try:
        compose("up", "--no-start")
        client, server = (compose("ps", "--all", "--quiet", name) for name in ("client", "server"))
        if not (client and server):
            raise SystemExit("run: somebody else is taking the pair down: try again.")
    except SystemExit:
        down([])
        raise
    start = ["docker", "start", "--attach"]
    return pair.play([*start, client], [*start, server], down)


if __name__ == "__main__":
    sys.exit(main())
