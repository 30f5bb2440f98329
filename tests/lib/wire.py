"""Hosts as namespaces of this machine.

Each lives as long as a process in it, which ends with its stdin, and so with the tests, in
whatever way they end. Links, firewall rules and mounts go with it.
"""

import os
import subprocess
import sys
from typing import Self

import pytest

from tests.lib.containers import skip_or_fail
from tests.lib.support import PATIENCE

# Its PID is the one outside, as long as /proc is still the machine's.
_HOLD = """
read -r pid rest </proc/self/stat
ip link set lo up
{}
echo "$pid"
cat
"""


def need_hosts(trial: str, *options: str) -> None:
    """Skip tests if commands of a shell fail in a namespace."""
    if sys.platform != "linux" or os.geteuid():
        pytest.skip("left out: only root on Linux can have several hosts on one machine")
    command = ["unshare", "--net", *options, "sh", "-ec", trial]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode:
        skip_or_fail(f"no second host can be had here: {tried.stderr.strip()}")


class Host:
    """A network namespace, and what the options of unshare(1) and commands of a shell add."""

    def __init__(self, *options: str, setup: str = "") -> None:
        # Out of reach of Ctrl-C.
        self._process = subprocess.Popen(
            ["unshare", "--net", *options, "sh", "-ec", _HOLD.format(setup)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        assert self._process.stdout
        self.pid = int(self._process.stdout.readline())
        # What runs in it must not outlive the tests either.
        self.prefix = "nsenter", f"--net=/proc/{self.pid}/ns/net", "setpriv", "--pdeathsig=KILL"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=PATIENCE)

    def run(self, commands: str) -> None:
        """Run commands of a shell in it, which must not fail."""
        subprocess.run([*self.prefix, "sh", "-ec", commands], check=True, timeout=PATIENCE)
