"""What takes its seconds begins with the first test, and is looked at by the last ones."""

import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

import pytest

from tests.support import Program, client_environment, listening, receive_all


class Background(NamedTuple):
    """Programs that wait for peers that say nothing."""

    health_check: Program
    client: Program


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker of tests that look at what others have left time for."""
    config.addinivalue_line("markers", "last: looks at what began with the first test")


def is_last(item: pytest.Item) -> bool:
    """Tell whether a test comes after those that are not last."""
    return item.get_closest_marker("last") is not None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the last tests last, among those of this folder."""
    ours = [item.path.is_relative_to(Path(__file__).parent) for item in items]
    chosen = [item for item, our in zip(items, ours, strict=True) if our]
    ordered = iter(sorted(chosen, key=is_last))
    items[:] = [next(ordered) if our else item for item, our in zip(items, ours, strict=True)]


def full_pipe() -> tuple[IO[bytes], int, int]:
    """Return the two ends of a pipe that takes no more, and how many bytes it has."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    size = 0
    with suppress(BlockingIOError):
        while True:
            size += os.write(writer, b" " * 65536)
    os.set_blocking(writer, True)
    return open(reader, "rb"), writer, size


def blocks(pid: int, number: int) -> bool:
    """Tell whether a process holds a signal back."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("only Linux shows which signals are held back")
    (mask,) = re.findall(r"SigBlk:\t(\w+)", status.read_text())
    return bool(int(mask, 16) & 1 << (number - 1))


@pytest.fixture(scope="session", autouse=True)
def _start_early(request: pytest.FixtureRequest) -> None:
    if any(map(is_last, request.session.items)):
        request.getfixturevalue("background")


@pytest.fixture(scope="session")
def background() -> Iterator[Background]:
    """Run a health check and a client, each against a listener that never answers."""

    def say_nothing(sock: socket.socket) -> None:
        sock.settimeout(None)
        receive_all(sock)

    with listening(say_nothing) as address:
        server = {"HOST": address[0], "PORT": str(address[1])}
        waiting = client_environment(address, REPLY_TIMEOUT="60", DEADLINE="60")
        with Program("healthcheck", server) as health_check, Program("client", waiting) as client:
            yield Background(health_check, client)
