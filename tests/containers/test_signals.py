"""Both programs as PID 1, to which a signal without a handler is lost."""

import signal
from collections.abc import Callable

import pytest

from tests.containers.support import (
    STAYING,
    NewPair,
    docker,
    exit_code,
    logged,
    logs,
    result,
    until,
)


def stop(container: str) -> None:
    """End a container as Docker does: SIGTERM, and SIGKILL where that is not enough."""
    docker("stop", "--time=10", container)


def interrupt(container: str) -> None:
    """End a container as Ctrl-C does."""
    docker("kill", "--signal=INT", container)


def seconds_to_end(container: str) -> float:
    """Return the time between the first signal to a container and its end, by Docker's clock."""
    filters = [f"container={container}", "event=kill", "event=die"]
    options = ["--since=10m", "--until=0s", *(f"--filter={which}" for which in filters)]

    def times() -> dict[str, float]:
        events = docker("events", *options, "--format={{.Action}} {{.TimeNano}}").stdout
        # Backwards, since what counts is the first of them.
        pairs = map(str.split, reversed(events.splitlines()))
        return {action: int(time) / 1e9 for action, time in pairs}

    until(lambda: "die" in times())  # `docker wait` may be sooner
    return times()["die"] - times()["kill"]


@pytest.mark.parametrize(
    ("end", "number"), [(stop, signal.SIGTERM), (interrupt, signal.SIGINT)], ids=["TERM", "INT"]
)
def test_a_signal_ends_both_at_once(
    new_pair: NewPair, end: Callable[[str], None], number: int
) -> None:
    """The client ends with 128 and the signal's number, the server with 0, each within 2 s."""
    with new_pair(**STAYING, OUTPUT="json", LOG_LEVEL="DEBUG") as pair:
        pair.start()
        server, client = pair.server, pair.client
        logged(server, f"{pair.env['CLIENT_HOST']}:")

        # The server first: the client is connected to it.
        for container, code in ((server, 0), (client, 128 + number)):
            end(container)
            assert exit_code(container) == code
            assert seconds_to_end(container) < 2
        assert "INFO stopped" in logs(server).stderr
        found = result(client)
        assert (found["status"], found["exit_code"]) == ("interrupted", 128 + number)
