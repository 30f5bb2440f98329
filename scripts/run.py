"""Build the images, run both containers once, and leave nothing running."""

from collections.abc import Callable

from scripts import ready
from scripts.common import Problem, end_with
from scripts.docker import output
from scripts.pair import Commands, Pair


def compose(*arguments: str) -> str:
    """Return what Compose prints, out of reach of Ctrl-C. Raises Problem."""
    return output("compose", *arguments, start_new_session=True).strip()


def create() -> Commands:
    """Create both containers; return how to start each, which gives its own exit code."""
    compose("up", "--no-start")
    client, server = (compose("ps", "--all", "--quiet", name) for name in ("client", "server"))
    return ["docker", "start", "--attach", client], ["docker", "start", "--attach", server]


def once(play: Callable[[], int]) -> int:
    """Play the pair when all is ready for it and it does not run. Raises Problem."""
    ready.main()
    if compose("ps", "--quiet"):
        raise Problem("The pair is already running: make down first.")
    compose("down")  # Compose 2.26 keeps a network that was left with other addresses
    return play()


def main() -> int:
    return once(lambda: Pair().play(create, lambda _: compose("down")))


if __name__ == "__main__":
    end_with(main)
