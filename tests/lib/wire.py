"""Hosts as network namespaces of this machine.

A host lives as long as a process in it. The process ends when its stdin is closed, which happens
at the latest when the tests end. Links, firewall rules and mounts end with the host.
"""

import os
import subprocess
import sys
from typing import Self

import pytest

from tests.lib.containers import skip_or_fail
from tests.lib.support import PATIENCE

# This is the PID outside the namespace, because /proc is still that of the machine.
_HOLD = """
read -r pid rest </proc/self/stat
ip link set lo up
{}
echo "$pid"
cat
"""


def need_hosts(trial: str, *options: str) -> None:
    """Skip tests if these shell commands fail in a namespace."""
    if sys.platform != "linux" or os.geteuid():
        pytest.skip("left out: only root on Linux can have several hosts on one machine")
    command = ["unshare", "--net", *options, "sh", "-ec", trial]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode:
        skip_or_fail(f"no second host can be had here: {tried.stderr.strip()}")


class Host:
    """A network namespace, with more options of unshare(1) and shell commands that set it up."""

    def __init__(self, *options: str, setup: str = "") -> None:
        # Ctrl-C must not reach the process.
        self._process = subprocess.Popen(
            ["unshare", "--net", *options, "sh", "-ec", _HOLD.format(setup)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        assert self._process.stdout
        self.pid = int(self._process.stdout.readline())
        # The processes in it must not outlive the tests either.
        self.prefix = "nsenter", f"--net=/proc/{self.pid}/ns/net", "setpriv", "--pdeathsig=KILL"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=PATIENCE)

    def run(self, commands: str) -> None:
        """Run shell commands on the host; they must not fail."""
        subprocess.run([*self.prefix, "sh", "-ec", commands], check=True, timeout=PATIENCE)
