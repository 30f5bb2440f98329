"""The server as a process, and what its clients see of it."""

import errno
import os
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from app.config import ServerConfig
from app.log import Log
from app.server import Server
from tests.support import (
    LOOPBACK,
    MESSAGE,
    PATIENCE,
    REPLY,
    ROOT,
    Outcome,
    Program,
    RunningServer,
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
from tests.unit.conftest import Background, blocks, full_pipe

LARGE_REPLY = b"R" * 65536
HEALTH_ADDRESS = "127.8.8.8"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """Share a server among tests that leave nothing behind in it."""
    with running_server() as server:
        yield server


def name(sock: socket.socket) -> str:
    """Return what the server calls the peer that this socket is."""
    host, port = sock.getsockname()
    return f"{host}:{port}"


def fill(sock: socket.socket) -> int:
    """Send without reading until the server takes no more; return how many bytes that were."""
    sock.setblocking(False)
    sent = 0
    # What it has not taken in a quarter of a second, it does not take at all; a server that
    # takes everything is found out by the limit.
    while sent < 100_000_000 and select.select([], [sock], [], 0.25)[1]:
        sent += sock.send(b"x" * 65536)
    sock.settimeout(PATIENCE)
    return sent


def run_health_check(**env: str) -> Outcome:
    """Run the health check to its end."""
    with Program("healthcheck", env) as program:
        return program.outcome()


def run_server(**env: str) -> Outcome:
    """Run a server that does not come to serve."""
    with Program("server", env) as program:
        return program.outcome()


# The wire


def test_every_chunk_is_answered_once(server: RunningServer) -> None:
    """A client that waits for its replies gets one for each message, and nothing more."""
    with server.connect() as sock:
        for _ in range(3):
            exchange(sock)
        sock.shutdown(socket.SHUT_WR)

        assert receive_all(sock) == b""


def test_a_client_that_half_closes_gets_its_reply(server: RunningServer) -> None:
    """After a message and its end come the reply and the server's end."""
    with server.connect() as sock:
        sock.sendall(MESSAGE)
        sock.shutdown(socket.SHUT_WR)

        assert receive_all(sock) == REPLY


def test_a_client_that_says_nothing_gets_nothing(server: RunningServer) -> None:
    """A connection without a message ends without a reply."""
    with server.connect() as sock:
        sock.shutdown(socket.SHUT_WR)

        assert receive_all(sock) == b""


def test_many_clients_are_served_at_once(server: RunningServer) -> None:
    """No client waits for another to speak, to read or to end."""
    clients = [server.connect() for _ in range(50)]
    for sock in clients:
        sock.sendall(MESSAGE)
    for sock in reversed(clients):
        assert receive(sock, len(REPLY)) == REPLY
    for sock in clients:
        exchange(sock)
        sock.close()


def test_the_original_client_is_answered(server: RunningServer) -> None:
    """The seed's client, plain sockets, gets its reply in one read."""
    client_socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    client_socket.connect(server.address)
    client_socket.sendall("Testando conexão".encode())
    reply = client_socket.recv(1024).decode()
    client_socket.close()

    assert reply == "SERVER OK - STATUS 200"


def test_the_original_server_satisfies_our_client() -> None:
    """The seed's server, plain sockets, reads our message, answers, and sees the client end."""
    heard = []
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    s.bind((LOOPBACK, 0))
    s.listen()

    def serve() -> None:
        connection, _ = s.accept()
        while True:
            data = connection.recv(1024)
            heard.append(data.decode())
            if not data:
                break
            connection.sendall(b"SERVER OK - STATUS 200")
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    outcome = run_client(s.getsockname())
    thread.join(PATIENCE)
    s.close()

    assert outcome[:2] == (0, "SERVER OK - STATUS 200\n")
    assert heard == ["Testando conexão", ""]


def test_the_reply_is_what_it_is_told() -> None:
    """REPLY is sent as its escapes mean it."""
    with running_server(REPLY=r"+PONG\r\n\x00\xff") as server, server.connect() as sock:
        exchange(sock, b"+PONG\r\n\0\xff")


def test_a_reply_may_have_65536_bytes() -> None:
    """The largest reply arrives whole, and our client takes it for the right one."""
    text = LARGE_REPLY.decode()
    with running_server(REPLY=text) as server:
        assert run_client(server.address, REPLY=text)[:2] == (0, text + "\n")


def test_nothing_is_read_while_a_reply_is_pending() -> None:
    """A client that does not read is not read either, costs no other client, and loses nothing."""
    with running_server(REPLY=LARGE_REPLY.decode()) as server:
        with server.connect() as greedy, server.connect() as modest:
            sent = fill(greedy)
            exchange(modest, LARGE_REPLY)
            greedy.shutdown(socket.SHUT_WR)
            received = receive_all(greedy)

        assert sent < 100_000_000
        replies, rest = divmod(len(received), len(LARGE_REPLY))
        assert rest == 0
        # No read takes more than 64 KiB.
        assert replies >= sent / 65536
        server.wait_for("INFO .*: x{200}$")


# Silence, and room


def test_a_silent_connection_is_closed_after_idle_timeout() -> None:
    """Whoever says nothing for IDLE_TIMEOUT is closed, not sooner, and counted."""
    with running_server(IDLE_TIMEOUT="0.3") as server:
        began = time.monotonic()
        with server.connect() as sock:
            assert receive_all(sock) == b""
            assert time.monotonic() - began >= 0.3
        server.stop()

        server.wait_for("INFO .* 1 connections, 0 replies, 1 idle, 0 evicted, 0 failed")


def test_a_message_begins_the_idle_time_anew() -> None:
    """Of two connections the one that spoke last is kept longer, for all of IDLE_TIMEOUT."""
    with (
        running_server(IDLE_TIMEOUT="0.5", LOG_LEVEL="DEBUG") as server,
        server.connect() as first,
        server.connect() as second,
    ):
        exchange(first)
        exchange(second)
        time.sleep(0.2)  # some of the silence that the next message ends
        spoke = time.monotonic()
        exchange(first)

        ended = [server.wait_for(r"DEBUG (\S+) .*idle", count)[1] for count in (1, 2)]
        assert ended == [name(second), name(first)]
        assert time.monotonic() - spoke >= 0.5


def test_idle_timeout_0_keeps_silent_connections() -> None:
    """With IDLE_TIMEOUT=0 a connection is not closed for its silence."""
    with running_server(IDLE_TIMEOUT="0") as server:
        with server.connect() as silent:
            for _ in range(3):
                with server.connect() as sock:
                    exchange(sock)
            exchange(silent)
        server.stop()

        server.wait_for(r"INFO .* 4 replies, 0 idle, 0 evicted")


def test_the_connection_silent_longest_makes_room() -> None:
    """At MAX_CONNECTIONS a new client costs the one that spoke longest ago its connection."""
    with running_server(MAX_CONNECTIONS="2") as server:
        with server.connect() as first, server.connect() as second:
            for sock in (first, second, first):
                exchange(sock)
            with server.connect() as third:
                exchange(third)

                assert receive_all(second) == b""
                exchange(first)
        server.stop()

        server.wait_for(r"INFO .* 3 connections, 5 replies, 0 idle, 1 evicted, 0 failed")


def test_evictions_are_warned_of_once_a_second() -> None:
    """However many connections make room, no second has more than one line about it."""
    with running_server(MAX_CONNECTIONS="1") as server:
        began = time.monotonic()
        for _ in range(20):
            with server.connect() as silent, server.connect() as sock:
                exchange(sock)
                assert receive_all(silent) == b""
        seconds = time.monotonic() - began
        server.stop()

        warnings = [line for line in server.log if line.startswith("WARNING ")]
        assert 1 <= len(warnings) <= 1 + seconds
        server.wait_for(r"INFO .* 40 connections, 20 replies, 0 idle, \d+ evicted, 0 failed")


def test_bytes_not_yet_read_are_not_silence() -> None:
    """A client whose message waits to be read keeps its connection, however long it was silent."""
    with (
        running_server(MAX_CONNECTIONS="2") as server,
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


def test_few_descriptors_are_warned_of() -> None:
    """A hard limit of descriptors below what MAX_CONNECTIONS may need is named at the start."""
    with running_server(prefix=("prlimit", "--nofile=50"), MAX_CONNECTIONS="60") as server:
        assert re.fullmatch(r"WARNING .*\b50\b.*", server.log[0])


def test_the_soft_limit_of_descriptors_is_raised() -> None:
    """A soft limit below what MAX_CONNECTIONS may need is no limit."""
    with running_server(prefix=("prlimit", "--nofile=30:200"), MAX_CONNECTIONS="60") as server:
        clients = [server.connect() for _ in range(60)]
        for sock in clients:
            exchange(sock)
            sock.close()

        assert not [line for line in server.log if line.startswith("WARNING ")]


def test_clients_are_read_between_those_that_are_accepted() -> None:
    """Of a crowd that comes at once, the first are read before the last are accepted."""
    with running_server(LOG_LEVEL="DEBUG") as server, ExitStack() as crowd:
        server.freeze()
        first = crowd.enter_context(server.connect())
        first.sendall(MESSAGE)
        for _ in range(100):
            crowd.enter_context(server.connect())
        server.thaw()
        server.wait_for(" connected$", 101)

        said = server.log.index(f"INFO {name(first)}: {MESSAGE.decode()}")
        assert any(line.endswith(" connected") for line in server.log[said:])


def test_who_was_just_accepted_does_not_make_room() -> None:
    """With few descriptors too, who has sent something is read before another needs its place."""
    with running_server(prefix=("prlimit", "--nofile=11")) as server, ExitStack() as crowd:
        server.freeze()
        clients = [crowd.enter_context(server.connect()) for _ in range(10)]
        for sock in clients:
            sock.sendall(MESSAGE)
        server.thaw()

        for sock in clients:
            assert receive(sock, len(REPLY)) == REPLY


def test_without_any_descriptor_it_stops_accepting_for_a_while() -> None:
    """With no descriptor and nothing to close it says so, waits, and serves once there is one."""
    with running_server() as server:
        pid, kind = server.process.pid, resource.RLIMIT_NOFILE
        limits = resource.prlimit(pid, kind, (3, resource.getrlimit(kind)[1]))
        with server.connect() as sock:
            server.wait_for("WARNING not accepting for a while: .*open files")
            resource.prlimit(pid, kind, limits)
            exchange(sock)


# The stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_what_was_received(number: int) -> None:
    """A message that waits to be read when the signal comes is answered, then comes the end."""
    with running_server(DRAIN_TIMEOUT="60") as server:
        with server.connect() as sock:
            exchange(sock)
            server.freeze()
            sock.sendall(MESSAGE)
            server.signal(number)
            server.thaw()

            assert receive_all(sock) == REPLY
        # Before DRAIN_TIMEOUT, since the client has ended.
        assert server.outcome().exit_code == 0


def test_a_stop_does_not_wait_for_the_silent() -> None:
    """A client that had its reply longer ago than DRAIN_TIMEOUT is not waited for any more."""
    with running_server(DRAIN_TIMEOUT="0.4") as server, server.connect() as sock:
        exchange(sock)
        time.sleep(0.45)  # that is the silence
        began = time.monotonic()

        assert server.stop().exit_code == 0
        assert time.monotonic() - began < 0.35


def test_a_stop_destroys_no_reply_on_its_way() -> None:
    """Input beyond what is answered is discarded: the client sees the end, and no reset."""
    with running_server(DRAIN_TIMEOUT="60") as server, server.connect() as sock:
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


def test_a_stop_closes_the_listener_first() -> None:
    """While replies are seen off, nobody new is let in."""
    with running_server(DRAIN_TIMEOUT="60") as server, server.connect() as sock:
        exchange(sock)
        server.signal(signal.SIGTERM)

        assert receive_all(sock) == b""
        with pytest.raises(ConnectionRefusedError):
            server.connect()


def test_a_stop_sends_what_is_pending() -> None:
    """A reply that its client is late to read is sent whole, and then comes the end."""
    with running_server(REPLY=LARGE_REPLY.decode(), DRAIN_TIMEOUT="60") as server:
        with server.connect() as late, server.connect() as watch:
            fill(late)
            exchange(watch, LARGE_REPLY)
            server.signal(signal.SIGTERM)
            assert receive_all(watch) == b""
            received = receive_all(late)

            assert received
            assert len(received) % len(LARGE_REPLY) == 0
        assert server.outcome().exit_code == 0
        server.wait_for("INFO .* 0 failed")


def test_a_stop_waits_for_nobody_beyond_drain_timeout() -> None:
    """A client that never reads costs a stop DRAIN_TIMEOUT and no more, and counts as failed."""
    with running_server(REPLY=LARGE_REPLY.decode(), DRAIN_TIMEOUT="0.4") as server:
        with server.connect() as greedy:
            fill(greedy)
            began = time.monotonic()
            outcome = server.stop()

            assert 0.4 <= time.monotonic() - began < 0.9
            assert outcome.exit_code == 0
        server.wait_for("INFO .* 1 failed")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(number: int) -> None:
    """Asked twice, the server waits for nobody, and has still ended well."""
    with running_server(DRAIN_TIMEOUT="60") as server, server.connect() as sock:
        exchange(sock)
        server.signal(signal.SIGTERM)
        assert receive_all(sock) == b""

        assert server.stop(number).exit_code == 0
        server.wait_for("INFO .* 1 connections, 1 replies")


def test_a_signal_before_it_serves_is_not_lost() -> None:
    """From its start it holds signals back until it can stop in order, however long that takes."""
    pipe, stderr, full = full_pipe()
    command = [sys.executable, "-m", "app.server"]
    env = {"HOST": LOOPBACK, "PORT": "0"}
    with pipe, subprocess.Popen(command, cwd=ROOT, env=env, stderr=stderr) as server:
        os.close(stderr)
        # Its first line does not fit in.
        until(lambda: blocks(server.pid, signal.SIGTERM))
        server.send_signal(signal.SIGTERM)
        log = pipe.read()[full:].splitlines()

    assert server.returncode == 0
    assert [line.split()[2] for line in log] == [b"listening", b"stopped:"]


def storm(server: subprocess.Popen[bytes]) -> None:
    """Signal a process for as long as it lives."""
    bound = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < bound:
        server.send_signal(signal.SIGTERM)


def test_signals_without_end_change_nothing() -> None:
    """Signals that come for as long as the server lives neither break its log nor its exit code."""
    with running_server() as server:
        storm(server.process)
        outcome = server.outcome()

        assert outcome[:2] == (0, "")
        assert all(" INFO " in line for line in outcome.stderr.splitlines())


@pytest.mark.parametrize("milliseconds", range(0, 10, 2))
def test_a_signal_after_its_last_word_changes_nothing(milliseconds: int) -> None:
    """What comes while the interpreter takes itself apart does not become the exit code."""
    with running_server() as server:
        server.signal(signal.SIGTERM)
        server.wait_for("INFO stopped: ")
        time.sleep(milliseconds / 1000)  # the moment to hit is somewhere there
        server.signal(signal.SIGTERM)

        assert server.outcome()[:2] == (0, "")


def test_a_log_that_nobody_reads_cannot_keep_it_alive() -> None:
    """A server that stands still because its log is full ends at once by the third signal."""
    command = [sys.executable, "-m", "app.server"]
    env = {"HOST": LOOPBACK, "PORT": "0"}
    with subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE) as server:
        assert server.stderr
        address = (LOOPBACK, int(server.stderr.readline().rsplit(b":")[-1]))
        with suppress(TimeoutError):
            while True:
                with socket.create_connection(address, PATIENCE) as sock:
                    sock.settimeout(0.25)
                    exchange(sock)
        storm(server)

        assert server.returncode == 0
        assert all(b" INFO " in line for line in server.stderr)


def test_drain_timeout_0_does_not_wait() -> None:
    """With DRAIN_TIMEOUT=0 a stop waits for no client, silent or with its reply pending."""
    with (
        running_server(REPLY=LARGE_REPLY.decode(), DRAIN_TIMEOUT="0") as server,
        server.connect() as greedy,
        server.connect(),
    ):
        fill(greedy)
        began = time.monotonic()

        assert server.stop().exit_code == 0
        assert time.monotonic() - began < 0.5


def test_a_port_can_be_listened_on_again_at_once() -> None:
    """Connections that the last server has ended do not keep the next one from its port."""
    with running_server() as server, server.connect() as sock:
        exchange(sock)
        server.signal(signal.SIGTERM)
        assert receive_all(sock) == b""
        sock.close()
        assert server.outcome().exit_code == 0
    with running_server(PORT=str(server.address[1])) as again, again.connect() as sock:
        exchange(sock)


# The log


def test_the_log_has_a_line_for_whoever_says_something() -> None:
    """At INFO: the address, the first message of each connection, the summary, and no more."""
    with running_server() as server:
        with server.connect() as talker:
            exchange(talker)
            talker.sendall(b"second message")
            assert receive(talker, len(REPLY)) == REPLY
            talker_name = name(talker)
        with server.connect():
            pass
        with server.connect(HEALTH_ADDRESS) as probe:
            exchange(probe)
        with server.connect() as sock:
            exchange(sock)
            sock_name = name(sock)
        server.stop()

        assert server.log == [
            f"INFO listening on {LOOPBACK}:{server.address[1]}",
            f"INFO {talker_name}: Testando conexão",
            f"INFO {sock_name}: Testando conexão",
            "INFO stopped: 3 connections, 3 replies, 0 idle, 0 evicted, 0 failed",
        ]


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            b"one\n2026-01-01T00:00:00.000Z INFO forged",
            r"one\n2026-01-01T00:00:00.000Z INFO forged",
        ),
        (b"\x1b[2J\x07\r\0\x7f", r"\x1b[2J\x07\r\x00\x7f"),
        ("\u202egnp.exe \u2028\x9b31m".encode(), r"\u202egnp.exe \u2028\x9b31m"),
        (b"\xff\xc3(", r"\xff\xc3("),
        (b"%s %d %(x)s {}", "%s %d %(x)s {}"),
        (("é" * 201).encode(), "é" * 200),
        (b"\n" * 201, r"\n" * 200),
        (("🎉" * 199 + "ab").encode(), "🎉" * 199 + "a"),
        (b"x" * 60_000, "x" * 200),
    ],
)
def test_a_message_is_one_line_of_the_log(
    server: RunningServer, message: bytes, shown: str
) -> None:
    """What a client sends is escaped, and cut at 200 characters before that."""
    with server.connect() as sock:
        sock.sendall(message)
        assert receive(sock, len(REPLY)) == REPLY

        assert server.wait_for(f"^INFO {re.escape(name(sock))}: (.*)$")[1] == shown


def test_a_reset_after_a_whole_exchange_is_no_failure() -> None:
    """A client that resets has failed if its reply was pending, and not if it had it."""
    with running_server(REPLY=LARGE_REPLY.decode()) as server:
        content, greedy = server.connect(), server.connect()
        exchange(content, LARGE_REPLY)
        reset(content)
        fill(greedy)
        reset(greedy)
        server.stop()

        server.wait_for("INFO .* 2 connections, .* 1 failed")


# The start


@pytest.mark.parametrize("arguments", [("--verbose",), ("--help", "me"), ("-h",), ("",)])
def test_an_unknown_argument_is_answered_with_usage(arguments: tuple[str, ...]) -> None:
    """Whatever is not --help alone ends with 64 and the usage on stderr."""
    with Program("server", {}, *arguments) as program:
        exit_code, stdout, stderr, _ = program.outcome()

    assert (exit_code, stdout) == (64, "")
    assert stderr.startswith("usage: ")


def test_help_names_every_variable() -> None:
    """--help goes to stdout, and names every variable of the server with its default."""
    with Program("server", {"PORT": "bad"}, "--help") as program:
        exit_code, stdout, stderr, _ = program.outcome()

    assert (exit_code, stderr) == (0, "")
    assert stdout.startswith("usage: ")
    assert set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)*(?==)", stdout)) == {
        name.upper() for name in ServerConfig.__annotations__
    }
    for name, (default, *_) in ServerConfig.rows().items():
        assert f"  {name}={default}\n" in stdout


def test_an_address_in_use_is_named() -> None:
    """Where another program listens, the server ends with 71, the address and the reason."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        port = str(listener.getsockname()[1])
        exit_code, stdout, stderr, _ = run_server(HOST=LOOPBACK, PORT=port)

    assert (exit_code, stdout, stderr.count("\n")) == (71, "", 1)
    assert f"ERROR cannot listen on {LOOPBACK}:{port}: {os.strerror(errno.EADDRINUSE)}" in stderr


def test_an_address_of_another_host_is_named() -> None:
    """An address that this host does not have ends the server with 71, and is the reason."""
    # From TEST-NET-1, RFC 5737: nobody has it.
    exit_code, stdout, stderr, _ = run_server(HOST="192.0.2.1", PORT="8888")

    assert (exit_code, stdout, stderr.count("\n")) == (71, "", 1)
    assert "cannot listen on 192.0.2.1:8888: not an address of this host" in stderr


def test_a_port_that_is_not_permitted_is_named() -> None:
    """A port that only the privileged may listen on ends the server with 71, and that is why."""
    limit = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if not limit.exists() or int(limit.read_text()) < 2:
        pytest.skip("every port is for everybody here")
    # Root is only as privileged as its capabilities.
    drop = ("setpriv", "--bounding-set=-net_bind_service") if os.geteuid() == 0 else ()
    with Program("server", {"HOST": LOOPBACK, "PORT": "1"}, prefix=drop) as program:
        exit_code, stdout, stderr, _ = program.outcome()

    assert (exit_code, stdout, stderr.count("\n")) == (71, "", 1)
    assert f"cannot listen on {LOOPBACK}:1: {os.strerror(errno.EACCES)}" in stderr


def test_its_life_is_four_verbs() -> None:
    """In a program of one's own a server is bound, served, shut down from elsewhere and closed."""
    config = ServerConfig({"HOST": LOOPBACK, "PORT": "0", "LOG_LEVEL": "ERROR"})
    with closing(Server(config, Log(config.log_level))) as server:
        server.bind()
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with socket.create_connection(server.address, PATIENCE) as sock:
            exchange(sock)
        server.shutdown()
        thread.join(PATIENCE)

        assert not thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(server.address, PATIENCE)


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_a_log_that_takes_nothing_changes_nothing(redirection: str) -> None:
    """Where the log cannot be written, the server serves and stops all the same."""
    with refusing() as sock:
        host, port = sock.getsockname()
    prefix = redirected(redirection)
    with Program("server", {"HOST": host, "PORT": str(port)}, prefix=prefix) as server:
        assert run_client((host, port)).exit_code == 0
        server.signal(signal.SIGTERM)

        assert server.outcome()[:3] == (0, "", "")


# The health check


@pytest.mark.parametrize("host", [LOOPBACK, "0.0.0.0"])
def test_a_healthy_server_has_a_check_that_leaves_no_trace(host: str) -> None:
    """The check of a server that answers is 0 and silent, and the server's log knows nothing."""
    with running_server() as server:
        outcome = run_health_check(HOST=host, PORT=str(server.address[1]))
        server.stop()

        assert outcome[:3] == (0, "", "")
        assert server.log == [
            f"INFO listening on {LOOPBACK}:{server.address[1]}",
            "INFO stopped: 0 connections, 0 replies, 0 idle, 0 evicted, 0 failed",
        ]


def wrong(sock: socket.socket) -> None:
    """Answer like another service."""
    sock.recv(1024)
    sock.sendall(b"SERVER KO - STATUS 500")


def test_no_end_of_a_check_is_counted() -> None:
    """A check that is closed as idle, or resets, leaves no trace either."""
    with running_server(IDLE_TIMEOUT="0.1") as server:
        reset(server.connect(HEALTH_ADDRESS))
        with server.connect(HEALTH_ADDRESS) as silent:
            assert receive_all(silent) == b""
        server.stop()

        server.wait_for("INFO stopped: 0 connections, 0 replies, 0 idle, 0 evicted, 0 failed")


def test_a_check_whose_words_nobody_reads_is_still_1() -> None:
    """There is no exit code but 0 and 1, even where stderr takes nothing."""
    prefix = redirected("2>/dev/full")
    with Program("healthcheck", {"PORT": "http"}, prefix=prefix) as check:
        assert check.outcome().exit_code == 1


@pytest.mark.parametrize("answer", [socket.socket.close, reset, wrong], ids=lambda f: f.__name__)
def test_an_open_port_is_not_health(answer: Callable[[socket.socket], None]) -> None:
    """Whatever is not the whole reply is 1."""
    with listening(answer) as (host, port):
        assert run_health_check(HOST=host, PORT=str(port)).exit_code == 1


@pytest.mark.parametrize("variable", ["HOST", "PORT", "REPLY", "LOG_LEVEL"])
def test_a_bad_value_is_not_health(variable: str) -> None:
    """A bad value is 1 like everything else, in a line that names it."""
    exit_code, stdout, stderr, _ = run_health_check(**{variable: "\\"})

    assert (exit_code, stdout, stderr.count("\n")) == (1, "", 1)
    assert f"{variable}='\\' is not valid" in stderr


def test_nobody_listening_is_not_health() -> None:
    """A refused connection is 1."""
    with refusing() as closed:
        host, port = closed.getsockname()

        assert run_health_check(HOST=host, PORT=str(port)).exit_code == 1


@pytest.mark.last
def test_a_silent_server_is_not_health(background: Background) -> None:
    """A server that does not answer within 3 s is 1."""
    exit_code, stdout, stderr, seconds = background.health_check.outcome()

    assert (exit_code, stdout, stderr.count("\n")) == (1, "", 1)
    assert 2.9 < seconds < 4
