"""The commands that a reader may paste, run word for word."""

import itertools
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.lib.commands import (
    COMMANDS,
    EXCEPTIONS,
    SURROUNDINGS,
    Command,
    commands_for,
    pasted,
    shape,
    surroundings,
)
from tests.lib.support import PATIENCE, ROOT, linux_only

NAMESPACE = "unshare --user --map-root-user --pid --fork"
LOOPBACK = commands_for("loopback")
REUSE = "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
TIMEOUT = "client_socket.settimeout(0.5)\n            "
_networks = itertools.count()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with the programs of a clone."""
    shutil.copytree(ROOT / "docs" / "twenty_lines", tmp_path / "docs" / "twenty_lines")
    for name in ("Makefile", "app", "scripts"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def output(command: Command, folder: Path) -> str:
    """Paste a command; return stdout and stderr.

    Tests run in parallel, so each test has loopback addresses of its own.
    """
    if NAMESPACE in command.text:
        tried = subprocess.run([*NAMESPACE.split(), "true"], capture_output=True, check=False)
        if tried.returncode:
            pytest.skip(f"no PID namespace here: {tried.stderr.decode().strip()}")
    network = f"127.{100 + os.getpid() % 150}.{200 + next(_networks) % 55}."
    text = f"exec 2>&1\n{command.setup}{command.text}".replace("127.0.0.", network)
    with pasted(text, folder) as bash:
        return bash.communicate(timeout=PATIENCE)[0]


def test_every_command_is_run_or_excepted() -> None:
    """Each command has a test that runs it, or a reason why no test does."""
    places = [*SURROUNDINGS, *EXCEPTIONS.values()]

    assert [text for text, command in COMMANDS.items() if surroundings(command) not in places] == []
    assert all(commands_for(place) for place in SURROUNDINGS)


@linux_only
@pytest.mark.slow
@pytest.mark.parametrize("command", LOOPBACK, ids=range(len(LOOPBACK)))
def test_command_prints_what_the_document_shows(command: Command, folder: Path) -> None:
    """A command prints the output below it in the document, or else the server's reply."""
    seen = output(command, folder)

    if command.shown or re.match(r"\w+\(\) \{", command.text):
        assert shape(seen) == shape(command.shown)
    else:
        assert "SERVER OK - STATUS 200\n" in seen


@linux_only
@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "program", "call", "line", "changed"),
    [
        (6, "server", "s.bind", REUSE, "SERVER OK - STATUS 200\n124\n"),
        (7, "client", "client_socket.connect", TIMEOUT, "TimeoutError: timed out\n1\n75\n"),
        (2, "client", "client_socket.connect", TIMEOUT, ""),
        (9, "client", "client_socket.connect", TIMEOUT, ""),
    ],
)
def test_exercise_changes_its_experiments(
    number: int, program: str, call: str, line: str, changed: str, folder: Path
) -> None:
    """The line of an exercise changes the experiments that its solution names, and no other."""
    path = folder / "docs" / "twenty_lines" / f"{program}.py"
    path.write_text(path.read_text().replace(call, line + call))
    experiment = [command for command in LOOPBACK if command.setup][number - 1]
    seen = output(experiment._replace(text=experiment.text.replace(' "-m app.server"', "")), folder)

    assert seen.endswith(changed) if changed else seen == experiment.shown
