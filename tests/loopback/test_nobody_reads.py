"""Full pipes that nobody reads, and signals to programs that write to them."""

import fcntl
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.lib.peers import REPLY, listening, own_address, receive, refused
from tests.lib.programs import Program, Server, Start, client, client_environment
from tests.lib.support import PATIENCE, SLACK, linux_only, until
from tests.loopback.test_client import says

pytestmark = linux_only


def wait_until_held_up(program: Program, threads: int = 1) -> None:
    """Wait until this many threads of a program are blocked on a pipe or a socket."""
    tasks = Path(f"/proc/{program.process.pid}/task")
    until(
        lambda: [wchan.read_text() for wchan in tasks.glob("*/wchan")],
        is_right=lambda calls: sum("pipe_w" in c or "poll" in c for c in calls) >= threads,
        awaited="a sleep for a pipe",
    )


def interrupt(program: Program) -> None:
    """Send SIGTERM to a blocked program, and wait until it has reacted or ended."""
    before = program.usage.num_ctx_switches().voluntary
    program.signal(signal.SIGTERM)
    until(
        lambda: (
            program.process.poll() is not None
            or program.usage.num_ctx_switches().voluntary != before
        )
    )


@contextmanager
def unread(
    stream: str, module: str, env: dict[str, str], *arguments: str
) -> Iterator[tuple[Program, IO[bytes], int]]:
    """Run a program whose stdout or stderr is a full pipe.

    Yield the program, the reading end of the pipe, and the number of filler bytes in the pipe.
    """
    reader, writer = os.pipe()
    full = fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ)
    os.write(writer, bytes(full))
    stdout, stderr = (writer if name == stream else None for name in ("stdout", "stderr"))
    with (
        open(reader, "rb") as pipe,
        Program(module, env, *arguments, stdout=stdout, stderr=stderr) as program,
    ):
        os.close(writer)
        yield program, pipe, full


@pytest.mark.parametrize(
    ("env", "arguments"),
    [({"PORT": "0"}, ()), ({"PORT": "http"}, ()), ({}, ("--verbose",))],
    ids=["listening", "bad value", "usage"],
)
def test_third_signal_ends_a_server_with_an_unread_log(
    env: dict[str, str], arguments: tuple[str, ...]
) -> None:
    """A server whose log nobody reads ends at the third signal, even at its first line."""
    with unread("stderr", "server", {"HOST": own_address()} | env, *arguments) as (server, *_):
        wait_until_held_up(server)
        for _ in range(3):
            interrupt(server)

        assert server.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("deadline", ["0", "0.3"], ids=["reply", "deadline"])
def test_unread_log_does_not_delay_the_result(deadline: str) -> None:
    """A full pipe on stderr does not delay the result."""
    peer = listening(says(REPLY)) if deadline == "0" else refused()
    with peer as address:
        env = client_environment(address, DEADLINE=deadline, OUTPUT="json")
        with unread("stderr", "client", env) as (program, *_):
            outcome = program.outcome()

    assert outcome.exit_code == outcome.json["exit_code"] == (0 if deadline == "0" else 69)
    assert outcome.json["waited_s"] < float(deadline) + SLACK


@pytest.mark.parametrize("reads", [False, True], ids=["never", "late"])
@pytest.mark.parametrize("first", ["signal", "reply"])
def test_first_of_signal_and_reply_decides_the_result(first: str, reads: bool) -> None:
    """The first of signal and reply decides the result, and a later signal does not change it."""
    heard, reply, closed = threading.Event(), threading.Event(), threading.Event()

    def serve(sock: socket.socket) -> None:
        heard.set()
        reply.wait(PATIENCE)
        sock.sendall(REPLY)
        receive(sock)
        closed.set()

    with listening(serve) as address:
        env = client_environment(address, OUTPUT="json", REPLY_TIMEOUT="60", DEADLINE="0")
        with unread("stdout", "client", env) as (program, pipe, full):
            assert heard.wait(PATIENCE)
            if first == "signal":
                program.signal(signal.SIGTERM)
                wait_until_held_up(program, threads=2)
            reply.set()
            assert closed.wait(PATIENCE)
            wait_until_held_up(program)
            program.freeze()
            if reads:
                pipe.read(full)
            program.signal(signal.SIGINT)
            program.thaw()

            exit_code = 0 if first == "reply" else 143
            assert program.process.wait(PATIENCE) == exit_code
            if reads:
                assert json.loads(pipe.read())["exit_code"] == exit_code


def test_stdout_that_does_not_block_gets_the_whole_result() -> None:
    """A small pipe in non-blocking mode, which another process may have set, loses no byte."""
    reply = "x" * 20_000
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    with Server(REPLY=reply) as server, open(reader, "rb") as pipe:
        env = client_environment(server.address, REPLY=reply)
        with Program("client", env, stdout=writer):
            os.close(writer)
            assert pipe.read() == f"{reply}\n".encode()


def test_many_signals_leave_one_result() -> None:
    """A burst of signals neither repeats nor truncates the client's result."""
    with refused() as address, client(address, OUTPUT="json", DEADLINE="0") as program:
        program.wait_for("waiting for")
        give_up = time.monotonic() + PATIENCE
        while program.process.poll() is None and time.monotonic() < give_up:
            program.signal(signal.SIGINT)
        outcome = program.outcome()

        assert outcome.exit_code == 130 == outcome.json["exit_code"]
        assert "Traceback" not in outcome.stderr


LATE = """
import os

class Late:
    __del__ = lambda self, kill=os.kill, process=os.getpid(): kill(process, 15)

late = Late()  # is deleted while the interpreter shuts down
"""


@pytest.mark.parametrize(("module", "exit_code"), [("server", 0), ("client", 143)])
def test_blocked_signal_ends_a_program(module: str, exit_code: int) -> None:
    """A signal that the parent blocked ends a program; a signal at its shutdown changes nothing."""
    with refused() as (host, port):
        env = client_environment((host, port), DEADLINE="0") | {"HOST": host, "PORT": "0"}
        blocked = ("env", "--block-signal=INT,TERM")
        with Program(module, env, prefix=blocked, before=LATE) as program:
            program.wait_for("listening|waiting for")
            program.signal(signal.SIGTERM)

            assert program.outcome().exit_code == exit_code


@pytest.mark.parametrize("host", ["", "server.example"], ids=["refused", "looking up"])
def test_signal_after_the_end_changes_nothing(host: str, looking_up: Start) -> None:
    """A signal while the interpreter shuts down does not change the client's exit code."""
    env = {"before": LATE, "DEADLINE": "0.1"}
    with (
        refused() as address,
        looking_up(**env) if host else client(address, **env) as program,
    ):
        assert program.outcome().exit_code == (68 if host else 69)
