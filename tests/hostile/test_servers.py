"""A client before servers that would waste its time or its memory: it has the last word."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.support import LOOPBACK, REPLY, Outcome, Program, client_environment, listening

OVERSHOOT = 0.2  # seconds that it may take beyond DEADLINE
START = 1.0  # seconds that the interpreter's start and end may take on a busy machine
DEADLINE = 1.0

# Address space, which is what a limit can be set to: an idle interpreter maps some 30 MiB, and the
# servers here have sent several times as much by the deadline.
MEMORY = 100 * 2**20

Serve = Callable[[socket.socket], None]


def client(address: tuple[str, int], **env: str) -> Outcome:
    """Run a client that has little memory until its end, which must not be late."""
    limits = {"RETRY_DELAY": "0.1", "REPLY_TIMEOUT": "0.3", "DEADLINE": str(DEADLINE)}
    with Program(
        "client",
        client_environment(address, OUTPUT="json", **(limits | env)),
        prefix=("prlimit", f"--as={MEMORY}"),
    ) as program:
        outcome = program.outcome()
    assert outcome.json["waited_s"] < DEADLINE + OVERSHOOT
    assert outcome.seconds < DEADLINE + OVERSHOOT + START
    return outcome


def every(seconds: float, data: bytes) -> Serve:
    """Send the data byte by byte, one each so many seconds, and again from its start."""

    def serve(sock: socket.socket) -> None:
        while True:
            for byte in data:
                sock.sendall(bytes([byte]))
                time.sleep(seconds)

    return serve


def without_end(data: bytes) -> Serve:
    """Send the data again and again, as fast as it is taken."""

    def serve(sock: socket.socket) -> None:
        while True:
            sock.sendall(data)

    return serve


def once(data: bytes) -> Serve:
    """Send the data, and then nothing until the client leaves."""

    def serve(sock: socket.socket) -> None:
        sock.sendall(data)
        while sock.recv(65536):
            pass

    return serve


LONG = "R" * 65536


@pytest.mark.parametrize(
    ("serve", "env", "exit_code", "in_one"),
    [
        pytest.param(without_end(bytes(2**20)), {}, 76, True, id="garbage"),
        pytest.param(
            without_end(bytes(2**20)), {"WRONG_REPLY": "retry"}, 76, False, id="garbage-retry"
        ),
        pytest.param(without_end(LONG.encode()), {"REPLY": LONG[:1000]}, 76, True, id="too-much"),
        pytest.param(
            without_end(LONG.encode()),
            {"REPLY": LONG, "REPLY_MATCH": "prefix"},
            0,
            True,
            id="prefix",
        ),
        pytest.param(every(0.1, REPLY), {}, 75, False, id="byte-by-byte"),
        pytest.param(
            every(0.1, REPLY), {"REPLY_TIMEOUT": "60"}, 75, True, id="byte-by-byte-to-the-deadline"
        ),
        pytest.param(every(0.001, LONG.encode()), {"REPLY": LONG}, 75, False, id="long-and-slow"),
        pytest.param(once(REPLY[:-1]), {}, 75, False, id="all-but-the-end"),
        pytest.param(once(REPLY[:-1]), {"REPLY_TIMEOUT": "60"}, 75, True, id="to-the-deadline"),
        pytest.param(once(b""), {"MESSAGE": ""}, 75, False, id="no-greeting"),
    ],
)
def test_a_server_that_wastes_time(
    serve: Serve, env: dict[str, str], exit_code: int, in_one: bool
) -> None:
    """Whatever comes, and however slowly, the client ends with the right code and in time."""
    with listening(serve) as address:
        outcome = client(address, **env)
    assert outcome.exit_code == exit_code
    assert (outcome.json["attempts"] == 1) is in_one


def test_a_server_that_reads_nothing() -> None:
    """A connection of which nobody takes a byte is no reply in time."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        outcome = client(listener.getsockname())
    assert outcome.exit_code == 75
    assert outcome.json["attempts"] > 1


@contextmanager
def full_backlog() -> Iterator[tuple[str, int]]:
    """Listen, accept nobody, and have the backlog full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((LOOPBACK, 0), backlog=0))
        address: tuple[str, int] = listener.getsockname()
        while True:
            sock = stack.enter_context(socket.socket())
            # Far longer than loopback takes: no answer means that there is no room.
            sock.settimeout(0.2)
            try:
                sock.connect(address)
            except TimeoutError:
                break
        yield address


@pytest.mark.parametrize(("timeout", "in_one"), [("0.3", False), ("60", True)])
def test_a_server_that_accepts_nobody(timeout: str, in_one: bool) -> None:
    """Where the backlog is full, no connection can be made: that is said, and in time."""
    with full_backlog() as address:
        outcome = client(address, CONNECT_TIMEOUT=timeout)
    assert outcome.exit_code == 69
    assert (outcome.json["attempts"] == 1) is in_one
