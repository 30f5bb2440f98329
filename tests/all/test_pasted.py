"""The commands of the documents that need Docker, run as they stand in a clone."""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.lib.commands import Command, commands_for
from tests.lib.containers import NewPair, copy_project

COMMANDS = commands_for("docker")
# What tells that a command did something, by a pattern in it; the first that fits.
SEEN = {
    "SERVER_PORT=9999": r'"exit_code": 69, .*"cause": "ECONNREFUSED", "attempts": 1, ',
    "MESSAGE=água": r"5 bytes(?s:.*): água\n(?s:.*)SERVER OK - STATUS 200\n",
    "": r"SERVER OK - STATUS 200\n",
}
# These go on until Ctrl-C, which is pressed once that has been seen.
ENDLESS = r"docker compose up(?! --detach)"


@pytest.mark.parametrize("command", COMMANDS, ids=range(len(COMMANDS)))
def test_a_command_as_it_stands(command: Command, new_pair: NewPair) -> None:
    """It does what it says, ends with 0 and leaves nothing."""
    seen = next(seen for what, seen in SEEN.items() if what in command.text)
    endless = re.search(ENDLESS, command.text)
    pair = new_pair()
    pair.compose("rm", "--force")
    copy_project(pair.folder, "Makefile packets scripts")
    shown = ""
    with subprocess.Popen(
        ["bash", "-c", command.text],
        cwd=pair.folder,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout
        for line in process.stdout:
            shown += line
            if endless and re.search(seen, shown):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGINT)
    if endless:
        pair.compose("down")

    assert re.search(seen, shown), shown
    assert endless or process.returncode == 0, shown

    assert pair.what_is_there() == []
