"""What Swarm tests need: root, namespaces, and the programs that run hosts in them."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.lib.containers import skip_or_fail
from tests.lib.swarm import Host, swarm

# Docker's programs, and links between hosts.
TRIAL = """
for program in docker dockerd containerd runc iptables nsenter; do
    command -v $program >/dev/null || { echo "$program is not installed" >&2; exit 1; }
done
ip link add wire type bridge
ip link add port type veth peer name eth0
ip link add vx type vxlan id 42 dstport 4789
"""


@pytest.fixture(scope="session", autouse=True)
def _several_hosts() -> None:
    """Skip these tests if this machine cannot have several hosts."""
    if sys.platform != "linux" or os.geteuid():
        pytest.skip("left out: only root on Linux can have several hosts on one machine")
    spaces = ["unshare", "--net", "--uts", "--mount", "--pid", "--fork"]
    trial = subprocess.run(
        [*spaces, "sh", "-ec", TRIAL], capture_output=True, text=True, check=False
    )
    if trial.returncode:
        skip_or_fail(f"no second host can be had here: {trial.stderr.strip()}")


@pytest.fixture(scope="session")
def hosts(base_image: str) -> Iterator[list[Host]]:
    """Make three hosts, joined as a swarm."""
    with swarm(base_image) as hosts:
        yield hosts
