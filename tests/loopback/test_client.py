"""The client against peers of every kind."""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import psutil
import pytest

from app import client as program
from app.protocol import printable
from tests.lib.peers import (
    MESSAGE,
    REPLY,
    Address,
    Peer,
    deaf,
    listening,
    name,
    own_address,
    receive,
    refused,
    reset,
)
from tests.lib.programs import Outcome, Program, Server, Start, client, redirected, run_client
from tests.lib.support import ROOT, SLACK, linux_only, until

KEYS = [
    *("status", "exit_code", "reply", "error", "cause", "attempts", "waited_s", "connect_ms"),
    *("reply_ms", "rtt_ms", "mss", "resent", "local", "peer"),
]


def hears(sock: socket.socket) -> None:
    """Read the message, because a close with unread input would be a reset."""
    assert receive(sock, len(MESSAGE)) == MESSAGE


def says(*parts: bytes, then: Peer = receive, pause: float = 0.02) -> Peer:
    """Return a peer that sends each part in a segment of its own, a moment apart."""

    def peer(sock: socket.socket) -> None:
        hears(sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, part in enumerate(parts):
            time.sleep(pause if number else 0)  # the test needs a slow peer
            sock.sendall(part)
        then(sock)

    return peer


def floods(sock: socket.socket) -> None:
    """Send invalid UTF-8 without end, as fast as the client reads."""
    while True:
        sock.sendall(b"\xff" * 65536)


def in_turn(*peers: Peer) -> Peer:
    """Return a peer that acts as the next of these at each connection, and stays the last."""
    left = list(peers)

    def peer(sock: socket.socket) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(sock)

    return peer


@contextmanager
def met(host: str = "", **options: Any) -> Iterator[tuple[Program, socket.socket]]:
    """Run a client; yield it with the peer's end of its only connection."""
    with socket.create_server((host or own_address(), 0)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
        with client(listener.getsockname(), **options) as program, listener.accept()[0] as sock:
            listener.close()
            yield program, sock


class Case(NamedTuple):
    """How the client must end with these peers, one for each connection, or at an address."""

    exit_code: int
    status: str
    peers: tuple[Peer, ...] | Callable[[], AbstractContextManager[Address]]
    env: dict[str, str]
    reply: str | None = None


# ONCE: DEADLINE leaves no time for a second attempt. TO_THE_END: DEADLINE ends the first one.
ONCE = {"DEADLINE": "30", "RETRY_DELAY": "60"}
IMPATIENT = ONCE | {"REPLY_TIMEOUT": "0.2"}
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
NASTY = "a\n\x1b[2J\u202e"  # the case adds a byte that is not UTF-8
FORGED = "\n2026-01-01T00:00:00.000Z INFO expected reply\x1b[2J\u2028\u202e"
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
    "resetting": Case(74, "closed", (says(then=reset),), ONCE),
    "resetting half-way": Case(74, "closed", (says(HALF, then=reset),), ONCE),
    "closing, then silent to the end": Case(74, "closed", (hears, receive), TO_THE_END),
    "silent": Case(75, "no-reply", (receive,), IMPATIENT),
    "silent to the end": Case(75, "no-reply", (receive,), TO_THE_END),
    "silent half-way": Case(75, "no-reply", (says(HALF),), IMPATIENT),
    "slow": Case(75, "no-reply", (says(*BYTES),), IMPATIENT),
    "without a greeting": Case(75, "no-reply", (receive,), IMPATIENT | {"MESSAGE": ""}),
    "wrong": Case(76, "wrong-reply", (says(KO.encode()),), {}, KO),
    "forged": Case(76, "wrong-reply", (says(FORGED.encode() + b"\xff"),), {}, rf"{FORGED}\xff"),
    "longer": Case(76, "wrong-reply", (says(REPLY + b"!"),), {}, OK + "!"),
    "much longer": Case(
        76, "wrong-reply", (says(LONG.encode()),), {"REPLY": LONG[:999]}, LONG[:200]
    ),
    "endless": Case(76, "wrong-reply", (floods,), ONCE | RETRY, r"\xff" * 200),
}


def play(case: Case, output: str) -> Outcome:
    """Run the client against the peers of a case."""
    peers = case.peers
    with listening(in_turn(*peers)) if isinstance(peers, tuple) else peers() as address:
        return run_client(address, OUTPUT=output, **case.env)


@pytest.mark.parametrize("name", CASES)
def test_outcome_has_its_exit_code_and_result(name: str) -> None:
    """Each outcome has its exit code, its JSON result and its last log line, and comes in time."""
    case = CASES[name]
    outcome = play(case, "json")
    result = outcome.json
    assert list(result) == KEYS
    assert outcome.exit_code == result["exit_code"] == case.exit_code
    assert (result["status"], result["reply"]) == (case.status, case.reply)
    assert (result["error"] is None) is (case.exit_code == 0)
    assert (result["reply_ms"] is not None) is (case.exit_code == 0)
    # An attempt that the deadline ends may be connected or not.
    if case.env is not TO_THE_END:
        connected = case.status not in ("unavailable", "unresolved")
        assert (result["connect_ms"] is not None) is connected
        for end in (result["local"], result["peer"]):
            assert bool(re.fullmatch(r"127(\.\d+){3}:\d+", str(end))) is connected
        assert result["attempts"] == (len(case.peers) if isinstance(case.peers, tuple) else 1)
        assert result["waited_s"] < 10
    else:
        assert (
            result["waited_s"] > 1 - 0.06
        )  # no attempt begins in the last 0.05 s, its RETRY_DELAY
        assert result["waited_s"] < 1 + SLACK
    # The client logs "waiting for" only if another attempt follows; the last line is the result.
    waits = rf"(\S+Z INFO waiting for .*\n){{0,{result['attempts'] - 1}}}"
    said = "ERROR failed: " if case.exit_code else "INFO expected reply from "
    assert re.fullmatch(rf"{waits}\S+Z {said}.*\n", outcome.stderr)
    assert outcome.stderr.replace("\n", "").isprintable()


@pytest.mark.parametrize("name", ["prefix", "nasty", "refused", "forged"])
def test_text_output_is_only_the_escaped_reply(name: str) -> None:
    """Text output is the escaped reply, or nothing on failure."""
    case = CASES[name]
    reply = printable((case.reply or "").encode())

    stdout = "" if case.exit_code else f"{reply}\n"
    assert play(case, "text")[:2] == (case.exit_code, stdout)


@linux_only
def test_connection_is_measured() -> None:
    """`connect_ms` includes the look-up, `reply_ms` the time until the reply is complete.

    The result also has the kernel's round-trip time, segment size and segments sent again.
    """
    slow_look_up = """
import socket, time
look_up = socket.getaddrinfo
socket.getaddrinfo = lambda *args: (time.sleep(0.1), look_up(*args))[1]
"""
    env = {"SERVER_HOST": "localhost", "OUTPUT": "json"}
    with met("127.0.0.1", before=slow_look_up, **env) as (program, sock):
        says(HALF, REPLY[9:], pause=0.1)(sock)
        outcome = program.outcome()
        result = outcome.json
        assert (result["status"], result["peer"]) == ("ok", name(sock))

    assert min(result["connect_ms"], result["reply_ms"]) >= 100
    assert result["connect_ms"] + result["reply_ms"] <= result["waited_s"] * 1000 + 1
    assert 0 < result["rtt_ms"] < 5  # the kernel acknowledges by itself, even if the peer is busy
    assert 1380 <= result["mss"] <= 1400  # TCP timestamps take 12 bytes
    assert result["resent"] == 0
    assert re.search(r"\(attempt 1, \d+\.\d s, round trip \d+\.\d\d ms\)$", outcome.stderr)


def test_measurements_are_those_of_the_last_attempt() -> None:
    """A refused last attempt has no measurements, even if an earlier attempt was connected."""
    env = {"OUTPUT": "json", "DEADLINE": "1.5", "RETRY_DELAY": "1"}
    with met(**env) as (program, sock):
        sock.close()
        result = program.outcome().json

    assert (result["status"], result["cause"]) == ("unavailable", "ECONNREFUSED")
    measured = ("connect_ms", "reply_ms", "rtt_ms", "mss", "local", "peer")
    assert [result[key] for key in measured] == [None] * len(measured)


@linux_only  # elsewhere port 8888 may be in use
def test_original_server_works_with_our_client() -> None:
    """The original server, docs/twenty_lines/server.py, reads our client's message and replies."""
    host, port = own_address(), 8888
    command = [sys.executable, str(ROOT / "docs" / "twenty_lines" / "server.py")]
    env = {"HOST": host, "PORT": str(port)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as original:
        outcome = run_client((host, port))
        original.kill()
        heard = original.communicate()[0]

    assert outcome[:2] == (0, "SERVER OK - STATUS 200\n")
    assert heard.decode().endswith(" Testando conexão\n")


def test_wait_is_reported_when_its_cause_changes() -> None:
    """The client logs target, cause, attempt and time, and again only if the cause changes."""
    half = says(HALF, then=END)  # a partial reply is the same cause
    loading = (says(b"-LOADING 1%"), says(b"-LOADING 2%"))  # so is another wrong reply
    peer = in_turn(hears, half, *loading, says(REPLY))
    with listening(peer) as address:
        outcome = run_client(address, WRONG_REPLY="retry")

    target = re.escape("{}:{}".format(*address))
    wait = rf"\S+Z INFO waiting for {target}: .*%s.* \(attempt %d, \d+\.\d s\)\n"
    waits = wait % ("[Cc]losed", 1) + wait % ("-LOADING", 3)
    assert re.fullmatch(rf"{waits}\S+Z INFO .*{target}.*attempt 5.*\n", outcome.stderr)


def test_wait_is_reported_again_after_10_s() -> None:
    """The client logs every 10 s that it waits, even if the cause stays the same."""
    assert program.REPORT_INTERVAL == 10
    with refused() as address, client(address, before="program.REPORT_INTERVAL = 0.2") as waiting:
        lines = [waiting.wait_for(r"waiting for .* (\d+\.\d) s\)", count) for count in (1, 2, 3)]
        waiting.process.kill()

    times = [float(line[1]) for line in lines]
    assert times == sorted({*times})


# Signals


FOR_EVER = {"OUTPUT": "json", "DEADLINE": "0", "RETRY_DELAY": "60"}


def interrupt(waiting: Program, number: int = signal.SIGTERM) -> None:
    """Send a signal, and assert that the client ends at once with one JSON object."""
    sent = time.monotonic()
    waiting.signal(number)
    outcome = waiting.outcome()

    # Anything that could delay the client would take far longer.
    assert time.monotonic() - sent < 2
    result = outcome.json
    assert list(result) == KEYS
    assert outcome.exit_code == result["exit_code"] == 128 + number
    assert (result["status"], result["reply"]) == ("interrupted", None)
    assert result["error"]
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_a_sleeping_client_at_once(number: int) -> None:
    """A signal ends a client at once while it sleeps until the next attempt."""
    with refused() as address, client(address, **FOR_EVER) as waiting:
        waiting.wait_for("waiting for")
        interrupt(waiting, number)


@linux_only
def test_signal_ends_a_connecting_client_at_once() -> None:
    """A signal ends a client at once while it waits for a connection."""
    with deaf() as address, client(address, CONNECT_TIMEOUT="60", **FOR_EVER) as waiting:
        until(
            lambda: [one.status for one in waiting.usage.net_connections("tcp4")],
            is_right=lambda states: psutil.CONN_SYN_SENT in states,
        )
        interrupt(waiting)


def test_signal_ends_a_reading_client_at_once() -> None:
    """A signal ends a client at once while it waits for the reply."""
    with met(REPLY_TIMEOUT="60", **FOR_EVER) as (program, sock):
        hears(sock)
        interrupt(program)


# The interpreter cannot run a signal handler between kill(2) and the call.
JUST_BEFORE = """
import ctypes, functools, operator, os, socket, time
kill = functools.partial(ctypes.CDLL(None).kill, os.getpid(), 15)
call = {call}
def kill_and_call(*arguments):
    return list(map(operator.call, [kill, functools.partial(call, *arguments)]))[1]
{call} = kill_and_call
"""


@pytest.mark.parametrize("call", ["time.sleep", "socket.socket.recv"])
def test_signal_just_before_a_blocking_call_ends_the_client(call: str) -> None:
    """A signal that arrives just before a blocking call ends the client at once."""
    env = {"before": JUST_BEFORE.format(call=call), "REPLY_TIMEOUT": "60"} | FOR_EVER
    peer = refused() if call == "time.sleep" else listening(receive)
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
    """A client that cannot start its signal thread is killed by the signal."""
    with refused() as address, client(address, before=NO_THREAD, **FOR_EVER) as waiting:
        waiting.wait_for("waiting for")
        waiting.signal(number)
        outcome = waiting.outcome()

    assert (outcome.exit_code, outcome.stdout) == (128 + number, "")
    assert "Traceback" not in outcome.stderr


@linux_only
def test_signal_ends_a_look_up_at_once(looking_up: Start) -> None:
    """A silent name server does not delay a signal."""
    with looking_up(CONNECT_TIMEOUT="60", DEADLINE="0") as waiting:
        interrupt(waiting)


@linux_only
def test_deadline_ends_a_look_up(looking_up: Start) -> None:
    """A silent name server does not delay the deadline, and the result is `unresolved`."""
    with looking_up(DEADLINE="0.2") as program:
        outcome = program.outcome()

    assert (outcome.exit_code, outcome.json["status"]) == (68, "unresolved")
    assert 0.2 <= outcome.json["waited_s"] < 0.2 + SLACK


@pytest.mark.parametrize(
    ("redirection", "output"),
    [(">&-", "json"), pytest.param(">/dev/full", "text", marks=linux_only)],
    ids=["closed", "full"],
)
def test_unwritten_result_is_an_error_line(server: Server, redirection: str, output: str) -> None:
    """A result that cannot be written is an error in the log, and the exit code stays 0."""
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
def test_output_never_goes_to_the_server(redirection: str) -> None:
    """Result and log do not go to a connection that gets the descriptor of a closed stream."""
    prefix = redirected(redirection)
    with met(prefix=prefix, REPLY_TIMEOUT="60", **FOR_EVER) as (program, sock):
        hears(sock)
        program.signal(signal.SIGTERM)

        assert program.outcome().exit_code == 143
        assert receive(sock) == b""
