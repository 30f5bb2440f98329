"""Every system call of both programs fails once, and SIGTERM arrives at each server call."""

import itertools
import os
import platform
import signal
import socket
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest

from tests.lib.injection import ERRORS, MEMORY, SIGNAL, THREADS, Fault, has_struck, places, strace
from tests.lib.peers import REPLY, Address, connect, listening, own_address, receive
from tests.lib.programs import Program, run_client
from tests.lib.programs import client as start_client
from tests.lib.support import PATIENCE, until

pytestmark = pytest.mark.xdist_group("faults")

# The outcomes by scenario, call and error: several if they differ from place to place.
Seen = dict[tuple[str, str, str], set[str]]
WANTS_ALL = os.environ.get("FAULTS") == "all"  # each error at each place
# Without these the first run makes other calls before main than the next run: it writes bytecode
# and looks for the home directory.
ENVIRONMENT = {"HOME": "/", "PYTHONDONTWRITEBYTECODE": "1"}
LONG_REPLY = b"x" * 65536


def exchanges(sock: socket.socket, count: int) -> Iterator[None]:
    """Send a byte, yield while its reply is pending, then read the reply; do this again."""
    for _ in range(count):
        sock.sendall(b"\n")
        if not sock.recv(1, socket.MSG_PEEK):
            raise ConnectionError("closed")
        yield
        if len(receive(sock, len(LONG_REPLY))) < len(LONG_REPLY):
            raise ConnectionError("closed")


def visit(address: Address) -> None:
    """Make one exchange."""
    with connect(address) as sock:
        list(exchanges(sock, 1))


def stay(address: Address) -> Iterator[None]:
    """Be a slow client with a pending reply at each yield."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(PATIENCE)
        sock.connect(address)
        yield from exchanges(sock, 2)
        assert receive(sock) == b""  # once the server stops


def server(fault: Fault | None, trace: Path) -> str:
    """Run a server with an idle client, an evicted client, and a client with a pending reply."""
    address = own_address(), 8888  # not 0: the log may fail, which would name the port
    env = {"HOST": address[0], "PORT": "8888", "REPLY": LONG_REPLY.decode()}
    env |= {"MAX_CONNECTIONS": "2", "IDLE_TIMEOUT": "2"} | ENVIRONMENT
    lost = 0
    with ExitStack() as silent, Program("server", env, prefix=strace(trace, fault)) as program:

        def arrive() -> socket.socket | None:
            with suppress(ConnectionError):
                return silent.enter_context(connect(address))
            return None

        first = until(arrive, is_right=lambda sock: sock or program.process.poll() is not None)
        if first and not fault:
            assert receive(first) == b""  # only without a fault, because it is slow
            arrive()

        def stop() -> None:
            # If this signal is the fault, it must be enough.
            if not fault or fault.error != SIGNAL or not has_struck(trace, fault):
                program.signal(signal.SIGTERM)

        on, again = partial(next, stay(address), None), partial(visit, address)
        for step in (on, again, on, again, stop, on):
            try:
                step()
            except ConnectionError:
                lost += 1
        silent.close()
        outcome, log = program.outcome(), program.log
    assert outcome.stdout == ""
    assert all(line.split()[0] in ("INFO", "WARNING", "ERROR") for line in log), log
    if outcome.exit_code == 71:
        (line,) = [line for line in log if line.startswith("ERROR")]
        assert line.startswith("ERROR cannot listen on "), log
        return "says that it cannot listen and why, and ends with 71"
    assert outcome.exit_code == 0, (outcome.exit_code, log)
    if fault and fault.error == SIGNAL:
        assert "INFO stopped" in log[-1], log
        return "stops in order, with 0"
    assert lost <= 1, log
    return "answers all but one client" if lost else "answers all clients"


def answer(sock: socket.socket) -> None:
    """Reply to one message, as a server does."""
    if sock.recv(100):
        sock.sendall(REPLY)


def client(host: str, fault: Fault | None, trace: Path) -> str:
    """Run a client whose first connection is closed, and whose second gets the reply."""
    connections = itertools.count()

    def serve(sock: socket.socket) -> None:
        if next(connections):
            answer(sock)

    with listening(serve, "127.0.0.1" if host else "") as (address, port):
        env = {"OUTPUT": "json", "DEADLINE": "3"} | ENVIRONMENT
        with start_client((host or address, port), prefix=strace(trace, fault), **env) as program:
            outcome, log = program.outcome(), program.log
    assert all(line.split()[0] in ("INFO", "WARNING", "ERROR") for line in log), log
    if fault and fault.call == "write" and not outcome.stdout:
        assert outcome.exit_code == 0
        assert any("ERROR cannot write the result" in line for line in log), log
        return "says that it cannot write the result and why, and ends with 0"
    result = outcome.json
    ended = result["status"], result["exit_code"]
    assert ended[1] == outcome.exit_code
    if host and ended == ("unresolved", 68):
        return "tries again, and ends with 68: `unresolved`"  # each attempt has its own thread
    assert ended == ("ok", 0), outcome
    failed = [line for line in log if "waiting for" in line and "Closed by the server" not in line]
    return f"{'tries again and ' if failed or result['attempts'] > 2 else ''}gets the reply"


# Each scenario, and the calls that fail in it.
SCENARIOS: dict[str, tuple[Callable[[Fault | None, Path], str], Iterable[str]]] = {
    "server": (server, ERRORS),
    "client": (partial(client, ""), ERRORS),
    "client that looks a name up": (partial(client, "localhost"), THREADS),
}


@pytest.fixture(scope="module")
def seen(request: pytest.FixtureRequest) -> Iterator[Seen]:
    """Collect the outcomes, and write a table with one row for errors with the same outcome."""
    seen: Seen = {}
    yield seen
    if not WANTS_ALL or request.session.testsfailed:
        return
    rows: dict[tuple[str, str, str], str] = {}
    for (scenario, call, error), outcomes in sorted(seen.items()):
        row = scenario, call, " or ".join(sorted(outcomes, key=len))
        rows[row] = f"{rows.get(row, '')} {error}"
    where = f"Linux {platform.release()}, Python {platform.python_version()}"
    lines = [f"What a failed system call leads to, written by `make faults` on {where}.", ""]
    lines += [
        f"{scenario}: {call} with{errors}: {outcome}"
        for (scenario, call, outcome), errors in rows.items()
    ]
    (Path(__file__).parent / "table.txt").write_text("\n".join(lines) + "\n")


def faults_of(reached: dict[str, list[int]], *signals: str) -> Iterator[Fault]:
    """Yield every fault, or a selection in which each error and each place occurs."""
    for call, numbers in reached.items():
        errors = [*signals, *ERRORS[call].split()]
        some = zip(itertools.cycle(numbers), itertools.cycle(errors), strict=False)
        fewer = itertools.islice(some, max(len(numbers), len(errors)))
        pairs = itertools.product(numbers, errors) if WANTS_ALL else fewer
        yield from (Fault(call, number, error) for number, error in pairs)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", SCENARIOS)
def test_failed_call_is_handled(name: str, tmp_path: Path, seen: Seen) -> None:
    """A program survives a failed system call, tries again, or ends as specified."""
    scenario, calls = SCENARIOS[name]
    scenario(None, tmp_path / "trace")
    made = places(tmp_path / "trace")
    reached = {call: made[call] for call in calls if call in made}
    assert "openat" not in reached  # only getaddrinfo(3) may open files
    wrong: dict[Fault, str] = {}
    struck = set()

    def strike(fault: Fault) -> None:
        trace = tmp_path / "-".join(map(str, fault))
        try:
            happened, failed = scenario(fault, trace), ""
        except Exception as error:  # noqa: BLE001 - reported at the end
            happened, failed = "", repr(error)
        # Runs differ a little: a place may not be reached, or may be before main.
        if not has_struck(trace, fault):
            return
        struck.add(fault.call)
        if failed:
            wrong[fault] = failed
        else:
            seen.setdefault((name, fault.call, fault.error), set()).add(happened)

    # strace signals the main thread, but in the client another thread takes the signals.
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
    """An end by the server is `closed`, and an error of this host or network is `unavailable`."""
    fault = Fault(call, "1+", error)
    env = {"DEADLINE": "30", "RETRY_DELAY": "60", "OUTPUT": "json"}  # time for one attempt
    with listening(answer) as address:
        outcome = run_client(address, prefix=strace(tmp_path / "trace", fault), **env)
    assert (outcome.exit_code, outcome.json["status"]) == (exit_code, status)
    assert outcome.json["cause"] == error
