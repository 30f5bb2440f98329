"""What the shell scripts share."""

import os
import signal
import subprocess

import pytest

from tests.support import ROOT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_script_ends(number: signal.Signals) -> None:
    """A signal ends a script in the midst of a command that takes it for a failure of its own."""
    command = "trap 'exit 1' INT TERM; echo ready; while :; do sleep 0.05; done"
    script = f'. scripts/lib.sh; bash -c "{command}" || echo went on'
    with subprocess.Popen(
        ["bash", "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, number)

        assert process.stdout.read() == ""
    assert process.returncode == 128 + number
