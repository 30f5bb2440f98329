"""The client as a process against peers of every kind, and its functions against the clock."""

import json
import os
import queue
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from app.client import Failed, Lookup, attempt, connect_to_server
from app.config import ClientConfig
from app.protocol import printable
from tests.support import (
    LOOPBACK,
    MESSAGE,
    PATIENCE,
    REPLY,
    Outcome,
    Program,
    client_environment,
    exchange,
    listening,
    receive,
    receive_all,
    redirected,
    refusing,
    reset,
    run_client,
    running_server,
    until,
)
from tests.unit.conftest import Background, blocks, full_pipe, is_last

KEYS = [
    *("status", "exit_code", "reply", "error", "attempts", "waited_s", "connect_ms", "reply_ms"),
    *("local", "peer"),
]
OVERSHOOT = 0.2  # seconds beyond DEADLINE
# A name server that neither answers nor refuses, in a network and a view of files of its own:
# its socket is there for as long as the program that follows, which does not know of it. The
# first question is told of on stderr.
NAMESPACE = ("unshare", "--net", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)))
CONFINE = 'ip link set lo up && mount --bind "$0" /etc/resolv.conf && exec "$@"'
SILENT_NAME_SERVER = """
import os, socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
server.set_inheritable(True)
if os.fork() == 0:
    server.settimeout(20)
    server.recv(512)
    os.write(2, b"asked\\n")
    os._exit(0)
os.execv(sys.argv[1], sys.argv[1:])
"""

Peer = Callable[[socket.socket], object]


# Peers


def hears(sock: socket.socket) -> None:
    """Take the message, so that nothing unread makes the end of this connection a reset."""
    assert receive(sock, len(MESSAGE)) == MESSAGE


def closes(sock: socket.socket) -> None:
    """End without a word."""
    hears(sock)


def says(*parts: bytes, then: Peer = receive_all) -> Peer:
    """Return a peer that answers in so many segments, a moment apart."""

    def peer(sock: socket.socket) -> None:
        hears(sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, part in enumerate(parts):
            time.sleep(0.02 if number else 0)  # it is slow: that is what it is here for
            sock.sendall(part)
        then(sock)

    return peer


def babbles(sock: socket.socket) -> None:
    """Send garbage for as long as it is taken."""
    while True:
        sock.sendall(b"\xff" * 65536)


def in_turn(*peers: Peer) -> Peer:
    """Return a peer that is one after the other, a connection each, and stays the last."""
    left = list(peers)

    def peer(sock: socket.socket) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(sock)

    return peer


@contextmanager
def refused() -> Iterator[tuple[str, int]]:
    """Yield an address that refuses connections."""
    with refusing() as sock:
        yield sock.getsockname()


def fill_queue(listener: socket.socket) -> ExitStack:
    """Connect until a listener with a backlog of 0 answers no more, and for as long as this."""
    stack = ExitStack()
    # Linux takes one then, others a few.
    for _ in range(5):
        sock = stack.enter_context(closing(socket.socket()))
        sock.setblocking(False)
        sock.connect_ex(listener.getsockname())
    return stack


@contextmanager
def deaf(host: str = LOOPBACK) -> Iterator[tuple[str, int]]:
    """Yield an address where nothing answers."""
    with socket.create_server((host, 0), backlog=0) as listener, fill_queue(listener):
        yield listener.getsockname()


# The table of exit codes


class Case(NamedTuple):
    """How the client must end with these peers, one after the other, or at an address."""

    exit_code: int
    status: str
    peers: tuple[Peer, ...] | Callable[[], AbstractContextManager[tuple[str, int]]]
    env: dict[str, str]
    reply: str | None = None

    def run(self, output: str) -> Outcome:
        """Run the client against them."""
        peers = self.peers
        with listening(in_turn(*peers)) if isinstance(peers, tuple) else peers() as address:
            return run_client(address, OUTPUT=output, **self.env)


SHORT = {"DEADLINE": "0.4", "RETRY_DELAY": "0.1"}
IMPATIENT = {
    "DEADLINE": "0.8",
    "RETRY_DELAY": "0.1",
    "CONNECT_TIMEOUT": "0.1",
    "REPLY_TIMEOUT": "0.1",
}
RETRY = {"WRONG_REPLY": "retry"}
PREFIX = {"REPLY_MATCH": "prefix"}
END = socket.socket.close
HALF = REPLY[:9]
BYTES = [bytes([byte]) for byte in REPLY]
OK = REPLY.decode()
KO = "SERVER KO - STATUS 500"
MORE = f"{OK}, and more\r\n"
LOADING = "-LOADING\r\n"
CASES = {
    "ok": Case(0, "ok", (says(REPLY),), {}, OK),
    "split": Case(0, "ok", (says(HALF, REPLY[9:]),), {}, OK),
    "bytewise": Case(0, "ok", (says(*BYTES),), {}, OK),
    "late": Case(0, "ok", (closes, closes, says(REPLY)), {}, OK),
    "prefix": Case(0, "ok", (says(MORE.encode()),), PREFIX, MORE),
    "retried": Case(0, "ok", (says(LOADING.encode()), says(REPLY)), RETRY, OK),
    "refused": Case(69, "unavailable", refused, SHORT),
    "deaf": Case(69, "unavailable", deaf, IMPATIENT),
    "deaf beyond the deadline": Case(69, "unavailable", deaf, SHORT),
    "unresolved": Case(68, "unresolved", refused, SHORT | {"SERVER_HOST": "name.invalid"}),
    "closing": Case(74, "closed", (closes,), SHORT),
    "closing half-way": Case(74, "closed", (says(HALF, then=END),), SHORT),
    "resetting": Case(74, "closed", (reset,), SHORT),
    "resetting half-way": Case(74, "closed", (says(HALF, then=reset),), SHORT),
    "cut short": Case(74, "closed", (closes, receive_all), SHORT),
    "silent": Case(75, "no-reply", (receive_all,), IMPATIENT),
    "silent beyond the deadline": Case(75, "no-reply", (receive_all,), SHORT),
    "silent half-way": Case(75, "no-reply", (says(HALF),), IMPATIENT),
    "slow": Case(75, "no-reply", (says(*BYTES),), IMPATIENT),
    "wrong": Case(76, "wrong-reply", (says(KO.encode()),), {}, KO),
    "wrong from the first byte": Case(76, "wrong-reply", (says(b"\n"),), {}, "\n"),
    "longer": Case(76, "wrong-reply", (says(REPLY + b"!"),), {}, OK + "!"),
    "wrong prefix": Case(76, "wrong-reply", (says(KO.encode()),), PREFIX, KO),
    "babbling": Case(76, "wrong-reply", (babbles,), {}, r"\xff" * 200),
    "wrong for ever": Case(76, "wrong-reply", (says(LOADING.encode()),), SHORT | RETRY, LOADING),
}


Outcomes = dict[tuple[str, str], Future[Outcome]]


@pytest.fixture(scope="session")
def outcomes() -> Iterator[Outcomes]:
    """Run all cases in both forms, a few at a time."""
    with ThreadPoolExecutor(4) as pool:
        yield {
            (name, output): pool.submit(case.run, output)
            for output in ("text", "json")
            for name, case in CASES.items()
        }


@pytest.fixture(scope="session", autouse=True)
def _start_cases_early(request: pytest.FixtureRequest) -> None:
    if any(map(is_last, request.session.items)):
        request.getfixturevalue("outcomes")


@pytest.mark.last
@pytest.mark.parametrize("name", CASES)
def test_the_outcome_as_text(name: str, outcomes: Outcomes) -> None:
    """Each end has its exit code; stdout has the reply and nothing else, and nothing on failure."""
    case = CASES[name]
    exit_code, stdout, stderr, _ = outcomes[name, "text"].result()

    assert exit_code == case.exit_code
    assert stdout == ("" if exit_code else printable((case.reply or "").encode()) + "\n")
    for line in stderr.splitlines():
        assert re.match(r"\S+Z (INFO|ERROR) \w", line)
    assert (" ERROR " in stderr.splitlines()[-1]) is (exit_code != 0)


@pytest.mark.last
@pytest.mark.parametrize("name", CASES)
def test_the_outcome_as_json(name: str, outcomes: Outcomes) -> None:
    """Each end has its word, in one object on one line with every key in its order."""
    case = CASES[name]
    outcome = outcomes[name, "json"].result()
    result = outcome.json

    assert outcome.exit_code == case.exit_code
    assert outcome.stdout.count("\n") == 1
    assert list(result) == KEYS
    assert (result["exit_code"], result["status"]) == (case.exit_code, case.status)
    assert result["reply"] == case.reply
    assert (result["error"] is None) is (case.exit_code == 0)
    connected = isinstance(case.peers, tuple)
    assert (result["connect_ms"] is not None) is connected
    assert (result["reply_ms"] is not None) is (case.exit_code == 0)
    ends = [result["local"], result["peer"]]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+", str(end)) is not None for end in ends) is connected
    assert connected or ends == [None, None]
    assert result["attempts"] >= 1


@pytest.mark.last
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "DEADLINE" in case.env])
def test_the_deadline_bounds_everything(name: str, outcomes: Outcomes) -> None:
    """Whatever the peer does, the wait is over at DEADLINE, and not before no attempt fits."""
    env = CASES[name].env
    deadline = float(env["DEADLINE"])

    waited = outcomes[name, "json"].result().json["waited_s"]
    assert deadline - float(env["RETRY_DELAY"]) <= waited < deadline + OVERSHOOT


@pytest.mark.last
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.env is IMPATIENT])
def test_no_attempt_takes_more_than_its_time(name: str, outcomes: Outcomes) -> None:
    """CONNECT_TIMEOUT and REPLY_TIMEOUT leave time for further attempts."""
    assert outcomes[name, "json"].result().json["attempts"] > 1


# Names


class NameServer:
    """Stands in for getaddrinfo: answers with these addresses, once it is allowed to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
        self.asked: list[tuple[object, object]] = []
        self.may_answer = threading.Event()
        self._addresses = addresses
        monkeypatch.setattr(socket, "getaddrinfo", self._answer)

    def _answer(
        self, host: object, _port: object, family: object, *_: object
    ) -> list[tuple[object, ...]]:
        self.asked.append((host, family))
        self.may_answer.wait(PATIENCE)
        if not self._addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kind, (address, 0)) for address in self._addresses]


def soon() -> float:
    """Return a moment a little later."""
    return time.monotonic() + 0.05


def test_a_name_leads_to_the_server() -> None:
    """A host name is as good as its address."""
    with running_server() as server:
        result = run_client(server.address, SERVER_HOST="localhost", OUTPUT="json").json

        assert (result["status"], result["peer"]) == ("ok", "{}:{}".format(*server.address))


def test_an_address_is_never_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dotted quad needs no name server."""
    name_server = NameServer(monkeypatch, LOOPBACK)

    assert Lookup().addresses("127.0.0.3", soon()) == ["127.0.0.3"]
    assert not name_server.asked


def test_a_name_is_looked_up_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a name meant a moment ago may have changed; IPv4 alone is asked for."""
    name_server = NameServer(monkeypatch, LOOPBACK)
    name_server.may_answer.set()
    lookup = Lookup()

    for _ in range(3):
        assert lookup.addresses("server", time.monotonic() + PATIENCE) == [LOOPBACK]
    assert name_server.asked == [(b"server", socket.AF_INET)] * 3


def test_one_look_up_is_made_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a name server is silent, attempts end in time and join the one look-up there is."""
    name_server = NameServer(monkeypatch, LOOPBACK)
    lookup = Lookup()

    for _ in range(3):
        with pytest.raises(TimeoutError):
            lookup.addresses("server", soon())
    assert len(name_server.asked) == 1
    name_server.may_answer.set()
    assert lookup.addresses("server", time.monotonic() + PATIENCE) == [LOOPBACK]
    assert len(name_server.asked) == 1


def test_a_name_that_does_not_resolve_has_a_status_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No address is a failure to resolve, in the name server's words."""
    NameServer(monkeypatch).may_answer.set()

    with pytest.raises(Failed, match="not known") as failure:
        connect_to_server("server", 1, time.monotonic() + PATIENCE, Lookup())
    assert failure.value.status == ("unresolved", 68)


def test_a_look_up_without_a_thread_is_a_failure_like_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the system has no thread left, the name does not resolve, and may later."""
    name_server = NameServer(monkeypatch, LOOPBACK)
    name_server.may_answer.set()
    lookup = Lookup()

    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(Failed, match="can't start new thread") as failure:
            connect_to_server("server", 1, time.monotonic() + PATIENCE, lookup)
    assert failure.value.status == ("unresolved", 68)
    assert lookup.addresses("server", time.monotonic() + PATIENCE) == [LOOPBACK]


def test_the_addresses_of_a_name_are_tried_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an address that refuses nor one that is deaf keeps the client from the next."""
    with deaf("127.0.0.2") as (_, port), socket.create_server((LOOPBACK, port)) as listener:
        NameServer(monkeypatch, "127.0.0.3", "127.0.0.2", LOOPBACK).may_answer.set()
        began = time.monotonic()
        with connect_to_server("server", port, began + 0.6, Lookup()) as sock:
            assert sock.getpeername() == listener.getsockname()
        # Those that were left shared the time that there was.
        assert time.monotonic() - began < 0.5


@contextmanager
def with_silent_name_server(folder: Path, **env: str) -> Iterator[Program]:
    """Run a client that waits for a name server which never answers."""
    settings = folder / "resolv.conf"
    settings.write_text("nameserver 127.0.0.1\n")
    prefix = (*NAMESPACE, "sh", "-c", CONFINE, str(settings))
    try:
        subprocess.run([*prefix, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a network of its own: unshare and ip of Linux, and permission")
    prefix += (sys.executable, "-c", SILENT_NAME_SERVER)
    variables = client_environment(("server.example", 8888), OUTPUT="json", **env)
    with Program("client", variables, prefix=prefix) as client:
        yield client


def test_a_silent_name_server_does_not_hold_up_the_deadline(tmp_path: Path) -> None:
    """The deadline passes on time, with the phase that it found, and the process ends."""
    with with_silent_name_server(tmp_path, DEADLINE="0.4") as client:
        outcome = client.outcome()

    assert (outcome.exit_code, outcome.json["status"]) == (68, "unresolved")
    assert 0.4 <= outcome.json["waited_s"] < 0.4 + OVERSHOOT
    # The rest is the start of the interpreter and of the network.
    assert outcome.seconds < 0.4 + 1.5


# The wait


def test_no_sleep_is_begun_that_ends_too_late() -> None:
    """The client gives up at once when the deadline leaves no time for a further attempt."""
    with refused() as address:
        result = run_client(address, OUTPUT="json", DEADLINE="0.7", RETRY_DELAY="0.4").json

    assert result["attempts"] == 2
    assert 0.4 <= result["waited_s"] < 0.4 + OVERSHOOT


def test_deadline_0_waits_for_ever() -> None:
    """Without a deadline a client is there when the server comes."""
    with refusing() as sock:
        env = client_environment(sock.getsockname(), DEADLINE="0", RETRY_DELAY="0.01")
        with Program("client", env) as client:
            client.wait_for("waiting for")
            sock.listen()
            connection, _ = sock.accept()
            with connection:
                says(REPLY)(connection)

            assert client.outcome().exit_code == 0


def test_a_wait_is_told_at_its_start_and_when_its_cause_changes() -> None:
    """One line names target, cause, attempt and time, again only for another cause."""
    half = says(HALF, then=END)  # how much has come is no other cause
    peer = in_turn(closes, half, says(b"-LOADING"), says(b"-LOADING"), says(REPLY))
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


@pytest.mark.last
def test_a_long_attempt_is_told_of(background: Background) -> None:
    """Within one long attempt too, a line says at least every 10 s that the client waits."""
    told = background.client.wait_for(r"INFO waiting for .* \(attempt 1, (\d+\.\d) s\)")

    assert float(told[1]) <= 10


def test_a_client_never_takes_itself_for_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given the very port that it connects to, a socket meets itself: that is no server."""

    class Unlucky(socket.socket):
        """A socket to which the system gives the port that it is about to connect to."""

        def connect(self, address: Any) -> None:
            self.bind(address)
            super().connect(address)

    with refusing() as sock:
        port = sock.getsockname()[1]
    monkeypatch.setattr(socket, "socket", Unlucky)

    with pytest.raises(Failed) as failure:
        connect_to_server(LOOPBACK, port, time.monotonic() + PATIENCE, Lookup())
    assert failure.value.status == ("unavailable", 69)


def test_a_reset_before_the_first_look_is_a_closed_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A connection that is reset before the client has asked for its address is a failure."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        sock = socket.create_connection(listener.getsockname())
        reset(listener.accept()[0])
        monkeypatch.setattr("app.client.connect_to_server", lambda *_: sock)

        with pytest.raises(Failed) as failure:
            attempt(ClientConfig({}), Lookup(), time.monotonic() + PATIENCE, {})
    assert failure.value.status == ("closed", 74)


def test_a_client_without_a_descriptor_waits_for_one() -> None:
    """Where the process may open no more, that is one more thing that can pass."""
    with refusing() as sock:
        env = client_environment(sock.getsockname(), DEADLINE="0")
        with Program("client", env) as client:
            client.wait_for("waiting for .* refused")
            pid, kind = client.process.pid, resource.RLIMIT_NOFILE
            limits = resource.prlimit(pid, kind, (3, resource.getrlimit(kind)[1]))
            client.wait_for("waiting for .* open files")
            resource.prlimit(pid, kind, limits)
            sock.listen()
            with sock.accept()[0] as connection:
                says(REPLY)(connection)

            assert client.outcome().exit_code == 0


def test_the_longest_durations_are_no_more_than_long() -> None:
    """With every duration at its greatest there is an exchange, and a stop that waits."""
    greatest = "10000000"
    times = dict.fromkeys(("RETRY_DELAY", "CONNECT_TIMEOUT", "REPLY_TIMEOUT", "DEADLINE"), greatest)
    with running_server(IDLE_TIMEOUT=greatest, DRAIN_TIMEOUT=greatest) as server:
        assert run_client(server.address, **times).exit_code == 0
        with server.connect() as sock:
            exchange(sock)
            server.signal(signal.SIGTERM)
            assert receive_all(sock) == b""


def test_a_long_duration_does_not_wrap_around() -> None:
    """What poll(2) would count as 4 ms, modulo 2 to the power of 32, is 49 days."""
    with listening(says(HALF, REPLY[9:])) as address:
        assert run_client(address, REPLY_TIMEOUT="4294967.3", DEADLINE="0").exit_code == 0


# What is sent


@pytest.mark.parametrize(
    ("message", "sent"),
    [("Testando conexão", MESSAGE), (r"PING\r\n", b"PING\r\n"), (r"\0\xff", b"\0\xff"), ("", b"")],
)
def test_the_message_is_sent_as_it_is_meant(message: str, sent: bytes) -> None:
    """The server gets the bytes of MESSAGE and no other; nothing if it is empty."""
    heard = []

    def peer(sock: socket.socket) -> None:
        if sent:
            heard.append(receive(sock, len(sent)))
        sock.sendall(REPLY)
        heard.append(receive_all(sock))

    with listening(peer) as address:
        assert run_client(address, MESSAGE=message).exit_code == 0

    assert b"".join(heard) == sent


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_reply_does_nothing_to_a_terminal(output: str) -> None:
    """Controls and invalid UTF-8 in the right reply are escaped, and stay one line."""
    reply = b"a\n\x1b[2J\xff\xe2\x80\xae"
    with listening(says(reply)) as address:
        outcome = run_client(address, OUTPUT=output, REPLY=r"a\n\x1b[2J\xff\xe2\x80\xae")

    assert outcome.exit_code == 0
    assert outcome.stdout.removesuffix("\n").isprintable()
    if output == "text":
        assert outcome.stdout == "a\\n\\x1b[2J\\xff\\u202e\n"
    else:
        assert outcome.json["reply"] == "a\n\x1b[2J\\xff\u202e"


def test_a_wrong_reply_forges_no_line() -> None:
    """What is not the reply is escaped in the log."""
    with listening(says(b"\n2026-01-01T00:00:00.000Z INFO right reply\x1b[2J")) as address:
        _, _, stderr, _ = run_client(address)

    assert stderr.count("\n") == 1
    assert stderr.removesuffix("\n").isprintable()


# Signals

ENDS = [(signal.SIGTERM, 143), (signal.SIGINT, 130)]


def check_interrupted(client: Program, number: int, exit_code: int) -> None:
    """Send a signal, and see the client end at once, with the one object in JSON."""
    sent = time.monotonic()
    client.signal(number)
    outcome = client.outcome()

    # Whatever could hold it up would take far longer.
    assert time.monotonic() - sent < 1
    result = outcome.json
    assert list(result) == KEYS
    assert (outcome.exit_code, result["exit_code"]) == (exit_code, exit_code)
    assert (result["status"], result["reply"]) == ("interrupted", None)
    assert result["error"]
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize(("number", "exit_code"), ENDS)
def test_a_signal_leaves_no_text(number: int, exit_code: int) -> None:
    """As text an interrupted wait has no result."""
    with (
        refused() as address,
        Program("client", client_environment(address, DEADLINE="0")) as client,
    ):
        client.wait_for("waiting for")
        client.signal(number)

        assert client.outcome()[:2] == (exit_code, "")


@pytest.mark.parametrize(("number", "exit_code"), ENDS)
def test_a_signal_ends_sleeping_at_once(number: int, exit_code: int) -> None:
    """The time until the next attempt does not hold up a signal."""
    with refused() as address:
        env = client_environment(address, OUTPUT="json", RETRY_DELAY="60", DEADLINE="0")
        with Program("client", env) as client:
            client.wait_for("waiting for")
            check_interrupted(client, number, exit_code)


def connecting(port: int) -> int:
    """Return how many sockets wait for an answer from this port."""
    sockets = Path("/proc/net/tcp")
    if not sockets.exists():
        pytest.skip("only Linux shows who is connecting")
    return len(re.findall(rf":{port:04X} 02 ", sockets.read_text()))


@pytest.mark.parametrize(("number", "exit_code"), ENDS)
def test_a_signal_ends_connecting_at_once(number: int, exit_code: int) -> None:
    """A connection that does not come about does not hold up a signal."""
    with deaf() as address:
        others = connecting(address[1])
        env = client_environment(address, OUTPUT="json", CONNECT_TIMEOUT="60", DEADLINE="0")
        with Program("client", env) as client:
            until(lambda: connecting(address[1]) > others)
            check_interrupted(client, number, exit_code)


@pytest.mark.parametrize(("number", "exit_code"), ENDS)
def test_a_signal_ends_reading_at_once(number: int, exit_code: int) -> None:
    """A reply that does not come does not hold up a signal."""
    heard = threading.Event()

    def peer(sock: socket.socket) -> None:
        hears(sock)
        heard.set()
        receive_all(sock)

    with listening(peer) as address:
        env = client_environment(address, OUTPUT="json", REPLY_TIMEOUT="60", DEADLINE="0")
        with Program("client", env) as client:
            assert heard.wait(PATIENCE)
            check_interrupted(client, number, exit_code)


@pytest.mark.parametrize(("number", "exit_code"), ENDS)
def test_a_signal_ends_a_look_up_at_once(number: int, exit_code: int, tmp_path: Path) -> None:
    """A name server that does not answer does not hold up a signal."""
    with with_silent_name_server(tmp_path, CONNECT_TIMEOUT="60", DEADLINE="0") as client:
        client.wait_for("asked")
        check_interrupted(client, number, exit_code)


def test_two_signals_are_no_more_than_one() -> None:
    """A signal that comes while the result is being written does not change or repeat it."""
    pipe, stdout, full = full_pipe()
    with refused() as address, pipe:
        env = client_environment(address, OUTPUT="json", RETRY_DELAY="60", DEADLINE="0")
        with Program("client", env, stdout=stdout) as client:
            os.close(stdout)
            client.wait_for("waiting for")
            client.signal(signal.SIGTERM)
            until(lambda: blocks(client.process.pid, signal.SIGINT))
            client.signal(signal.SIGINT)
            shown = pipe.read()[full:]
            outcome = client.outcome()

    assert outcome.exit_code == 143
    assert json.loads(shown)["exit_code"] == 143
    assert "Traceback" not in outcome.stderr


# The command line, and where the result goes


@pytest.mark.parametrize("output", ["text", "json"])
@pytest.mark.parametrize("arguments", [("--verbose",), ("--help", "me"), ("127.0.0.1",)])
def test_an_unknown_argument_is_answered_with_usage(
    arguments: tuple[str, ...], output: str
) -> None:
    """Whatever is not --help alone ends with 64 and the usage on stderr, without JSON."""
    with Program("client", {"OUTPUT": output}, *arguments) as program:
        exit_code, stdout, stderr, _ = program.outcome()

    assert (exit_code, stdout) == (64, "")
    assert stderr.startswith("usage: ")


def test_help_names_every_variable() -> None:
    """--help goes to stdout, and names every variable of the client with its default."""
    with Program("client", {"OUTPUT": "bad"}, "--help") as program:
        exit_code, stdout, stderr, _ = program.outcome()

    assert (exit_code, stderr) == (0, "")
    assert stdout.startswith("usage: ")
    for name, (default, *_) in ClientConfig.rows().items():
        assert f"  {name}={default}\n" in stdout


@pytest.mark.parametrize("name", [field.upper() for field in ClientConfig.__annotations__])
def test_a_bad_value_has_its_json(name: str) -> None:
    """A bad value is told in JSON too, unless it is the one of OUTPUT."""
    with Program("client", {"OUTPUT": "json"} | {name: "\\"}) as client:
        outcome = client.outcome()

    assert outcome.exit_code == 78
    if name == "OUTPUT":
        assert outcome.stdout == ""
        return
    result = outcome.json
    assert list(result) == KEYS
    assert result["error"].startswith(f"{name}='\\' is not valid")
    known = {"status": "config", "exit_code": 78, "attempts": 0, "waited_s": 0}
    assert result == dict.fromkeys(KEYS) | known | {"error": result["error"]}


@pytest.mark.parametrize("output", ["text", "json"])
@pytest.mark.parametrize("end", ["closed", "full"])
def test_a_stdout_that_takes_nothing_is_told_of(end: str, output: str) -> None:
    """Where the result cannot be written, a line of the log says so."""
    redirection = {"closed": ">&-", "full": ">/dev/full"}[end]
    prefix = redirected(redirection)
    with running_server() as server:
        env = client_environment(server.address, OUTPUT=output)
        with Program("client", env, prefix=prefix) as client:
            _, stdout, stderr, _ = client.outcome()

    assert stdout == ""
    assert "Traceback" not in stderr
    assert " ERROR cannot write the result: " in stderr.splitlines()[-1]


def test_a_closed_stdout_leads_to_no_one_else() -> None:
    """The number of a stdout closed from the start is the connection's, and nothing goes there."""
    heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def peer(sock: socket.socket) -> None:
        hears(sock)
        heard.put(b"the message")
        heard.put(receive_all(sock))

    with listening(peer) as address:
        env = client_environment(address, OUTPUT="json", REPLY_TIMEOUT="60", DEADLINE="0")
        prefix = redirected(">&-")
        with Program("client", env, prefix=prefix) as client:
            heard.get(timeout=PATIENCE)
            client.signal(signal.SIGTERM)

            assert client.outcome().exit_code == 143
        assert heard.get(timeout=PATIENCE) == b""


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_a_log_that_takes_nothing_changes_nothing(redirection: str) -> None:
    """Where the log cannot be written, the result is the same."""
    prefix = redirected(redirection)
    with running_server() as server:
        env = client_environment(server.address)
        with Program("client", env, prefix=prefix) as client:
            assert client.outcome()[:3] == (0, f"{OK}\n", "")


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_usage_that_nobody_can_read_has_its_exit_code(redirection: str) -> None:
    """A stderr that takes nothing is replaced neither by stdout nor by another exit code."""
    prefix = redirected(redirection)
    with Program("client", {}, "--verbose", prefix=prefix) as client:
        assert client.outcome()[:3] == (64, "", "")
