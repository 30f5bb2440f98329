"""What these tests need: root, on Linux, where it may make networks."""

import os
import subprocess
import sys

import pytest

TRIAL = "ip link add type veth && iptables --list-rules && nsenter -V && setpriv -V"


@pytest.fixture(scope="package", autouse=True)
def _networks() -> None:
    if sys.platform != "linux" or os.geteuid():
        pytest.skip("left out: only root on Linux can make networks of its own")
    trial = subprocess.run(
        ["unshare", "--net", "sh", "-c", TRIAL], capture_output=True, text=True, check=False
    )
    if trial.returncode:
        pytest.skip(f"no network of our own: {trial.stderr.strip()}")
