"""Build the images, run both containers once, and leave nothing running."""

import fcntl
from collections.abc import Callable

from scripts import ready
from scripts.common import Problem, end_with
from scripts.docker import output
from scripts.pair import Commands, Pair, Processes


def compose(*arguments: str) -> str:
    """Return what Compose prints, out of reach of Ctrl-C. Raises Problem."""
    return output("compose", *arguments, start_new_session=True).strip()


def create() -> Commands:
    """Create both containers; return how to start each, which gives its own exit code."""
    compose("up", "--no-start")
    client, server = (compose("ps", "--all", "--quiet", name) for name in ("client", "server"))
    start = ["docker", "start", "--attach"]
    return [*start, client], [*start, server]


def down(_: Processes) -> None:
    """Remove containers and network; the processes that follow the containers then end."""
    compose("down")


def once(play: Callable[[], int]) -> int:
    """Play the pair when all is ready for it and nobody else does. Raises Problem."""
    with open("docker-compose.yml", "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Problem("Another `make run` is running here; wait for it to finish.") from None
        ready.main()
        if compose("ps", "--quiet"):
            raise Problem("The pair is already running: make down first.")
        compose("down")  # Compose 2.26 keeps a network that was left with other addresses
        return play()


def main() -> int:
    return once(lambda: Pair().play(create, down))


if __name__ == "__main__":
    end_with(main)
