"""The server as its clients see it."""

import re
import resource
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from app import server as program
from app.config import Environment, ServerConfig
from app.server import Server as OwnServer
from tests.lib.peers import (
    HEALTH_ADDRESS,
    MESSAGE,
    REPLY,
    exchange,
    fill,
    name,
    own_address,
    receive,
    reset,
    unacknowledged,
)
from tests.lib.programs import Server
from tests.lib.support import PATIENCE, SLACK, linux_only, until

LARGE = {"REPLY": "R" * 65536}


@pytest.fixture(params=["default", pytest.param("poll", marks=pytest.mark.slow)], autouse=True)
def _poller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test with epoll and with poll(2), which takes its place on macOS."""
    if request.param == "poll":
        monkeypatch.setattr(Server, "before", "program.select.__dict__.pop('epoll', None)\n")


def cpu_of_a_moment(server: Server) -> float:
    """Return the CPU seconds that the server uses in 0.2 s: far above 0.05 if it spins."""
    used = sum(server.usage.cpu_times())
    time.sleep(0.2)  # the time that is measured
    return sum(server.usage.cpu_times()) - used


def stopped(server: Server) -> str:
    """Stop the server, and return the counts in its summary."""
    assert server.stop().exit_code == 0
    return server.wait_for("^INFO stopped: (.*)$")[1]


def test_half_closing_client_gets_its_reply() -> None:
    """A client that half-closes after its message still gets the reply, and then the end."""
    with Server() as server:
        for message in [b"", MESSAGE] * 20:
            with server.connect() as sock:
                sock.sendall(message)
                sock.shutdown(socket.SHUT_WR)
                assert receive(sock) == REPLY[: 99 * len(message)]

        assert stopped(server) == "connections=40 replies=20 idle=0 evicted=0 failed=0"


@linux_only
def test_reply_does_not_wait_for_an_acknowledgement() -> None:
    """A reply is sent at once, even if the client has not acknowledged the previous reply."""
    seconds = []
    with Server() as server:
        sock = server.connect()
        exchange(sock)
        for _ in range(5):
            server.freeze()
            sock.send(b"a")
            sock.send(b"!", socket.MSG_OOB)  # urgent data is not in the stream, but ends a chunk
            sock.send(b"b")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
            server.thaw()
            assert receive(sock, len(REPLY)) == REPLY
            began = time.monotonic()
            assert receive(sock, len(REPLY)) == REPLY
            seconds.append(time.monotonic() - began)

    assert min(seconds) < 0.03  # an acknowledgement is delayed by 0.04 s at least


def test_burst_of_clients_is_accepted_in_small_batches() -> None:
    """The server answers the first client of a burst before it accepts the last client."""
    with Server(LOG_LEVEL="DEBUG") as server:
        server.wait_for("listening")
        server.freeze()
        first = server.connect()
        first.sendall(MESSAGE)
        for _ in range(500):
            server.connect()
        server.thaw()
        server.wait_for(" connected$", 501)

        said = server.log.index(f"INFO {name(first)}: {MESSAGE.decode()}")
        assert any(line.endswith(" connected") for line in server.log[said:])


def test_idle_connection_is_closed_after_idle_timeout() -> None:
    """An idle connection is closed after IDLE_TIMEOUT, not sooner, and counted."""
    with Server(IDLE_TIMEOUT="0.2") as server:
        server.wait_for("listening")
        began = time.monotonic()
        assert receive(server.connect()) == b""
        assert 0.2 <= time.monotonic() - began < 0.2 + 2 * SLACK

        assert stopped(server) == "connections=1 replies=0 idle=1 evicted=0 failed=0"


@linux_only
@pytest.mark.slow
def test_server_without_connections_sleeps() -> None:
    """A server without connections uses no CPU and makes no system calls."""
    with Server() as server:
        with server.connect() as sock:
            exchange(sock)
            sock.shutdown(socket.SHUT_WR)
            assert receive(sock) == b""
        assert cpu_of_a_moment(server) < 0.05
        before = server.usage.num_ctx_switches().voluntary
        time.sleep(1.3)  # the time that is measured

        assert server.usage.num_ctx_switches().voluntary == before


@pytest.mark.slow
def test_slow_reader_keeps_its_connection_while_it_reads() -> None:
    """A slow reader keeps its connection until IDLE_TIMEOUT after its last read."""
    with Server(IDLE_TIMEOUT="1", LOG_LEVEL="DEBUG", **LARGE) as server, socket.socket() as sock:
        # A small buffer and small segments: each read makes room for more data.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
        sock.settimeout(PATIENCE)
        sock.connect(server.address)
        fill(sock)
        for _ in range(25):
            time.sleep(0.1)  # the test needs a slow reader
            assert len(receive(sock, 10_000)) == 10_000
        stopped_reading = time.monotonic()
        server.wait_for("DEBUG .* idle")

        assert 0.5 < time.monotonic() - stopped_reading < 1 + SLACK


@linux_only
@pytest.mark.parametrize(("prefix", "most"), [((), "4"), (("prlimit", "--nofile=20"), "1000")])
def test_waiting_messages_are_answered_before_room_is_made(
    prefix: tuple[str, ...], most: str
) -> None:
    """Clients whose messages have arrived get their replies before they are closed to make room."""
    with Server(prefix=prefix, MAX_CONNECTIONS=most) as server:
        clients = [server.connect() for _ in range(4)]
        exchange(clients[3])  # so all are accepted
        server.freeze()
        clients += [server.connect() for _ in range(30)]
        for sock in clients:
            sock.sendall(MESSAGE)
        server.thaw()

        for sock in clients:
            assert receive(sock, len(REPLY)) == REPLY
        assert "accepting paused" not in server.stderr


@linux_only
@pytest.mark.parametrize(("limit", "warnings"), [("50", ["50"]), ("30:200", [])])
def test_descriptor_limit_is_raised_or_reported(limit: str, warnings: list[str]) -> None:
    """The server raises its soft descriptor limit, and warns if the hard limit is too low."""
    with Server(prefix=("prlimit", f"--nofile={limit}"), MAX_CONNECTIONS="60") as server:
        for sock in [server.connect() for _ in range(30)] * 2:
            exchange(sock)

        assert re.findall(r" WARNING only (\d+)", server.stderr) == warnings


@linux_only
@pytest.mark.slow
def test_accepting_pauses_without_a_descriptor() -> None:
    """A server without a free descriptor serves its clients, and accepts new clients later."""
    assert program.PAUSE == 1
    with Server(before="program.PAUSE = 0.5") as server:
        clients = [server.connect()]
        exchange(clients[0])
        pid, kind = server.process.pid, resource.RLIMIT_NOFILE
        limits = resource.prlimit(pid, kind, (3, resource.getrlimit(kind)[1]))
        clients += server.connect(), server.connect()
        server.wait_for("WARNING accepting paused .*open files")
        assert cpu_of_a_moment(server) < 0.05
        exchange(clients[0])
        resource.prlimit(pid, kind, limits)
        for sock in clients:
            exchange(sock)

        assert server.stderr.count("WARNING ") == 1


def test_client_that_aborts_does_not_pause_accepting() -> None:
    """A client that aborts before it is accepted does not delay the next client."""
    aborted = """
accept = program.Listener.accept
def abort(self):
    program.Listener.accept = accept
    raise ConnectionAbortedError(103, "Software caused connection abort")
program.Listener.accept = abort
"""
    with Server(before=aborted) as server:
        exchange(server.connect())

        assert len(server.log) == 2  # the address and the message


def test_longest_silent_connection_makes_room() -> None:
    """The connection that has been silent longest is closed at MAX_CONNECTIONS, with a warning.

    A health check does not displace a client, but it is closed like a client.
    """
    with Server(MAX_CONNECTIONS="2") as server:
        first, second, check = server.connect(), server.connect(), server.connect(HEALTH_ADDRESS)
        for sock in (first, second, check, second, first):
            exchange(sock)
        third = server.connect()
        exchange(third)

        assert receive(check) == receive(second) == b""
        assert server.stderr.count(" WARNING connection limit reached") == 1  # in a second
        exchange(first)
        for sock in (first, third):
            sock.close()
        assert stopped(server) == "connections=3 replies=6 idle=0 evicted=1 failed=0"


@pytest.mark.slow
def test_stop_does_not_wait_for_silent_clients() -> None:
    """A stop waits neither for a client without a reply nor for a client with an old reply."""
    with Server(DRAIN_TIMEOUT="2", LOG_LEVEL="DEBUG") as server:
        exchange(server.connect())
        time.sleep(2.1)  # longer than DRAIN_TIMEOUT
        silent = server.connect()
        server.wait_for(f"{name(silent)} connected")
        began = time.monotonic()

        assert server.stop().exit_code == 0
        assert time.monotonic() - began < 2


def test_stop_loses_no_reply_in_flight() -> None:
    """A stop reads and discards unanswered input, so that no reset destroys a reply."""
    with Server(DRAIN_TIMEOUT="60") as server:
        sock = server.connect()
        exchange(sock)
        server.freeze()
        sock.sendall(b"x" * 500_000)
        server.signal(signal.SIGTERM)
        server.thaw()
        received = receive(sock)
        sock.sendall(b"x" * 500_000)
        until(lambda: not unacknowledged(sock))

        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        sock.shutdown(socket.SHUT_WR)
        assert received
        assert not received.replace(REPLY, b"")
        assert server.outcome().exit_code == 0
        assert receive(sock) == b""


def test_second_signal_ends_at_once() -> None:
    """A stopping server refuses connections, and a second signal ends it at once."""
    greatest = "1000000"
    with Server(IDLE_TIMEOUT=greatest, DRAIN_TIMEOUT=greatest) as server:
        sock = server.connect()
        exchange(sock)
        server.signal(signal.SIGTERM)
        assert receive(sock) == b""
        with pytest.raises(ConnectionRefusedError):
            server.connect()

        assert server.stop(signal.SIGINT).exit_code == 0
        server.wait_for("INFO .*connections=1 replies=1 ")


@pytest.mark.slow
def test_stop_takes_drain_timeout_at_most() -> None:
    """A client that never reads delays a stop by DRAIN_TIMEOUT, and counts as failed."""
    with Server(**LARGE, DRAIN_TIMEOUT="0.4") as server:
        fill(server.connect())
        began = time.monotonic()

        assert stopped(server).endswith(" failed=1")
        assert 0.4 <= time.monotonic() - began < 0.4 + 2 * SLACK


def test_reset_before_the_whole_reply_counts_as_failed() -> None:
    """A client that resets counts as failed only while a reply to it is pending."""
    reply = LARGE["REPLY"].encode()
    with Server(LOG_LEVEL="DEBUG", **LARGE) as server:
        for logged in ("reset", "failed"):
            sock = server.connect()
            exchange(sock, reply)
            if logged == "failed":
                fill(sock)
            reset(sock)
            server.wait_for(f"DEBUG .* {logged}$")

        assert stopped(server).endswith(" failed=1")


def test_log_has_a_line_for_each_client_that_sends() -> None:
    """The log has only the address, the first message of each client, and the summary.

    A message is cut at 200 characters and then escaped.
    """
    shown = {
        MESSAGE: "Testando conexão",
        b"one\n2026-01-01T00:00:00.000Z INFO forged": r"one\n2026-01-01T00:00:00.000Z INFO forged",
        b"%s %d %(x)s {}\xff": r"%s %d %(x)s {}\xff",
        ("🎉" * 199 + "\nb").encode(): "🎉" * 199 + r"\n",
        b"x" * 5000: "x" * 200,
    }
    with Server() as server:
        server.connect().close()
        lines = ["INFO listening on {}:{}".format(*server.address)]
        for message, text in shown.items():
            with server.connect() as sock:
                sock.sendall(message)
                assert receive(sock, len(REPLY)) == REPLY
                exchange(sock)
                lines.append(f"INFO {name(sock)}: {text}")

        assert stopped(server) == "connections=6 replies=10 idle=0 evicted=0 failed=0"
        assert server.log[:-1] == lines


def test_python_program_can_run_the_server_in_a_thread() -> None:
    """A Python program can serve in one thread and shut the server down from another thread."""
    config = ServerConfig(Environment({"HOST": own_address(), "PORT": "0"}))
    with closing(OwnServer(config)) as server, ThreadPoolExecutor() as pool:
        server.bind()
        serving = pool.submit(server.serve_forever)
        with socket.create_connection(server.address, PATIENCE) as sock:
            exchange(sock)
        server.shutdown()
        serving.result(PATIENCE)
