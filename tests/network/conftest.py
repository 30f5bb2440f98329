"""What these tests need: root, on Linux, where it may make networks."""

import os
import subprocess
import sys

import pytest

TRIAL = "ip link add type veth && iptables --list-rules && nsenter -V && setpriv -V"


def why_not() -> str:
    """Say what keeps this machine from making networks; nothing if nothing does."""
    if sys.platform != "linux":
        return f"network namespaces are Linux's, this is {sys.platform}"
    if os.geteuid():
        return "only root may make network namespaces"
    trial = subprocess.run(
        ["unshare", "--net", "sh", "-c", TRIAL], capture_output=True, text=True, check=False
    )
    return trial.stderr.strip() or "it fails" if trial.returncode else ""


@pytest.fixture(scope="package", autouse=True)
def _networks() -> None:
    if why := why_not():
        pytest.skip(f"no network of our own: {why}")
