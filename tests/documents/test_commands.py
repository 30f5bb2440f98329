"""Every command that a document gives to paste is run, as it stands."""

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.lib.commands import (
    COMMANDS,
    EXCEPTIONS,
    SURROUNDINGS,
    Command,
    commands_for,
    shape,
    surroundings,
)
from tests.lib.support import PATIENCE, ROOT, linux_only

NAMESPACE = "unshare --user --map-root-user --pid --fork"
LOOPBACK = commands_for("loopback")
TWENTY_LINES = [command for command in LOOPBACK if command.setup]
_networks = itertools.count()
in_bash = pytest.mark.parametrize("command", LOOPBACK, ids=range(len(LOOPBACK)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder that has the programs, as a clone has them."""
    shutil.copytree(ROOT / "docs" / "twenty_lines", tmp_path / "docs" / "twenty_lines")
    for name in ("Makefile", "app", "scripts"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def output(command: Command, folder: Path) -> str:
    """Paste a command into bash; return what one sees.

    Only the addresses are others, of loopback too: tests run beside each other.
    """
    if NAMESPACE in command.text:
        tried = subprocess.run([*NAMESPACE.split(), "true"], capture_output=True, check=False)
        if tried.returncode:
            pytest.skip(f"no PID namespace here: {tried.stderr.decode().strip()}")
    network = f"127.{100 + os.getpid() % 150}.{200 + next(_networks) % 55}."
    with subprocess.Popen(
        ["bash", "-c", (command.setup + command.text).replace("127.0.0.", network)],
        cwd=folder,
        env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as bash:
        try:
            return bash.communicate(timeout=PATIENCE)[0]
        finally:
            with suppress(ProcessLookupError):
                os.killpg(bash.pid, signal.SIGKILL)


def experiment(number: int) -> Command:
    """Return an experiment of the twenty lines, without the half that is not theirs."""
    command = TWENTY_LINES[number - 1]
    return command._replace(text=command.text.replace(' "-m app.server"', ""))


def test_every_command_is_run_or_excepted() -> None:
    """Each has surroundings in which a test runs it, or a reason why none does."""
    places = [*SURROUNDINGS, *EXCEPTIONS.values()]

    assert [text for text, command in COMMANDS.items() if surroundings(command) not in places] == []
    assert all(commands_for(place) for place in SURROUNDINGS)


@linux_only
@pytest.mark.slow
@in_bash
def test_what_is_shown_is_what_one_sees(command: Command, folder: Path) -> None:
    """A command prints what the document has below it; without that, the reply."""
    seen = output(command, folder)

    if command.shown or re.match(r"\w+\(\) \{", command.text):
        assert shape(seen) == shape(command.shown)
    else:
        assert "SERVER OK - STATUS 200\n" in seen


@linux_only
@pytest.mark.slow
def test_the_first_exercise(folder: Path) -> None:
    """SO_REUSEADDR before bind is the line that lets the twenty lines restart."""
    server = folder / "docs" / "twenty_lines" / "server.py"
    line = "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
    server.write_text(server.read_text().replace("s.bind", f"{line}s.bind"))

    assert output(experiment(6), folder) == "SERVER OK - STATUS 200\n124\n"


@linux_only
@pytest.mark.slow
@pytest.mark.parametrize(("number", "changed"), [(2, False), (7, True), (9, False)])
def test_the_second_exercise(number: int, changed: bool, folder: Path) -> None:
    """A timeout of the client's changes only the experiment in which nothing comes."""
    client = folder / "docs" / "twenty_lines" / "client.py"
    line = "client_socket.settimeout(1)\n            "
    client.write_text(
        client.read_text().replace("client_socket.connect", f"{line}client_socket.connect")
    )
    seen = output(experiment(number), folder)

    assert ("TimeoutError: timed out\n1\n75\n" in seen) == changed
    assert (seen == experiment(number).shown) == (not changed)
