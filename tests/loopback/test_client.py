"""The client against peers of every kind."""

import re
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from app import client as program
from app.protocol import printable
from tests.lib.name_server import silent_name_server
from tests.lib.peers import (
    MESSAGE,
    REPLY,
    Address,
    Peer,
    deaf,
    listening,
    own_address,
    receive,
    receive_all,
    refused,
    refusing,
    reset,
)
from tests.lib.programs import Outcome, Program, Server, client, redirected, run_client
from tests.lib.support import linux_only, until

KEYS = [
    *("status", "exit_code", "reply", "error", "cause", "attempts", "waited_s", "connect_ms"),
    *("reply_ms", "rtt_ms", "mss", "resent", "local", "peer"),
]
OVERSHOOT = 0.2  # seconds beyond DEADLINE


# Peers


def hears(sock: socket.socket) -> None:
    """Take the message, so that nothing unread makes what follows, its end, a reset."""
    assert receive(sock, len(MESSAGE)) == MESSAGE


def resets(sock: socket.socket) -> None:
    """End with a reset, once there is a connection."""
    hears(sock)
    reset(sock)


def says(*parts: bytes, then: Peer = receive_all, pause: float = 0.02) -> Peer:
    """Return a peer that answers in so many segments, a moment apart."""

    def peer(sock: socket.socket) -> None:
        hears(sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, part in enumerate(parts):
            time.sleep(pause if number else 0)  # it is slow: that is what it is here for
            sock.sendall(part)
        then(sock)

    return peer


def without_end(data: bytes) -> Peer:
    """Return a peer that sends the data again and again, as fast as it is taken."""

    def peer(sock: socket.socket) -> None:
        while True:
            sock.sendall(data)

    return peer


def in_turn(*peers: Peer) -> Peer:
    """Return a peer that is one after the other, a connection each, and stays the last."""
    left = list(peers)

    def peer(sock: socket.socket) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(sock)

    return peer


@contextmanager
def met(*, prefix: Sequence[str] = (), **env: str) -> Iterator[tuple[Program, socket.socket]]:
    """Run a client, and be the peer at the other end of its connection."""
    with (
        socket.create_server((own_address(), 0)) as listener,
        client(listener.getsockname(), prefix=prefix, **env) as program,
        listener.accept()[0] as sock,
    ):
        yield program, sock


# The table of exit codes


class Case(NamedTuple):
    """How the client must end with these peers, one after the other, or at an address."""

    exit_code: int
    status: str
    peers: tuple[Peer, ...] | Callable[[], AbstractContextManager[Address]]
    env: dict[str, str]
    reply: str | None = None

    def address(self) -> AbstractContextManager[Address]:
        """Have them listen."""
        return listening(in_turn(*self.peers)) if isinstance(self.peers, tuple) else self.peers()


# In two attempts, as a third would begin too late; in one or two; in one that lasts to the end.
IMPATIENT = {
    "DEADLINE": "0.7",
    "RETRY_DELAY": "0.2",
    "CONNECT_TIMEOUT": "0.2",
    "REPLY_TIMEOUT": "0.2",
}
SHORT = {"DEADLINE": "0.6", "RETRY_DELAY": "0.35"}
PATIENT = {"DEADLINE": "0.35", "RETRY_DELAY": "0.2"}
RETRY = {"WRONG_REPLY": "retry"}
PREFIX = {"REPLY_MATCH": "prefix"}
END = socket.socket.close
HALF = REPLY[:9]
BYTES = [bytes([byte]) for byte in REPLY]
OK = REPLY.decode()
KO = "SERVER KO - STATUS 500"
MORE = f"{OK}, and more\r\n"
LOADING = "-LOADING\r\n"
LONG = "R" * 65536
NASTY = "a\n\x1b[2J\u202e"  # and a byte that is not UTF-8
FORGED = "\n2026-01-01T00:00:00.000Z INFO expected reply\x1b[2J\u2028\u202e"
GARBAGE = without_end(b"\xff" * 65536)
RS = without_end(LONG.encode())
CASES = {
    "ok": Case(0, "ok", (says(REPLY),), {}, OK),
    "split": Case(0, "ok", (says(HALF, REPLY[9:]),), {}, OK),
    "bytewise": Case(0, "ok", (says(*BYTES, pause=0.005),), {}, OK),
    "late": Case(0, "ok", (hears, hears, says(REPLY)), {}, OK),
    "prefix": Case(0, "ok", (says(MORE.encode()),), PREFIX, MORE),
    "prefix of an endless reply": Case(0, "ok", (RS,), PREFIX | {"REPLY": LONG}, LONG),
    "large": Case(0, "ok", (says(LONG.encode()),), {"REPLY": LONG}, LONG),
    "nasty": Case(
        *(0, "ok", (says(NASTY.encode() + b"\xff"),), {"REPLY": rf"{NASTY}\xff"}, rf"{NASTY}\xff")
    ),
    "retried": Case(0, "ok", (says(LOADING.encode()), says(REPLY)), RETRY, OK),
    "refused": Case(69, "unavailable", refused, SHORT),
    "deaf": Case(69, "unavailable", deaf, IMPATIENT),
    "deaf beyond the deadline": Case(69, "unavailable", deaf, PATIENT),
    "unresolved": Case(68, "unresolved", refused, SHORT | {"SERVER_HOST": "name.invalid"}),
    "closing": Case(74, "closed", (hears,), SHORT),
    "closing half-way": Case(74, "closed", (says(HALF, then=END),), SHORT),
    "resetting": Case(74, "closed", (resets,), SHORT),
    "resetting half-way": Case(74, "closed", (says(HALF, then=reset),), SHORT),
    "cut short": Case(74, "closed", (hears, receive_all), SHORT),
    "silent": Case(75, "no-reply", (receive_all,), IMPATIENT),
    "silent beyond the deadline": Case(75, "no-reply", (receive_all,), PATIENT),
    "silent half-way": Case(75, "no-reply", (says(HALF),), IMPATIENT),
    "all but the end": Case(75, "no-reply", (says(REPLY[:-1]),), PATIENT),
    "slow": Case(75, "no-reply", (says(*BYTES),), IMPATIENT),
    "slow beyond the deadline": Case(75, "no-reply", (says(*BYTES),), PATIENT),
    "without a greeting": Case(75, "no-reply", (receive_all,), IMPATIENT | {"MESSAGE": ""}),
    "wrong": Case(76, "wrong-reply", (says(KO.encode()),), {}, KO),
    "wrong from the first byte": Case(76, "wrong-reply", (says(b"\n"),), {}, "\n"),
    "forged": Case(76, "wrong-reply", (says(FORGED.encode() + b"\xff"),), {}, rf"{FORGED}\xff"),
    "longer": Case(76, "wrong-reply", (says(REPLY + b"!"),), {}, OK + "!"),
    "endless": Case(76, "wrong-reply", (RS,), {"REPLY": LONG[:999]}, LONG[:200]),
    "wrong prefix": Case(76, "wrong-reply", (says(KO.encode()),), PREFIX, KO),
    "garbage": Case(76, "wrong-reply", (GARBAGE,), {}, r"\xff" * 200),
    "garbage for ever": Case(76, "wrong-reply", (GARBAGE,), SHORT | RETRY, r"\xff" * 200),
    "wrong for ever": Case(76, "wrong-reply", (says(LOADING.encode()),), SHORT | RETRY, LOADING),
}
# Address space: an idle interpreter maps some 30 MiB, and who sends without end sends more.
FRUGAL = ("prlimit", f"--as={100 * 2**20}") if sys.platform == "linux" else ()


def play(case: Case, output: str = "json") -> Outcome:
    """Run the client against the peers of a case."""
    frugal = FRUGAL if isinstance(case.peers, tuple) else ()  # a look-up's thread maps more
    with case.address() as address:
        return run_client(address, prefix=frugal, OUTPUT=output, **case.env)


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    """Play all cases, several at once, since they wait for most of their time."""
    with ThreadPoolExecutor(8) as pool:
        return dict(zip(CASES, pool.map(play, CASES.values()), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_how_it_ends(name: str, outcomes: dict[str, Outcome]) -> None:
    """Each end has its exit code, its word, its one line in JSON and in the log, and its time."""
    case, outcome = CASES[name], outcomes[name]
    assert outcome.exit_code == case.exit_code
    assert outcome.stdout.removesuffix("\n").isprintable()
    check_json(case, outcome.json)
    check_log(case, outcome.stderr)
    # No line says that it waits unless another attempt follows.
    assert outcome.stderr.count(" INFO waiting for ") < outcome.json["attempts"]
    check_time(case, outcome.json["waited_s"], outcome.json["attempts"])


@pytest.mark.parametrize("name", ["ok", "prefix", "nasty", "refused", "wrong", "forged"])
def test_how_it_ends_as_text(name: str) -> None:
    """As text stdout has the reply, escaped, and nothing else; nothing on failure."""
    case = CASES[name]
    outcome = play(case, "text")

    assert outcome.exit_code == case.exit_code
    reply = printable((case.reply or "").encode())
    assert outcome.stdout == ("" if case.exit_code else f"{reply}\n")
    check_log(case, outcome.stderr)


def check_log(case: Case, stderr: str) -> None:
    """Check that the last line is the verdict, that no other is, and that nothing forges one."""
    *waits, verdict = stderr.removesuffix("\n").split("\n")
    said = "ERROR failed: " if case.exit_code else "INFO expected reply from "
    assert re.match(rf"\S+Z {said}", verdict)
    assert all(re.match(r"\S+Z INFO waiting for ", line) for line in waits)
    assert stderr.replace("\n", "").isprintable()


def check_json(case: Case, result: dict[str, Any]) -> None:
    """Check the object: every key in its order, the word, the reply, what was measured."""
    assert list(result) == KEYS
    assert (result["exit_code"], result["status"]) == (case.exit_code, case.status)
    if case.env.get("REPLY_MATCH") == "prefix" and case.reply == LONG:
        assert result["reply"].startswith(LONG)
    else:
        assert result["reply"] == case.reply
    assert (result["error"] is None) is (case.exit_code == 0)
    connected = case.status not in ("unavailable", "unresolved")
    assert (result["connect_ms"] is not None) is connected
    assert (result["reply_ms"] is not None) is (case.exit_code == 0)
    for end in (result["local"], result["peer"]):
        assert bool(re.fullmatch(r"127(\.\d+){3}:\d+", str(end))) is connected
        assert connected or end is None


def check_time(case: Case, waited: float, attempts: int) -> None:
    """Check that the wait is over at DEADLINE, not before no attempt fits, and what fits in."""
    if "DEADLINE" in case.env:
        deadline, delay = float(case.env["DEADLINE"]), float(case.env["RETRY_DELAY"])
        assert deadline <= waited + delay + 0.001  # to which it is rounded
        assert waited < deadline + OVERSHOOT
        assert attempts <= 2
    if "CONNECT_TIMEOUT" in case.env:
        assert attempts > 1
    elif case.env is PATIENT:
        assert attempts == 1
    elif isinstance(case.peers, tuple) and "DEADLINE" not in case.env:
        assert attempts == len(case.peers)


@linux_only
def test_where_the_time_goes() -> None:
    """A name is as good as its address; connect_ms has its look-up, reply_ms what comes then."""
    slow_look_up = """
import socket, time
look_up = socket.getaddrinfo
socket.getaddrinfo = lambda *args: (time.sleep(0.1), look_up(*args))[1]
"""
    env = {"SERVER_HOST": "localhost", "OUTPUT": "json"}
    with (
        listening(says(HALF, REPLY[9:], pause=0.1), "127.0.0.1") as address,
        client(address, before=slow_look_up, **env) as looking,
    ):
        result = looking.outcome().json

    assert (result["status"], result["peer"]) == ("ok", "{}:{}".format(*address))
    assert result["connect_ms"] >= 100
    assert result["reply_ms"] >= 100
    assert result["connect_ms"] + result["reply_ms"] <= result["waited_s"] * 1000 + 1


# What is measured


def test_what_an_attempt_measured_is_its_own() -> None:
    """After a connection that was closed and one that was refused, nothing of the first is left."""
    with socket.create_server((own_address(), 0)) as listener:
        env = {"OUTPUT": "json", "DEADLINE": "0.3", "RETRY_DELAY": "0.1"}
        with client(listener.getsockname(), **env) as waiting:
            with listener.accept()[0]:
                listener.close()
            result = waiting.outcome().json

    assert (result["status"], result["cause"]) == ("unavailable", "ECONNREFUSED")
    measured = ("connect_ms", "reply_ms", "rtt_ms", "mss", "local", "peer")
    assert [result[key] for key in measured] == [None] * len(measured)


@linux_only
def test_the_kernel_tells_of_the_connection(server: Server) -> None:
    """A round trip, a segment's size and segments sent again come with the reply."""
    outcome = run_client(server.address, OUTPUT="json")

    result = outcome.json
    assert 0 < result["rtt_ms"] < result["connect_ms"] + result["reply_ms"]
    assert 500 < result["mss"] <= 65483  # what fits into a packet of loopback
    assert result["resent"] == 0
    assert re.search(r"\(attempt 1, 0\.\d s, round trip \d+\.\d\d ms\)$", outcome.stderr)


# The wait


def test_a_wait_is_told_at_its_start_and_when_its_cause_changes() -> None:
    """One line names target, cause, attempt and time, again only for another cause."""
    half = says(HALF, then=END)  # how much has come is no other cause
    loading = (says(b"-LOADING 1%"), says(b"-LOADING 2%"))  # nor is what it says
    peer = in_turn(hears, half, *loading, says(REPLY))
    with listening(peer) as address:
        outcome = run_client(address, WRONG_REPLY="retry")

    target = re.escape("{}:{}".format(*address))
    lines = [
        rf"INFO waiting for {target}: .*[Cc]losed.* \(attempt 1, \d+\.\d s\)",
        rf"INFO waiting for {target}: .*-LOADING.* \(attempt 3, \d+\.\d s\)",
        rf"INFO .*{target}.*attempt 5.*",
    ]
    logged = outcome.stderr.splitlines()
    assert len(logged) == len(lines)
    for line, pattern in zip(logged, lines, strict=True):
        assert re.fullmatch(rf"\S+Z {pattern}", line)


def test_a_level_above_info_is_silent_until_the_failure() -> None:
    """With LOG_LEVEL=ERROR nothing is said of the wait, only of its end."""
    with refused() as address:
        _, _, stderr, _ = run_client(address, LOG_LEVEL="error", DEADLINE="0.1")

    assert re.fullmatch(r"\S+Z ERROR .+\n", stderr)


def test_a_wait_is_reported_again_after_10_s() -> None:
    """For the same reason too, a line says again that the client waits, once 10 s have passed."""
    assert program.REPORT_INTERVAL == 10
    with refused() as address, client(address, before="program.REPORT_INTERVAL = 0.2") as waiting:
        lines = [waiting.wait_for(r"waiting for .* (\d+\.\d) s\)", count) for count in (1, 2, 3)]
        waiting.process.kill()

    times = [float(line[1]) for line in lines]
    assert times == sorted({*times})


@linux_only
@pytest.mark.parametrize("output", ["text", "json"])
def test_a_client_without_a_descriptor_waits_for_one(output: str) -> None:
    """A client that may open no file waits for a descriptor, and needs only that of its socket."""
    env = {"DEADLINE": "0", "OUTPUT": output}
    with refusing() as sock, client(sock.getsockname(), **env) as waiting:
        waiting.wait_for("waiting for .* refused")
        pid, kind = waiting.process.pid, resource.RLIMIT_NOFILE
        hard = resource.getrlimit(kind)[1]
        resource.prlimit(pid, kind, (3, hard))
        waiting.wait_for("waiting for .* open files")
        sock.listen()
        resource.prlimit(pid, kind, (4, hard))
        with sock.accept()[0] as connection:
            says(b"KO\r\n")(connection)
        outcome = waiting.outcome()

    assert outcome.exit_code == 76
    assert r"ERROR failed: unexpected reply: KO\r\n (" in outcome.stderr
    assert output == "text" or outcome.json["reply"] == "KO\r\n"


def test_the_longest_durations_are_no_more_than_long() -> None:
    """The greatest duration allowed is no wait of no time."""
    names = ("RETRY_DELAY", "CONNECT_TIMEOUT", "REPLY_TIMEOUT", "DEADLINE")
    with listening(says(HALF, REPLY[9:])) as address:
        assert run_client(address, **dict.fromkeys(names, "1000000")).exit_code == 0


# What is sent, and what is shown


@pytest.mark.parametrize(
    ("message", "sent"),
    [(r"\0é\xff\r\n", b"\0\xc3\xa9\xff\r\n"), ("", b"")],
    ids=["any bytes", "nothing"],
)
def test_the_message_is_sent_as_it_is_meant(message: str, sent: bytes) -> None:
    """The server gets the bytes of MESSAGE and no other; nothing if it is empty."""
    with met(MESSAGE=message) as (program, sock):
        heard = receive(sock, len(sent))
        sock.sendall(REPLY)

        assert heard + receive_all(sock) == sent
        assert program.outcome().exit_code == 0


# Signals


def interrupt(waiting: Program, number: int = signal.SIGTERM) -> None:
    """Send a signal, and see the client end at once, with the one object in JSON."""
    sent = time.monotonic()
    waiting.signal(number)
    outcome = waiting.outcome()

    # Whatever could hold it up would take far longer.
    assert time.monotonic() - sent < 1
    result = outcome.json
    assert list(result) == KEYS
    assert outcome.exit_code == result["exit_code"] == 128 + number
    assert (result["status"], result["reply"]) == ("interrupted", None)
    assert result["error"]
    assert "Traceback" not in outcome.stderr


FOR_EVER = {"OUTPUT": "json", "DEADLINE": "0", "RETRY_DELAY": "60"}


def test_a_signal_leaves_no_text() -> None:
    """As text an interrupted wait has no result."""
    with refused() as address, client(address, DEADLINE="0") as waiting:
        waiting.wait_for("waiting for")
        waiting.signal(signal.SIGTERM)

        assert waiting.outcome()[:2] == (143, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_sleeping_at_once(number: int) -> None:
    """The time until the next attempt does not hold up a signal."""
    with refused() as address, client(address, **FOR_EVER) as waiting:
        waiting.wait_for("waiting for")
        interrupt(waiting, number)


def connecting(address: Address) -> int:
    """Return how many sockets wait for an answer from this address."""
    packed = int.from_bytes(socket.inet_aton(address[0]), sys.byteorder)
    remote = rf" {packed:08X}:{address[1]:04X} 02 "
    return len(re.findall(remote, Path("/proc/net/tcp").read_text()))


@linux_only
def test_a_signal_ends_connecting_at_once() -> None:
    """A connection that does not come about does not hold up a signal."""
    with deaf() as address:
        others = connecting(address)
        with client(address, CONNECT_TIMEOUT="60", **FOR_EVER) as waiting:
            until(lambda: connecting(address) > others, awaited="a SYN without answer")
            interrupt(waiting)


def test_a_signal_ends_reading_at_once() -> None:
    """A reply that does not come does not hold up a signal."""
    with met(REPLY_TIMEOUT="60", **FOR_EVER) as (program, sock):
        hears(sock)
        interrupt(program)


def test_a_signal_ends_a_look_up_at_once(tmp_path: Path) -> None:
    """A name server that does not answer does not hold up a signal."""
    with silent_name_server(tmp_path, CONNECT_TIMEOUT="60", DEADLINE="0") as waiting:
        waiting.wait_for("asked")
        interrupt(waiting)


def test_silent_name_server_does_not_delay_the_deadline(tmp_path: Path) -> None:
    """DEADLINE ends a look-up too, as `unresolved`."""
    with silent_name_server(tmp_path, DEADLINE="0.2") as program:
        outcome = program.outcome()

    assert (outcome.exit_code, outcome.json["status"]) == (68, "unresolved")
    assert 0.2 <= outcome.json["waited_s"] < 0.2 + OVERSHOOT


# Where the result goes


@pytest.mark.parametrize(
    ("redirection", "output"),
    [(">&-", "json"), pytest.param(">/dev/full", "text", marks=linux_only)],
    ids=["closed", "full"],
)
def test_a_stdout_that_takes_nothing_is_told_of(
    server: Server, redirection: str, output: str
) -> None:
    """Where the result cannot be written, a line of the log says so."""
    prefix = redirected(redirection)
    exit_code, stdout, stderr, _ = run_client(server.address, prefix=prefix, OUTPUT=output)

    assert (exit_code, stdout) == (0, "")
    assert "Traceback" not in stderr
    assert " ERROR cannot write the result: " in stderr.splitlines()[0]


def test_a_closed_stdout_leads_to_no_one_else() -> None:
    """The number of a stdout closed from the start is the connection's, and nothing goes there."""
    with met(prefix=redirected(">&-"), REPLY_TIMEOUT="60", **FOR_EVER) as (program, sock):
        hears(sock)
        program.signal(signal.SIGTERM)

        assert program.outcome().exit_code == 143
        assert receive_all(sock) == b""
