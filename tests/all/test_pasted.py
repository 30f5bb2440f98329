"""The commands of the documents that need Docker, run word for word in a clone."""

import os
import re
import signal
from contextlib import suppress

import pytest

from tests.lib.commands import Command, commands_for, pasted
from tests.lib.containers import NewPair, copy_project
from tests.lib.support import PATIENCE

COMMANDS = commands_for("docker")
# The expected output, by a text in the command; the first match counts.
SEEN = {
    "SERVER_PORT=9999": r'"exit_code": 69, .*"cause": "ECONNREFUSED", "attempts": 1, ',
    "MESSAGE=água": r"5 bytes(?s:.*): água\n(?s:.*)SERVER OK - STATUS 200\n",
    "": r"SERVER OK - STATUS 200\n",
}
# These commands run until Ctrl-C, which the test sends after that output.
ENDLESS = r"docker compose up(?! --detach)"


@pytest.mark.parametrize("command", COMMANDS, ids=range(len(COMMANDS)))
def test_command_works_as_it_stands(command: Command, new_pair: NewPair) -> None:
    """A command prints the expected reply, ends with 0 and leaves no container."""
    seen = next(seen for what, seen in SEEN.items() if what in command.text)
    endless = re.search(ENDLESS, command.text)
    pair = new_pair()
    pair.compose("rm", "--force")
    copy_project(pair.folder, "Makefile packets scripts")
    shown = ""
    with pasted(f"exec 2>&1\n{command.text}", pair.folder, **os.environ) as process:
        assert process.stdout
        for line in process.stdout:
            shown += line
            if endless and re.search(seen, shown):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGINT)
        process.wait(PATIENCE)
    if endless:
        pair.compose("down")

    assert re.search(seen, shown), shown
    assert endless or process.returncode == 0, shown
    assert pair.what_is_there() == []
