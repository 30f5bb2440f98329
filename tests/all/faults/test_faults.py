"""Every system call of both programs fails once, and SIGTERM comes at each of the server."""

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle
from pathlib import Path

import pytest

from tests.lib.fault_table import Seen, write_table
from tests.lib.injection import (
    ERRORS,
    MEMORY,
    SIGNAL,
    THREADS,
    Fault,
    has_struck,
    places,
    strace,
)
from tests.lib.peers import REPLY, listening
from tests.lib.programs import run_client
from tests.lib.scenarios import client, server

pytestmark = pytest.mark.xdist_group("faults")

# And of which calls the faults are looked at.
SCENARIOS: dict[str, tuple[Callable[[Fault | None, Path], str], Iterable[str]]] = {
    "server": (server, ERRORS),
    "client": (partial(client, ""), ERRORS),
    "client that looks a name up": (partial(client, "localhost"), THREADS),
}


def wants_all() -> bool:
    """Tell whether each error is to come at each place."""
    return os.environ.get("FAULTS") == "all"


@pytest.fixture(scope="module")
def seen(request: pytest.FixtureRequest) -> Iterator[Seen]:
    """Collect what happens, for the table."""
    seen: Seen = {}
    yield seen
    if wants_all() and not request.session.testsfailed:
        write_table(seen)


def faults_of(reached: dict[str, list[int]], *signals: str) -> Iterator[Fault]:
    """Yield every fault; or fewer, with each error at one place, and at each place an error."""
    for call, numbers in reached.items():
        errors = [*signals, *ERRORS[call].split()]
        if wants_all():
            yield from (Fault(call, number, error) for number in numbers for error in errors)
        elif len(numbers) < len(errors):
            yield from map(Fault, [call] * len(errors), cycle(numbers), errors)
        else:
            yield from map(Fault, [call] * len(numbers), numbers, cycle(errors))


def answer(sock: socket.socket) -> None:
    """Be a server."""
    if sock.recv(100):
        sock.sendall(REPLY)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", SCENARIOS)
def test_failed_call_is_handled(name: str, tmp_path: Path, seen: Seen) -> None:
    """A program passes over a failed system call, tries again or ends as specified."""
    scenario, calls = SCENARIOS[name]
    scenario(None, tmp_path / "trace")
    made = places(tmp_path / "trace")
    reached = {call: made[call] for call in calls if call in made}
    assert "openat" not in reached  # that of getaddrinfo(3) aside
    wrong: dict[Fault, str] = {}
    struck = set()

    def strike(fault: Fault) -> None:
        trace = tmp_path / "-".join(map(str, fault))
        try:
            happened, failed = scenario(fault, trace), ""
        except Exception as error:  # noqa: BLE001 - collected, and told at the end
            happened, failed = "", repr(error)
        # Runs differ a little, and so do the places: some are not reached, or before main.
        if not has_struck(trace, fault):
            return
        struck.add(fault.call)
        if failed:
            wrong[fault] = failed
        else:
            seen.setdefault((name, fault.call, fault.error), set()).add(happened)

    # strace sends a signal to the main thread, which in the client never gets one.
    signals = [SIGNAL] if name == "server" else []
    with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        list(pool.map(strike, faults_of(reached, *signals)))
    assert not wrong
    assert struck >= set(reached) - MEMORY


@pytest.mark.parametrize("call", ["sendto", "recvfrom"])
@pytest.mark.parametrize(
    ("error", "exit_code", "status"),
    [
        *((error, 69, "unavailable") for error in ("EPERM", "ENOBUFS", "EHOSTUNREACH")),
        *((error, 74, "closed") for error in ("ECONNRESET", "EPIPE", "ECONNABORTED")),
    ],
)
def test_error_in_the_exchange_has_its_status(
    call: str, error: str, exit_code: int, status: str, tmp_path: Path
) -> None:
    """What the server ends is `closed`, what this host or the network breaks `unavailable`."""
    fault = Fault(call, "1+", error)
    env = {"DEADLINE": "30", "RETRY_DELAY": "60", "OUTPUT": "json"}  # time for one attempt
    with listening(answer) as address:
        outcome = run_client(address, prefix=strace(tmp_path / "trace", fault), **env)
    assert (outcome.exit_code, outcome.json["status"]) == (exit_code, status)
    assert outcome.json["cause"] == error
