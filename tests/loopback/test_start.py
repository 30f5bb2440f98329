"""Arguments, bad values, and the log: what is the same for every program."""

import ast
import errno
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.config import ClientConfig, Environment, ServerConfig
from app.services import SERVICES
from tests.lib.peers import Address, own_address, refused
from tests.lib.programs import Outcome, Program, Server, redirected, run_client
from tests.lib.support import ROOT, linux_only
from tests.loopback.test_client import KEYS

CONFIGS = {"server": ServerConfig, "client": ClientConfig}
NO_STDERR = pytest.mark.parametrize(
    "redirection", ["2>&-", pytest.param("2>/dev/full", marks=linux_only)], ids=["closed", "full"]
)


def run(program: str, *arguments: str, redirection: str = "", **env: str) -> Outcome:
    """Run a program to its end."""
    prefix = redirected(redirection) if redirection else ()
    with Program(program, env, *arguments, prefix=prefix) as process:
        return process.outcome()


@pytest.mark.parametrize(
    ("program", "arguments"),
    [("server", "--verbose"), ("healthcheck", "-h"), ("client", "--help me"), ("client", "")],
)
def test_unknown_argument_is_answered_with_usage(program: str, arguments: str) -> None:
    """Whatever is not --help alone ends with 64 and the usage on stderr, without JSON."""
    exit_code, stdout, stderr = run(program, *arguments.split(" "), OUTPUT="json")

    assert (exit_code, stdout) == (64, "")
    assert stderr.startswith("usage: ")


@pytest.mark.parametrize("program", ["server", "client"])
def test_help_names_every_variable(program: str) -> None:
    """--help goes to stdout, and names every variable and its default, whatever their values.

    For the client it lists the protocols too.
    """
    env = {"PORT": "bad", "OUTPUT": "bad", "SERVER_PROTOCOL": "http"}
    exit_code, stdout, stderr = run(program, "--help", **env)

    assert (exit_code, stderr) == (0, "")
    assert stdout.startswith("usage: ")
    config = CONFIGS[program]
    defaults = dict(re.findall(r"(?m)^  ([A-Z_]+)=(.*?)  +\S", stdout))
    assert [*defaults] == [name.upper() for name in vars(config(Environment({})))]
    assert vars(config(Environment(defaults))) == vars(config(Environment({})))
    assert (stdout.splitlines()[-1].strip() == ", ".join(SERVICES)) == (program == "client")


def test_help_names_the_command_as_it_was_called() -> None:
    """Both ways to call a package's program are what its usage says."""
    for words in ("-m app client", "-m app.client"):
        command = [sys.executable, *words.split(), "--help"]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert said.stdout.startswith(f"usage: python3 {words} [--help")


def test_older_python_is_named() -> None:
    """Before 3.11 the command says what it needs; what it reads by then, Python 3.6 can parse."""
    for name in ("__init__.py", "__main__.py"):
        ast.parse((ROOT / "app" / name).read_text(), feature_version=(3, 6))
    old = "import sys; sys.version_info = (3, 10); from app.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", old], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert done.stderr.startswith("tcp-pair needs Python 3.11 or later; this is ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("program", "exit_code"), [("server", 78), ("client", 78), ("healthcheck", 1)]
)
def test_bad_value_stops_a_program_before_any_socket(program: str, exit_code: int) -> None:
    """One line names the value, whatever is in it; nothing listens then, and nothing connects."""
    bad = "\na\nERROR b\r\n\x1b[2J\u202e%s{}\udcff\udc80é"
    shown = r"\na\nERROR b\r\n\x1b[2J\u202e%s{}\xff\x80é"
    with socket.create_server((own_address(), 0)) as listener:
        listener.setblocking(False)
        host, port = listener.getsockname()
        address = {"HOST": host, "PORT": str(port), "SERVER_HOST": host, "SERVER_PORT": str(port)}
        outcome = run(program, **address, LOG_LEVEL=bad, DEADLINE="1")

        # Had it tried to listen on this port, the server would have ended with 71.
        assert outcome[:2] == (exit_code, "")
        line = outcome.stderr.removesuffix("\n")
        assert line.partition(" is not valid: ")[0].endswith(f"Z ERROR LOG_LEVEL='{shown}'")
        assert line.isprintable()
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_bad_value_has_its_json() -> None:
    """A bad value is a JSON object too, unless it is that of OUTPUT, which selects none."""
    outcome = run("client", OUTPUT="json", REPLY="\\")
    result = outcome.json

    assert outcome.exit_code == 78
    assert result["error"].startswith("REPLY='\\' is not valid")
    known = {"status": "config", "exit_code": 78, "attempts": 0, "waited_s": 0}
    assert [*result] == KEYS
    assert result == dict.fromkeys(KEYS) | known | {"error": result["error"]}
    assert run("client", OUTPUT="JSON")[:2] == (78, "")


# The log


def test_log_is_in_utc_with_milliseconds() -> None:
    """A time zone does not change the log's times, whose milliseconds have three digits."""
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


@NO_STDERR
@pytest.mark.parametrize(("program", "exit_code"), [("client", 64), ("healthcheck", 1)])
def test_unwritten_usage_changes_no_exit_code(
    program: str, exit_code: int, redirection: str
) -> None:
    """A stderr that takes nothing is replaced neither by stdout nor by another exit code."""
    arguments = ["--verbose"] if program == "client" else []

    outcome = run(program, *arguments, redirection=redirection, PORT="http")

    assert outcome == (exit_code, "", "")


@NO_STDERR
def test_unwritten_log_changes_nothing(server: Server, redirection: str) -> None:
    """A client whose log cannot be written has its result, and a server serves and stops."""
    prefix = redirected(redirection)
    assert run_client(server.address, prefix=prefix) == (0, "SERVER OK - STATUS 200\n", "")

    with refused() as address:
        host, port = address
    with Program("server", {"HOST": host, "PORT": str(port)}, prefix=prefix) as silent:
        assert run_client(address).exit_code == 0
        silent.process.terminate()

        assert silent.outcome() == (0, "", "")


# Addresses that the server cannot listen on


def cannot_listen(address: Address, prefix: tuple[str, ...] = ()) -> str:
    """Have a server listen there without success; return why."""
    # Development mode would tell of a socket that is left open.
    env = {"HOST": address[0], "PORT": str(address[1]), "PYTHONDEVMODE": "1"}
    with Program("server", env, prefix=prefix) as program:
        exit_code, stdout, stderr = program.outcome()
    assert (exit_code, stdout, stderr.count("\n")) == (71, "", 1)
    return stderr.partition(" ERROR cannot listen on {}:{}: ".format(*address))[2].rstrip("\n")


def test_address_in_use_is_named(server: Server) -> None:
    """A second server on the same address ends with 71, the address and the reason."""
    assert cannot_listen(server.address) == os.strerror(errno.EADDRINUSE)


def test_address_of_another_host_is_named() -> None:
    """An address that this host does not have ends the server with 71, and is the reason."""
    # From TEST-NET-1, RFC 5737: nobody has it.
    assert cannot_listen(("192.0.2.1", 8888)) == "not an address of this host"


def test_privileged_port_is_named() -> None:
    """A port that only the privileged may listen on ends the server with 71, and that is why."""
    limit = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if not limit.exists() or int(limit.read_text()) < 2:
        pytest.skip("every port is for everybody here")
    # Root is only as privileged as its capabilities.
    drop = ("setpriv", "--bounding-set=-net_bind_service") if os.geteuid() == 0 else ()
    assert cannot_listen((own_address(), 1), drop) == os.strerror(errno.EACCES)
