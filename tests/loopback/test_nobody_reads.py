"""What holds the programs up: pipes that nobody reads, and signals that come meanwhile."""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.lib.name_server import silent_name_server
from tests.lib.peers import REPLY, listening, own_address, refused
from tests.lib.programs import Program, client, client_environment, full_pipe
from tests.lib.support import PATIENCE, linux_only, until
from tests.loopback.test_client import says

pytestmark = linux_only

OFTEN = "program.REPORT_INTERVAL = 0.0005"


def wait_until_held_up(program: Program, call: str = "pipe_w") -> None:
    """Wait until the kernel has a program sleep in a write to a pipe, or in such a call."""
    wchan = Path(f"/proc/{program.process.pid}/wchan")
    until(wchan.read_text, is_right=re.compile(call).search, awaited=f"a sleep in {call}")


def interruptions(program: Program) -> int:
    """Count how often the kernel has woken a program."""
    status = Path(f"/proc/{program.process.pid}/status").read_text()
    return int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.M)[0])


def interrupt(program: Program) -> None:
    """Signal a program that is held up, and wait until it is again, or has ended."""
    before = interruptions(program)
    program.signal(signal.SIGTERM)
    until(lambda: program.process.poll() is not None or interruptions(program) > before)


@contextmanager
def held_up(
    stream: str, module: str, env: dict[str, str], *arguments: str, before: str = ""
) -> Iterator[tuple[Program, IO[bytes], int]]:
    """Run a program whose stdout or stderr is a full pipe until that holds it up.

    Comes with the other end of the pipe, and how many bytes are in it that are not the program's.
    """
    with full_pipe() as (pipe, end, full):
        stdout, stderr = (end if name == stream else None for name in ("stdout", "stderr"))
        with Program(
            module, env, *arguments, before=before, stdout=stdout, stderr=stderr
        ) as program:
            os.close(end)
            wait_until_held_up(program)
            yield program, pipe, full


@pytest.mark.parametrize(
    ("env", "arguments"),
    [({"PORT": "0"}, ()), ({"PORT": "http"}, ()), ({}, ("--verbose",))],
    ids=["listening", "bad value", "usage"],
)
def test_the_third_signal_ends_a_server_that_its_log_holds_up(
    env: dict[str, str], arguments: tuple[str, ...]
) -> None:
    """From its very first line on, no log that nobody reads takes SIGKILL to end."""
    with held_up("stderr", "server", {"HOST": own_address()} | env, *arguments) as (server, *_):
        for _ in range(3):
            interrupt(server)

        assert server.process.wait(PATIENCE) == 0


def test_a_signal_before_it_serves_is_not_lost() -> None:
    """A signal that comes while its first line is held up stops the server in order."""
    env = {"HOST": own_address(), "PORT": "0"}
    with held_up("stderr", "server", env) as (server, pipe, full):
        server.signal(signal.SIGTERM)
        log = pipe.read()[full:].splitlines()

        assert server.outcome().exit_code == 0
        assert [line.split()[2] for line in log] == [b"listening", b"stopped:"]


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_signal_ends_a_client_whose_reply_nobody_takes(output: str) -> None:
    """A stdout that is full does not hold up a signal, and the exit code is the decided one."""
    with (
        listening(says(REPLY)) as address,
        held_up("stdout", "client", client_environment(address, OUTPUT=output)) as (program, *_),
    ):
        program.signal(signal.SIGTERM)

        assert program.outcome().exit_code == 0


@contextmanager
def interrupted_and_held_up() -> Iterator[tuple[Program, IO[bytes], int]]:
    """Run a client that waits, until a SIGTERM holds it up in writing the result."""
    env = {"OUTPUT": "json", "DEADLINE": "0"}
    with (
        refused() as address,
        full_pipe() as (pipe, stdout, full),
        Program("client", client_environment(address, **env), stdout=stdout) as program,
    ):
        os.close(stdout)
        program.wait_for("waiting for")
        program.signal(signal.SIGTERM)
        wait_until_held_up(program)
        yield program, pipe, full


def test_a_later_signal_ends_a_client_whose_interruption_nobody_takes() -> None:
    """The first signal decides; where its result cannot be written, the second one ends it."""
    with interrupted_and_held_up() as (program, *_):
        program.signal(signal.SIGINT)

        assert program.outcome().exit_code == 143


def test_a_result_that_is_taken_late_is_one() -> None:
    """Whoever reads stdout late, as one more signal comes, finds one result, whole."""
    with interrupted_and_held_up() as (program, pipe, full):
        program.freeze()
        pipe.read(full)
        program.signal(signal.SIGTERM)
        program.thaw()

        assert json.loads(pipe.read())["exit_code"] == 143
        assert program.outcome().exit_code == 143


def test_a_full_pipe_that_does_not_block_is_waited_for() -> None:
    """Where somebody who shares the pipe has set O_NONBLOCK, the result comes once it is read."""
    with listening(says(REPLY)) as address, full_pipe() as (pipe, stdout, full):
        os.set_blocking(stdout, False)
        with Program("client", client_environment(address), stdout=stdout) as program:
            os.close(stdout)
            program.wait_for("right reply")
            wait_until_held_up(program, "poll|select")

            assert pipe.read()[full:] == REPLY + b"\n"
            assert program.outcome().exit_code == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_without_end_leave_one_result(number: int) -> None:
    """Signals that come for as long as the client lives neither repeat nor cut its result."""
    with refused() as address, client(address, OUTPUT="json", DEADLINE="0") as program:
        program.wait_for("waiting for")
        give_up = time.monotonic() + PATIENCE
        while program.process.poll() is None and time.monotonic() < give_up:
            program.signal(number)
        outcome = program.outcome()

        assert outcome.exit_code == 128 + number == outcome.json["exit_code"]
        assert "Traceback" not in outcome.stderr


def test_a_look_up_that_hangs_takes_no_signal(tmp_path: Path) -> None:
    """Beside a silent name server and a stdout that nobody reads there is one result too."""
    with full_pipe() as (pipe, stdout, full):
        with silent_name_server(tmp_path, DEADLINE="0", stdout=stdout) as program:
            os.close(stdout)
            program.wait_for("asked")
            program.signal(signal.SIGTERM)
            wait_until_held_up(program)
            program.signal(signal.SIGTERM)
            program.process.wait(PATIENCE)

        assert pipe.read()[full:].count(b"\n") <= 1


def test_reports_do_not_nest() -> None:
    """A log that nobody reads holds one report up, however often the timer interrupts it."""
    with (
        refused() as address,
        held_up("stderr", "client", client_environment(address, DEADLINE="0"), before=OFTEN) as (
            program,
            *_,
        ),
    ):
        before = interruptions(program)
        # As deep as Python goes, if each held the one before up.
        until(lambda: interruptions(program) > before + 400, awaited="400 reports")
        program.signal(signal.SIGTERM)

        assert program.outcome().exit_code == 143


def test_nobody_waits_after_the_verdict() -> None:
    """The last line of the log is the verdict, and the timer ends with it."""
    with refused() as address, client(address, before=OFTEN, DEADLINE="0.2") as program:
        outcome = program.outcome()

    assert outcome.exit_code == 69
    assert " ERROR no right reply: " in outcome.stderr.splitlines()[-1]


def test_a_silent_name_server_does_not_hold_up_the_deadline(tmp_path: Path) -> None:
    """The deadline passes on time, as `unresolved`; an alarm at the very end ends nothing."""
    with silent_name_server(tmp_path, before=OFTEN, DEADLINE="0.2") as program:
        outcome = program.outcome()

    assert (outcome.exit_code, outcome.json["status"]) == (68, "unresolved")
    assert 0.2 <= outcome.json["waited_s"] < 0.4
    # The rest is the start of the interpreter and of the network.
    assert outcome.seconds < 0.2 + 1.5


LATE = """
import os

class Late:
    def __del__(self, kill=os.kill, process=os.getpid()):
        kill(process, 15)

late = Late()  # goes when the interpreter takes itself apart
"""


@pytest.mark.parametrize(("module", "exit_code"), [("server", 0), ("client", 69)])
def test_a_signal_after_the_last_word_changes_nothing(module: str, exit_code: int) -> None:
    """What comes when the handlers are gone does not become the exit code."""
    with refused() as address:
        env = client_environment(address, DEADLINE="0.1") | {"HOST": own_address(), "PORT": "0"}
        with Program(module, env, before=LATE) as program:
            program.wait_for("listening|waiting for")
            if module == "server":
                program.signal(signal.SIGTERM)

            assert program.outcome().exit_code == exit_code


@pytest.mark.parametrize(("module", "exit_code"), [("server", 0), ("client", 143)])
def test_an_inherited_mask_does_not_count(module: str, exit_code: int) -> None:
    """Whoever starts a program with its signals blocked can still end it."""
    block = "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [2, 15])"
    prefix = (sys.executable, "-c", f"{block}; os.execv(sys.argv[1], sys.argv[1:])")
    with refused() as (host, port):
        env = client_environment((host, port), DEADLINE="0") | {"HOST": host, "PORT": "0"}
        with Program(module, env, prefix=prefix) as program:
            program.wait_for("listening|waiting for")
            program.signal(signal.SIGTERM)

            assert program.outcome().exit_code == exit_code
