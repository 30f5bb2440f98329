"""The server, and what its clients see of it."""

import re
import resource
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress

import pytest

from app import server as program
from app.config import Environment, ServerConfig
from app.server import Server as OwnServer
from tests.lib.peers import (
    HEALTH_ADDRESS,
    MESSAGE,
    REPLY,
    connect,
    exchange,
    fill,
    name,
    own_address,
    receive,
    receive_all,
    reset,
)
from tests.lib.programs import Server, cpu_seconds
from tests.lib.support import PATIENCE, linux_only

LARGE_REPLY = b"R" * 65536


@pytest.fixture(
    params=["epoll", pytest.param("poll", marks=pytest.mark.slow)]
    if hasattr(select, "epoll")
    else ["poll"],
    autouse=True,
)
def _poller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test with epoll and with poll(2), which takes its place on macOS."""
    if request.param == "poll":
        monkeypatch.delattr(select, "epoll", raising=False)
        monkeypatch.setattr(Server, "before", "program.select.__dict__.pop('epoll', None)\n")


@pytest.fixture
def server(_poller: None) -> Iterator[Server]:
    """Run a server with its defaults."""
    with Server() as server:
        yield server


LARGE = {"REPLY": LARGE_REPLY.decode()}


def cpu_of_a_moment(server: Server) -> float:
    """Return the seconds of CPU that the server takes in 0.2 s; if it spins, far more than 0.05."""
    used = cpu_seconds(server)
    time.sleep(0.2)  # that is what is measured
    return cpu_seconds(server) - used


def stopped(server: Server) -> str:
    """Stop the server, and return what it counted."""
    assert server.stop().exit_code == 0
    return server.wait_for("^INFO stopped: (.*)$")[1]


# The wire


def test_half_close() -> None:
    """Who half-closes before, within or after a message still gets what is due, and the end."""
    with Server() as server:
        for parts in ([], [MESSAGE], [MESSAGE[:15], MESSAGE[15:]]) * 20:
            with server.connect() as sock:
                for part in parts[:-1]:
                    sock.sendall(part)
                    assert receive(sock, len(REPLY)) == REPLY
                sock.sendall(b"".join(parts[-1:]))
                sock.shutdown(socket.SHUT_WR)
                assert receive_all(sock) == REPLY * bool(parts)

        assert stopped(server) == "connections=60 replies=60 idle=0 evicted=0 failed=0"


def test_many_clients_are_served_at_once(server: Server) -> None:
    """No client waits for another to speak, to read or to end."""
    clients = [server.connect() for _ in range(50)]
    for sock in clients:
        sock.sendall(MESSAGE)
    for sock in reversed(clients):
        assert receive(sock, len(REPLY)) == REPLY
    for sock in clients:
        exchange(sock)
        sock.close()


def test_the_reply_is_what_it_is_told() -> None:
    """REPLY is sent as its escapes mean it, and the largest arrives whole."""
    with Server(REPLY=r"\r\n\x00\xff" + "R" * 65532) as server, server.connect() as sock:
        exchange(sock, b"\r\n\0\xff" + b"R" * 65532)


@linux_only
@pytest.mark.slow
def test_nothing_is_read_while_a_reply_is_pending() -> None:
    """A client that does not read costs no CPU and no other client; once it does, all is there."""
    with Server(**LARGE) as server, server.connect() as greedy, server.connect() as modest:
        sent, received = fill(greedy), 0
        assert cpu_of_a_moment(server) < 0.05
        exchange(modest, LARGE_REPLY)
        while select.select([greedy], [], [], 0.2)[0]:
            received += len(greedy.recv(2**20))

        assert cpu_of_a_moment(server) < 0.05
        assert sent < 50_000_000
        assert received % len(LARGE_REPLY) == 0
        # No read takes more than 64 KiB.
        assert received / len(LARGE_REPLY) >= sent / 65536
        exchange(greedy, LARGE_REPLY)


@linux_only
def test_the_kernel_keeps_little_of_what_is_not_read(server: Server) -> None:
    """However fast a client has been, a server that reads no more holds little of what it sends."""
    with server.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        for _ in range(500):
            sock.sendall(bytes(65536))
            receive(sock, len(REPLY))
        server.freeze()
        try:
            assert fill(sock) < 1_000_000
        finally:
            server.thaw()


@linux_only
def test_urgent_data(server: Server) -> None:
    """An urgent byte, which is not part of the stream, neither spins the server nor confuses it."""
    with server.connect() as sock:
        sock.send(b"!", socket.MSG_OOB)
        assert cpu_of_a_moment(server) < 0.05

        for _ in range(50):
            exchange(sock)
            sock.send(b"!", socket.MSG_OOB)
        sock.shutdown(socket.SHUT_WR)
        assert receive_all(sock) == b""


# Silence, and room


def test_a_silent_connection_is_closed_after_idle_timeout() -> None:
    """Whoever says nothing for IDLE_TIMEOUT is closed, not sooner, and counted."""
    with Server(IDLE_TIMEOUT="0.2") as server:
        address = server.address
        began = time.monotonic()
        with connect(address) as sock:
            assert receive_all(sock) == b""
            assert 0.2 <= time.monotonic() - began < 0.2 + 1

        assert stopped(server) == "connections=1 replies=0 idle=1 evicted=0 failed=0"


@pytest.mark.slow
def test_idle_time_counts_from_the_last_byte_taken() -> None:
    """A client that stops to read is closed IDLE_TIMEOUT later, not up to twice that."""
    with (
        Server(IDLE_TIMEOUT="1", LOG_LEVEL="DEBUG", **LARGE) as server,
        small_client(server) as sock,
    ):
        fill(sock)
        time.sleep(0.5)  # some of the idle time, which the next bytes end
        receive(sock, 65536)
        stopped_reading = time.monotonic()
        server.wait_for("DEBUG .* idle")

        assert 0.9 < time.monotonic() - stopped_reading < 1.4


@pytest.mark.slow
def test_a_message_begins_the_idle_time_anew() -> None:
    """Of two connections the one that spoke last is kept longer, for all of IDLE_TIMEOUT."""
    with (
        Server(IDLE_TIMEOUT="0.4", LOG_LEVEL="DEBUG") as server,
        server.connect() as first,
        server.connect() as second,
    ):
        exchange(first)
        exchange(second)
        time.sleep(0.1)  # some of the silence that the next message ends
        spoke = time.monotonic()
        exchange(first)

        ended = [server.wait_for(r"DEBUG (\S+) .*idle", count)[1] for count in (1, 2)]
        assert ended == [name(second), name(first)]
        assert time.monotonic() - spoke >= 0.4


def test_idle_timeout_0_keeps_silent_connections() -> None:
    """With IDLE_TIMEOUT=0 a connection is not closed for its silence."""
    with Server(IDLE_TIMEOUT="0") as server:
        with server.connect() as silent:
            for _ in range(3):
                with server.connect() as sock:
                    exchange(sock)
            exchange(silent)

        assert stopped(server) == "connections=4 replies=4 idle=0 evicted=0 failed=0"


def test_the_connection_silent_longest_makes_room() -> None:
    """At MAX_CONNECTIONS a new client costs the one that spoke longest ago its connection."""
    with Server(MAX_CONNECTIONS="2") as server:
        with server.connect() as first, server.connect() as second:
            for sock in (first, second, first):
                exchange(sock)
            with server.connect() as third:
                exchange(third)

                assert receive_all(second) == b""
                exchange(first)

        assert stopped(server) == "connections=3 replies=5 idle=0 evicted=1 failed=0"


def test_evictions_are_warned_of_once_a_second() -> None:
    """However many connections make room, no second has more than one line about it."""
    with Server(MAX_CONNECTIONS="1") as server:
        began = time.monotonic()
        for _ in range(20):
            with server.connect() as silent, server.connect() as sock:
                exchange(sock)
                assert receive_all(silent) == b""
        seconds = time.monotonic() - began

        assert re.fullmatch(
            "connections=40 replies=20 idle=0 evicted=[23]. failed=0", stopped(server)
        )
        warnings = [line for line in server.log if line.startswith("WARNING ")]
        assert 1 <= len(warnings) <= 1 + seconds


def test_bytes_not_yet_read_are_not_silence() -> None:
    """A client whose message waits to be read keeps its connection, however long it was silent."""
    with (
        Server(MAX_CONNECTIONS="2") as server,
        server.connect() as first,
        server.connect() as second,
    ):
        exchange(first)
        exchange(second)
        server.freeze()
        with server.connect() as third:
            third.sendall(MESSAGE)
            first.sendall(MESSAGE)
            server.thaw()

            assert receive(first, len(REPLY)) == REPLY
            assert receive(third, len(REPLY)) == REPLY
            assert receive_all(second) == b""


STOP_AT_A_MESSAGE = """
import os, signal
printable = program.printable
def stop(*arguments):
    program.printable = printable
    os.kill(os.getpid(), signal.SIGSTOP)
    return printable(*arguments)
program.printable = stop
"""


def test_bytes_that_arrive_late_are_not_silence() -> None:
    """A message that arrives while the server serves others is read before room is made."""
    with (
        Server(MAX_CONNECTIONS="2", LOG_LEVEL="DEBUG", before=STOP_AT_A_MESSAGE) as server,
        server.connect() as oldest,
        server.connect() as other,
    ):
        server.wait_for("connected", 2)
        server.freeze()
        other.sendall(MESSAGE)
        with server.connect():
            server.thaw()
            server.wait_until_stopped()  # to serve the other, and then the new one
            oldest.sendall(MESSAGE)
            server.thaw()

            assert receive(oldest, len(REPLY)) == REPLY
            assert receive_all(other) == REPLY


def test_a_slow_reader_is_not_silent() -> None:
    """A client that reads a reply keeps its connection before one that never spoke."""
    with Server(MAX_CONNECTIONS="2", **LARGE) as server, small_client(server) as reader:
        fill(reader)
        with server.connect() as silent:
            receive(reader, 2 * 65536)
            with server.connect() as sock:
                exchange(sock, LARGE_REPLY)
                assert receive_all(silent) == b""
            receive(reader, 65536)


def small_client(server: Server) -> socket.socket:
    """Connect a client whose kernel holds little, and makes room whenever it reads."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)  # segments as on a wire
    sock.settimeout(PATIENCE)
    sock.connect(server.address)
    return sock


@linux_only
@pytest.mark.parametrize("limit", ["MAX_CONNECTIONS=4", "--nofile=20"])
def test_who_has_spoken_is_answered_before_it_makes_room(limit: str) -> None:
    """Several full houses that come at once and have spoken are all answered."""
    few = limit.startswith("--")
    prefix, env = (("prlimit", limit), {}) if few else ((), dict([limit.split("=")]))
    with Server(prefix=prefix, **env) as server, ExitStack() as crowd:
        first = [crowd.enter_context(server.connect()) for _ in range(4)]
        exchange(first[3])  # so all are accepted
        server.freeze()
        clients = first + [crowd.enter_context(server.connect()) for _ in range(30)]
        for sock in clients:
            sock.sendall(MESSAGE)
        server.thaw()

        for sock in clients:
            assert receive(sock, len(REPLY)) == REPLY


@linux_only
@pytest.mark.parametrize(("limit", "warnings"), [("50", ["50"]), ("30:200", [])])
def test_limits_of_descriptors(limit: str, warnings: list[str]) -> None:
    """Of what MAX_CONNECTIONS may need the soft limit is raised, a lower hard one warned of."""
    with Server(prefix=("prlimit", f"--nofile={limit}"), MAX_CONNECTIONS="60") as server:
        with ExitStack() as crowd:
            clients = [crowd.enter_context(server.connect()) for _ in range(30)]
            for sock in clients:
                exchange(sock)

        assert re.findall(r"(?m)^WARNING \D*(\d+)", "\n".join(server.log)) == warnings
        assert " evicted=0 " in stopped(server)


def test_clients_are_read_between_those_that_are_accepted() -> None:
    """Of a crowd that comes at once, the first are read before the last are accepted."""
    with Server(LOG_LEVEL="DEBUG") as server, ExitStack() as crowd:
        address = server.address
        server.freeze()
        first = crowd.enter_context(connect(address))
        first.sendall(MESSAGE)
        for _ in range(100):
            crowd.enter_context(connect(address))
        server.thaw()
        server.wait_for(" connected$", 101)

        said = server.log.index(f"INFO {name(first)}: {MESSAGE.decode()}")
        assert any(line.endswith(" connected") for line in server.log[said:])


@linux_only
@pytest.mark.slow
def test_without_a_descriptor_it_pauses_accepting() -> None:
    """Without a free descriptor it serves its clients, says so once, and accepts once it can."""
    assert program.PAUSE == 1
    with Server(before="program.PAUSE = 0.5") as server, server.connect() as client:
        exchange(client)
        pid, kind = server.process.pid, resource.RLIMIT_NOFILE
        limits = resource.prlimit(pid, kind, (3, resource.getrlimit(kind)[1]))
        with server.connect() as sock, server.connect() as another:
            server.wait_for("WARNING accepting paused .*open files")
            assert cpu_of_a_moment(server) < 0.05
            exchange(client)
            resource.prlimit(pid, kind, limits)
            exchange(sock)
            exchange(another)

        assert len([line for line in server.log if line.startswith("WARNING ")]) == 1


def test_one_accepted_client_that_fails_ends_alone() -> None:
    """A client whose socket cannot be set up is closed, and the next one is served."""
    fails = """
class Failing(program.socket.socket):
    def setblocking(self, flag):
        program.Listener.accept = accept
        raise OSError(12, "Cannot allocate memory")

accept = program.Listener.accept
def failing(self):
    sock, peer = accept(self)
    return Failing(fileno=sock.detach()), peer
program.Listener.accept = failing
"""
    with Server(before=fails) as server:
        with server.connect() as sock:
            assert receive_all(sock) == b""
        with server.connect() as sock:
            exchange(sock)

        assert stopped(server) == "connections=2 replies=1 idle=0 evicted=0 failed=1"


@linux_only
@pytest.mark.slow
def test_accept_that_keeps_failing_does_not_spin() -> None:
    """An accept(2) that a security module denies pauses accepting, with one line a pause."""
    denied = """
def deny(self):
    raise PermissionError(1, "Operation not permitted")
program.Listener.accept = deny
"""
    with Server(before=denied) as server, server.connect():
        server.wait_for("WARNING accepting paused for 1 s: Operation not permitted")
        assert cpu_of_a_moment(server) < 0.05


def test_a_health_check_takes_no_client_s_place() -> None:
    """At MAX_CONNECTIONS a health check closes no client's connection, nor does a client two."""
    with Server(MAX_CONNECTIONS="2") as server:
        with server.connect() as oldest, server.connect() as sock:
            exchange(oldest)
            exchange(sock)
            with server.connect(HEALTH_ADDRESS) as check:
                exchange(check)
                exchange(oldest)
                exchange(sock)
                with server.connect() as newest:
                    exchange(newest)
                    # Like any other it makes room, being silent longest.
                    assert receive_all(check) == b""
                    assert receive_all(oldest) == b""
                    exchange(sock)

        assert stopped(server) == "connections=3 replies=6 idle=0 evicted=1 failed=0"


def test_health_checks_are_no_free_pass() -> None:
    """Many connections from the health check's address take no more room than any others."""
    with Server(MAX_CONNECTIONS="5", LOG_LEVEL="DEBUG") as server, ExitStack() as crowd:
        for _ in range(80):
            crowd.enter_context(server.connect(HEALTH_ADDRESS))
        with server.connect() as sock:
            exchange(sock)
        server.wait_for("evicted", 80 - 5)

        assert len([line for line in server.log if line.startswith("WARNING")]) >= 1


@pytest.mark.slow
def test_a_slow_reader_is_not_idle() -> None:
    """A client that reads 100 kB/s keeps its connection with IDLE_TIMEOUT=2."""
    with Server(IDLE_TIMEOUT="2", **LARGE) as server, server.connect() as sock:
        fill(sock)
        # What the client's kernel has at the start is read in 1 s or so.
        for _ in range(50):
            time.sleep(0.1)  # it is slow: that is what it is here for
            assert len(receive(sock, 10_000)) == 10_000


# The stop


def test_a_stop_answers_what_was_received() -> None:
    """Messages that wait to be read when the signal comes are answered, then comes the end.

    Who is not accepted any more is reset; nobody is accepted and then left without an answer.
    """
    with Server(DRAIN_TIMEOUT="60") as server:
        with ExitStack() as crowd:
            clients = [crowd.enter_context(server.connect()) for _ in range(200)]
            for sock in clients:
                exchange(sock)
            server.freeze()
            late = [crowd.enter_context(server.connect()) for _ in range(10)]
            for sock in clients + late:
                sock.sendall(MESSAGE)
            server.signal(signal.SIGINT)
            server.thaw()

            for sock in clients:
                assert receive_all(sock) == REPLY
            for sock in late:
                with suppress(ConnectionResetError):
                    assert receive_all(sock) == REPLY
        # Before DRAIN_TIMEOUT, since the clients have ended.
        assert server.outcome().exit_code == 0


@pytest.mark.slow
def test_a_stop_does_not_wait_for_the_silent() -> None:
    """Who had no reply, or the last one longer ago than DRAIN_TIMEOUT, is not waited for."""
    with Server(DRAIN_TIMEOUT="0.4", LOG_LEVEL="DEBUG") as server, server.connect() as sock:
        exchange(sock)
        time.sleep(0.45)  # that is the silence
        with server.connect() as silent:
            server.wait_for(f"{name(silent)} connected")
            began = time.monotonic()

            assert server.stop().exit_code == 0
            assert time.monotonic() - began < 0.35


def test_a_stop_destroys_no_reply_on_its_way() -> None:
    """Input beyond what is answered is discarded: the client sees the end, and no reset."""
    with Server(DRAIN_TIMEOUT="60") as server, server.connect() as sock:
        exchange(sock)
        server.freeze()
        sock.sendall(b"x" * 500_000)
        server.signal(signal.SIGTERM)
        server.thaw()
        received = receive_all(sock)
        sock.sendall(b"x" * 500_000)
        sock.shutdown(socket.SHUT_WR)

        assert received
        assert not received.replace(REPLY, b"")
        assert server.outcome().exit_code == 0
        assert receive_all(sock) == b""


def test_a_second_signal_ends_at_once() -> None:
    """While clients are seen off, for as long as may be, nobody new is let in; twice is enough."""
    greatest = "1000000"
    long = {"IDLE_TIMEOUT": greatest, "DRAIN_TIMEOUT": greatest}
    with Server(**long) as server, server.connect() as sock:
        exchange(sock)
        server.signal(signal.SIGTERM)
        assert receive_all(sock) == b""
        with pytest.raises(ConnectionRefusedError):
            server.connect()

        assert server.stop(signal.SIGINT).exit_code == 0
        server.wait_for("INFO .*connections=1 replies=1 ")


def test_a_stop_sends_what_is_pending() -> None:
    """A reply that its client is late to read is sent whole, and then comes the end."""
    with Server(**LARGE, DRAIN_TIMEOUT="60") as server:
        with server.connect() as late, server.connect() as watch:
            fill(late)
            exchange(watch, LARGE_REPLY)
            server.signal(signal.SIGTERM)
            assert receive_all(watch) == b""
            received = receive_all(late)

            assert received
            assert len(received) % len(LARGE_REPLY) == 0
        assert server.outcome().exit_code == 0
        server.wait_for("INFO .* failed=0")


@pytest.mark.parametrize("patience", [0.0, pytest.param(0.4, marks=pytest.mark.slow)])
def test_a_stop_waits_for_nobody_beyond_drain_timeout(patience: float) -> None:
    """A client that never reads costs a stop DRAIN_TIMEOUT and no more, and counts as failed."""
    with Server(**LARGE, DRAIN_TIMEOUT=str(patience)) as server:
        with server.connect() as greedy, server.connect():
            fill(greedy)
            began = time.monotonic()
            outcome = server.stop()

            assert patience <= time.monotonic() - began < patience + 0.5
            assert outcome.exit_code == 0
        server.wait_for("INFO .* failed=1")


@pytest.mark.slow
def test_a_stop_waits_for_nobody_that_never_ends() -> None:
    """Who goes on sending after the end of the replies gets DRAIN_TIMEOUT, and no more."""
    with Server(DRAIN_TIMEOUT="0.4") as server, server.connect() as sock:
        exchange(sock)
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        with suppress(ConnectionResetError, BrokenPipeError):
            while time.monotonic() - began < PATIENCE:
                sock.sendall(bytes(65536))
        assert server.outcome().exit_code == 0
        assert 0.4 <= time.monotonic() - began < 0.9


@linux_only  # only there the port is nobody else's, and free between the two
def test_a_port_can_be_listened_on_again_at_once() -> None:
    """Connections that the last server has ended do not keep the next one from its port."""
    with Server() as server, server.connect() as sock:
        exchange(sock)
        host, port = server.address
        server.signal(signal.SIGTERM)
        assert receive_all(sock) == b""
        sock.close()
        assert server.outcome().exit_code == 0
    with Server(HOST=host, PORT=str(port)) as again:
        assert again.address == (host, port)


# The log


def test_the_log_has_a_line_for_whoever_says_something() -> None:
    """At INFO: the address, the first message of each connection, the summary, and no more."""
    with Server() as server:
        with server.connect() as talker, server.connect() as other:
            exchange(talker)
            talker.sendall(b"second message")
            assert receive(talker, len(REPLY)) == REPLY
            exchange(other)
            names = name(talker), name(other)
        with server.connect():
            pass
        with server.connect(HEALTH_ADDRESS) as probe:
            exchange(probe)

        summary = "connections=3 replies=3 idle=0 evicted=0 failed=0"
        assert stopped(server) == summary
        assert server.log == [
            "INFO listening on {}:{}".format(*server.address),
            *(f"INFO {one}: Testando conexão" for one in names),
            f"INFO stopped: {summary}",
        ]


def test_a_message_is_one_line_of_the_log() -> None:
    """What a client sends is escaped, and cut at 200 characters before that."""
    shown = {
        b"one\n2026-01-01T00:00:00.000Z INFO forged": r"one\n2026-01-01T00:00:00.000Z INFO forged",
        "\x1b[2J\r\0\x7f\u202e\u2028".encode() + b"\xff": r"\x1b[2J\r\x00\x7f\u202e\u2028\xff",
        b"%s %d %(x)s {}": "%s %d %(x)s {}",
        b"\n" * 201: r"\n" * 200,
        ("🎉" * 199 + "ab").encode(): "🎉" * 199 + "a",
        b"x" * 60_000: "x" * 200,
    }
    names = []
    with Server() as server:
        for message in shown:
            with server.connect() as sock:
                names.append(name(sock))
                sock.sendall(message)
                sock.shutdown(socket.SHUT_WR)
                assert receive_all(sock)
        stopped(server)

        lines = zip(names, shown.values(), strict=True)
        assert server.log[1:-1] == [f"INFO {name}: {text}" for name, text in lines]


def test_a_reset_after_a_whole_exchange_is_no_failure() -> None:
    """A client that resets has failed if its reply was pending or not begun, else not."""
    with Server(**LARGE) as server:
        content = [server.connect() for _ in range(2)]
        greedy = [server.connect() for _ in range(2)]
        silent = server.connect()
        for sock in content:
            exchange(sock, LARGE_REPLY)
        fill(*greedy)
        for sock in (*content, *greedy, silent):
            reset(sock)

        assert re.fullmatch("connections=5 .* idle=0 evicted=0 failed=3", stopped(server))


# In a program of one's own


def test_its_life_is_four_verbs() -> None:
    """In a program of one's own a server is bound, served, shut down from elsewhere and closed."""
    config = ServerConfig(Environment({"HOST": own_address(), "PORT": "0"}))
    with closing(OwnServer(config)) as server:
        server.bind()
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with connect(server.address) as sock:
            exchange(sock)
        server.shutdown()
        thread.join(PATIENCE)

        assert not thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        connect(server.address)
