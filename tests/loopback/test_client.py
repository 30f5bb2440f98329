"""The client against peers of every kind."""

import re
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from app import client as program
from app.protocol import printable
from tests.lib.name_server import looking_up
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
    reset,
)
from tests.lib.programs import Outcome, Program, Server, client, redirected, run_client
from tests.lib.support import SLACK, linux_only, until

KEYS = [
    *("status", "exit_code", "reply", "error", "cause", "attempts", "waited_s", "connect_ms"),
    *("reply_ms", "rtt_ms", "mss", "resent", "local", "peer"),
]


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


# One attempt, which ends by itself, since none fits after it; and one that the deadline ends.
ONCE = {"DEADLINE": "30", "RETRY_DELAY": "60", "REPLY_TIMEOUT": "0.2"}
TO_THE_END = {"DEADLINE": "1", "CONNECT_TIMEOUT": "60", "REPLY_TIMEOUT": "60"}
DURATIONS = ("RETRY_DELAY", "CONNECT_TIMEOUT", "REPLY_TIMEOUT", "DEADLINE")
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
    "split": Case(0, "ok", (says(HALF, REPLY[9:]),), {}, OK),
    "late": Case(0, "ok", (hears, hears, says(REPLY)), {}, OK),
    "longest durations": Case(0, "ok", (says(REPLY),), dict.fromkeys(DURATIONS, "1000000"), OK),
    "prefix": Case(0, "ok", (says(MORE.encode()),), PREFIX, MORE),
    "large": Case(0, "ok", (says(LONG.encode()),), {"REPLY": LONG}, LONG),
    "nasty": Case(
        *(0, "ok", (says(NASTY.encode() + b"\xff"),), {"REPLY": rf"{NASTY}\xff"}, rf"{NASTY}\xff")
    ),
    "retried": Case(0, "ok", (says(LOADING.encode()), says(REPLY)), RETRY, OK),
    "refused": Case(69, "unavailable", refused, ONCE),
    "deaf": Case(69, "unavailable", deaf, ONCE | {"CONNECT_TIMEOUT": "0.2"}),
    "deaf to the end": Case(69, "unavailable", deaf, TO_THE_END),
    "unresolved": Case(68, "unresolved", refused, ONCE | {"SERVER_HOST": "name.invalid"}),
    "closing": Case(74, "closed", (hears,), ONCE),
    "closing half-way": Case(74, "closed", (says(HALF, then=END),), ONCE),
    "resetting": Case(74, "closed", (resets,), ONCE),
    "resetting half-way": Case(74, "closed", (says(HALF, then=reset),), ONCE),
    "closing, then silent to the end": Case(74, "closed", (hears, receive_all), TO_THE_END),
    "silent": Case(75, "no-reply", (receive_all,), ONCE),
    "silent to the end": Case(75, "no-reply", (receive_all,), TO_THE_END),
    "silent half-way": Case(75, "no-reply", (says(HALF),), ONCE),
    "slow": Case(75, "no-reply", (says(*BYTES),), ONCE),
    "without a greeting": Case(75, "no-reply", (receive_all,), ONCE | {"MESSAGE": ""}),
    "wrong": Case(76, "wrong-reply", (says(KO.encode()),), {}, KO),
    "forged": Case(76, "wrong-reply", (says(FORGED.encode() + b"\xff"),), {}, rf"{FORGED}\xff"),
    "longer": Case(76, "wrong-reply", (says(REPLY + b"!"),), {}, OK + "!"),
    "endless": Case(76, "wrong-reply", (RS,), {"REPLY": LONG[:999]}, LONG[:200]),
    "garbage": Case(76, "wrong-reply", (GARBAGE,), ONCE | RETRY, r"\xff" * 200),
}


def play(case: Case, output: str = "json") -> Outcome:
    """Run the client against the peers of a case."""
    with case.address() as address:
        return run_client(address, OUTPUT=output, **case.env)


@pytest.mark.parametrize("name", CASES)
def test_each_end_has_its_exit_code_and_result(name: str) -> None:
    """Each end has its exit code, its word, its one line in JSON and in the log, and its time."""
    case = CASES[name]
    outcome = play(case)
    result = outcome.json
    assert list(result) == KEYS
    assert outcome.exit_code == result["exit_code"] == case.exit_code
    assert (result["status"], result["reply"]) == (case.status, case.reply)
    assert (result["error"] is None) is (case.exit_code == 0)
    assert (result["reply_ms"] is not None) is (case.exit_code == 0)
    # What the deadline cuts short may have been connected or not.
    if case.env is not TO_THE_END:
        connected = case.status not in ("unavailable", "unresolved")
        assert (result["connect_ms"] is not None) is connected
        for end in (result["local"], result["peer"]):
            assert bool(re.fullmatch(r"127(\.\d+){3}:\d+", str(end))) is connected
        assert result["attempts"] == (len(case.peers) if isinstance(case.peers, tuple) else 1)
        assert result["waited_s"] < 10
    else:
        assert result["waited_s"] > 1 - 0.06  # less than it takes to try again
        assert result["waited_s"] < 1 + SLACK
    check_log(case, outcome.stderr)
    # No line says that it waits unless another attempt follows.
    assert outcome.stderr.count(" INFO waiting for ") < result["attempts"]


@pytest.mark.parametrize("name", ["prefix", "nasty", "refused", "forged"])
def test_text_is_the_escaped_reply_alone(name: str) -> None:
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


# What is measured


@linux_only
def test_time_is_split_into_connecting_and_reply() -> None:
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


def test_measurements_are_those_of_the_last_attempt() -> None:
    """After a connection that was closed and one that was refused, nothing of the first is left."""
    with socket.create_server((own_address(), 0)) as listener:
        env = {"OUTPUT": "json", "DEADLINE": "1.5", "RETRY_DELAY": "1"}
        with client(listener.getsockname(), **env) as waiting:
            with listener.accept()[0]:
                listener.close()
            result = waiting.outcome().json

    assert (result["status"], result["cause"]) == ("unavailable", "ECONNREFUSED")
    measured = ("connect_ms", "reply_ms", "rtt_ms", "mss", "local", "peer")
    assert [result[key] for key in measured] == [None] * len(measured)


@linux_only
def test_kernel_measures_the_connection() -> None:
    """A round trip, the bytes in a segment and segments sent again come with the reply."""
    with socket.create_server((own_address(), 0)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
        with client(listener.getsockname(), OUTPUT="json") as program:
            with listener.accept()[0] as sock:
                says(REPLY)(sock)
            outcome = program.outcome()

    result = outcome.json
    assert 0 < result["rtt_ms"] < result["connect_ms"] + result["reply_ms"]
    assert 1380 <= result["mss"] <= 1400  # time stamps take 12
    assert result["resent"] == 0
    assert re.search(r"\(attempt 1, \d+\.\d s, round trip \d+\.\d\d ms\)$", outcome.stderr)


# The wait


def test_wait_is_reported_when_its_cause_changes() -> None:
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


def test_wait_is_reported_again_after_10_s() -> None:
    """For the same reason too, a line says again that the client waits, once 10 s have passed."""
    assert program.REPORT_INTERVAL == 10
    with refused() as address, client(address, before="program.REPORT_INTERVAL = 0.2") as waiting:
        lines = [waiting.wait_for(r"waiting for .* (\d+\.\d) s\)", count) for count in (1, 2, 3)]
        waiting.process.kill()

    times = [float(line[1]) for line in lines]
    assert times == sorted({*times})


def test_message_is_sent_as_its_escapes_say() -> None:
    """The server gets the bytes of MESSAGE and no other."""
    sent = b"\0\xc3\xa9\xff\r\n"
    with met(MESSAGE=r"\0é\xff\r\n") as (program, sock):
        heard = receive(sock, len(sent))
        sock.sendall(REPLY)

        assert heard + receive_all(sock) == sent
        assert program.outcome().exit_code == 0


# Signals


FOR_EVER = {"OUTPUT": "json", "DEADLINE": "0", "RETRY_DELAY": "60"}


def interrupt(waiting: Program, number: int = signal.SIGTERM) -> None:
    """Send a signal, and see the client end at once, with the one object in JSON."""
    sent = time.monotonic()
    waiting.signal(number)
    outcome = waiting.outcome()

    # Whatever could hold it up would take far longer.
    assert time.monotonic() - sent < 2
    result = outcome.json
    assert list(result) == KEYS
    assert outcome.exit_code == result["exit_code"] == 128 + number
    assert (result["status"], result["reply"]) == ("interrupted", None)
    assert result["error"]
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_sleeping_at_once(number: int) -> None:
    """The time until the next attempt does not delay a signal."""
    with refused() as address, client(address, **FOR_EVER) as waiting:
        waiting.wait_for("waiting for")
        interrupt(waiting, number)


@linux_only
def test_signal_ends_connecting_at_once() -> None:
    """A connection without an answer does not delay a signal."""

    def has_sent_a_syn() -> bool:
        return any(
            one.status == psutil.CONN_SYN_SENT for one in waiting.usage.net_connections("tcp4")
        )

    with deaf() as address, client(address, CONNECT_TIMEOUT="60", **FOR_EVER) as waiting:
        until(has_sent_a_syn)
        interrupt(waiting)


def test_signal_ends_reading_at_once() -> None:
    """A missing reply does not delay a signal."""
    with met(REPLY_TIMEOUT="60", **FOR_EVER) as (program, sock):
        hears(sock)
        interrupt(program)


# Between kill(2) and the call, the interpreter has no instruction at which it runs a handler.
JUST_BEFORE = """
import ctypes, functools, operator, os, socket, time
kill = functools.partial(ctypes.CDLL(None).kill, os.getpid(), 15)
call = {call}
def kill_and_call(*arguments):
    return list(map(operator.call, [kill, functools.partial(call, *arguments)]))[1]
{call} = kill_and_call
"""


@pytest.mark.parametrize("call", ["time.sleep", "socket.socket.recv"])
def test_signal_just_before_a_call_that_blocks_ends_it(call: str) -> None:
    """A signal that arrives when the client is about to wait ends it at once."""
    env = {"before": JUST_BEFORE.format(call=call), "REPLY_TIMEOUT": "60"} | FOR_EVER
    peer = refused() if call == "time.sleep" else listening(receive_all)
    with peer as address, client(address, **env) as program:
        outcome = program.outcome()

    assert (outcome.exit_code, outcome.json["status"]) == (143, "interrupted")
    assert outcome.json["waited_s"] < SLACK


NO_THREAD = """
import threading
def start(_):
    raise RuntimeError("can't start new thread")
threading.Thread.start = start
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_a_client_without_a_thread(number: int) -> None:
    """A client that gets no thread for signals ends by one as any program does."""
    with refused() as address, client(address, before=NO_THREAD, **FOR_EVER) as waiting:
        waiting.wait_for("waiting for")
        waiting.signal(number)
        outcome = waiting.outcome()

    assert (outcome.exit_code, outcome.stdout) == (-number, "")
    assert "Traceback" not in outcome.stderr


def test_signal_ends_a_look_up_at_once(tmp_path: Path) -> None:
    """A silent name server does not delay a signal."""
    with looking_up(tmp_path, CONNECT_TIMEOUT="60", DEADLINE="0") as waiting:
        interrupt(waiting)


def test_deadline_ends_a_look_up(tmp_path: Path) -> None:
    """A silent name server does not delay the deadline, which ends as `unresolved`."""
    with looking_up(tmp_path, DEADLINE="0.2") as program:
        outcome = program.outcome()

    assert (outcome.exit_code, outcome.json["status"]) == (68, "unresolved")
    assert 0.2 <= outcome.json["waited_s"] < 0.2 + SLACK


# Where the result goes


@pytest.mark.parametrize(
    ("redirection", "output"),
    [(">&-", "json"), pytest.param(">/dev/full", "text", marks=linux_only)],
    ids=["closed", "full"],
)
def test_unwritten_result_is_an_error_line(server: Server, redirection: str, output: str) -> None:
    """A line of the log says that the result cannot be written; the exit code stays."""
    prefix = redirected(redirection)
    exit_code, stdout, stderr = run_client(server.address, prefix=prefix, OUTPUT=output)

    assert (exit_code, stdout) == (0, "")
    assert "Traceback" not in stderr
    assert " ERROR cannot write the result: " in stderr.splitlines()[0]


@pytest.mark.parametrize(
    "redirection",
    [">&-", pytest.param(">/dev/full 2>&-", marks=linux_only)],
    ids=["stdout", "stderr"],
)
def test_closed_stream_does_not_lead_to_the_server(redirection: str) -> None:
    """The connection may get the number of a closed stream; no result and no log goes there."""
    prefix = redirected(redirection)
    with met(prefix=prefix, REPLY_TIMEOUT="60", **FOR_EVER) as (program, sock):
        hears(sock)
        program.signal(signal.SIGTERM)

        assert program.outcome().exit_code == 143
        assert receive_all(sock) == b""
