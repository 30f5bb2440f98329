"""Arguments, bad values and the log, which are the same for every program."""

import ast
import errno
import os
import subprocess
import sys

import pytest

from app.services import SERVICES
from tests.lib.peers import refused
from tests.lib.programs import Outcome, Program, Server, redirected, run_client
from tests.lib.support import ROOT, linux_only
from tests.loopback.test_client import KEYS


def run(program: str, *arguments: str, redirection: str = "", **env: str) -> Outcome:
    """Run a program to its end."""
    prefix = redirected(redirection) if redirection else ()
    with Program(program, env, *arguments, prefix=prefix) as process:
        return process.outcome()


@pytest.mark.parametrize("program", ["server", "healthcheck", "client"])
@pytest.mark.parametrize("arguments", ["--help", "--verbose", "--help me", ""])
def test_arguments_print_the_usage(program: str, arguments: str) -> None:
    """`--help` prints the usage on stdout; other arguments print it on stderr and end with 64."""
    env = {"PORT": "bad", "SERVER_PROTOCOL": "bad", "OUTPUT": "json"}
    exit_code, stdout, stderr = run(program, *arguments.split(" "), **env)

    said, silent = (stdout, stderr) if arguments == "--help" else (stderr, stdout)
    assert (exit_code, silent) == (0 if arguments == "--help" else 64, "")
    assert said.startswith("usage: ")
    assert (said.splitlines()[-1].strip() == ", ".join(SERVICES)) == (program == "client")


def test_help_names_the_command_as_it_was_called() -> None:
    """The usage shows the command as the user typed it."""
    for words in ("-m app client", "-m app.client", "app client"):
        command = [sys.executable, *words.split(), "--help"]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert said.stdout.startswith(f"usage: python3 {words} [--help")


def test_older_python_gets_an_error_line() -> None:
    """Python 3.6 to 3.10 prints one line that names the required version."""
    for name in ("__init__.py", "__main__.py"):
        ast.parse((ROOT / "app" / name).read_text(), feature_version=(3, 6))
    with Program("__main__", {}, before="sys.version_info = (3, 10)") as program:
        exit_code, _, stderr = program.outcome()

    assert (exit_code, stderr.count("\n")) == (1, 1)
    assert stderr.startswith("tcp-pair needs Python 3.11 or later; this is ")


@pytest.mark.parametrize(
    ("program", "exit_code"), [("server", 78), ("client", 78), ("healthcheck", 1)]
)
def test_bad_value_stops_a_program(program: str, exit_code: int) -> None:
    """A bad value stops a program at once with one line that shows the value, escaped."""
    bad = "\na\nERROR b\r\n\x1b[2J\u202e%s{}\udcff\udc80é"
    shown = r"\na\nERROR b\r\n\x1b[2J\u202e%s{}\xff\x80é"
    # From TEST-NET-1, RFC 5737: a server that tried to listen there would end with 71.
    outcome = run(program, HOST="192.0.2.1", SERVER_HOST="127.0.0.1", DEADLINE="1", LOG_LEVEL=bad)

    assert outcome[:2] == (exit_code, "")
    line = outcome.stderr.removesuffix("\n")
    assert line.partition(" is not valid: ")[0].endswith(f"Z ERROR LOG_LEVEL='{shown}'")
    assert line.isprintable()


def test_bad_value_is_reported_as_json() -> None:
    """A bad value is reported as a JSON object too, except a bad value of OUTPUT itself."""
    outcome = run("client", OUTPUT="json", REPLY="\\")
    error = outcome.json["error"]

    assert outcome.exit_code == 78
    assert error.startswith("REPLY='\\' is not valid")
    known = {"status": "config", "exit_code": 78, "attempts": 0, "waited_s": 0, "error": error}
    assert outcome.json == dict.fromkeys(KEYS) | known
    assert run("client", OUTPUT="JSON")[:2] == (78, "")


def test_log_is_in_utc_with_milliseconds() -> None:
    """Log times are in UTC in every time zone, and their milliseconds have three digits."""
    at_an_early_time = """
import logging
def make(*arguments, factory=logging.getLogRecordFactory(), **more):
    record = factory(*arguments, **more)
    record.created, record.msecs = 1.007, 7.0
    return record
logging.setLogRecordFactory(make)
"""
    with Program("server", {"PORT": "", "TZ": "XYZ-9"}, before=at_an_early_time) as program:
        assert program.outcome().stderr.startswith("1970-01-01T00:00:01.007Z ERROR PORT=''")


@pytest.mark.parametrize("redirection", ["2>&-", pytest.param("2>/dev/full", marks=linux_only)])
def test_unwritten_log_changes_nothing(server: Server, redirection: str) -> None:
    """The programs work as usual if their log cannot be written.

    The lost message does not go to stdout, and does not change the exit code.
    """
    assert run("client", "--verbose", redirection=redirection) == (64, "", "")
    assert run("healthcheck", redirection=redirection, PORT="http") == (1, "", "")
    prefix = redirected(redirection)
    assert run_client(server.address, prefix=prefix) == (0, "SERVER OK - STATUS 200\n", "")

    with refused() as (host, port):
        pass
    with Server(prefix=prefix, HOST=host, PORT=str(port)) as silent:
        assert run_client((host, port)).exit_code == 0

        assert silent.stop() == (0, "", "")


def test_unusable_address_ends_the_server_with_71(server: Server) -> None:
    """An address in use, or of another host, ends the server with 71 and the reason."""
    # The second is from TEST-NET-1, RFC 5737: nobody has it.
    reasons = {
        server.address: os.strerror(errno.EADDRINUSE),
        ("192.0.2.1", 8888): "not an address of this host",
    }
    for (host, port), why in reasons.items():
        # Python's development mode would report a socket that is left open.
        exit_code, stdout, stderr = run("server", HOST=host, PORT=str(port), PYTHONDEVMODE="1")
        assert (exit_code, stdout, stderr.count("\n")) == (71, "", 1)
        assert stderr.endswith(f" ERROR cannot listen on {host}:{port}: {why}\n")
