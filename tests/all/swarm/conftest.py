"""What the tests of several hosts need: root, namespaces, and programs for them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.lib.containers import skip_or_fail
from tests.lib.swarm import Host, swarm

# Docker's programs, and what ties hosts together, tried out where nobody sees it.
PROGRAMS = ("docker", "dockerd", "containerd", "runc", "iptables", "ip", "nsenter", "unshare")
TRIAL = (
    "ip link add wire type bridge && ip link add port type veth peer name eth0"
    " && ip link add vx type vxlan id 42 dstport 4789"
)


@pytest.fixture(scope="session", autouse=True)
def _several_hosts() -> None:
    """Leave these tests out where they need more than Docker, or where there is not enough."""
    if sys.platform != "linux" or os.geteuid():
        pytest.skip("left out: only root on Linux can have several hosts on one machine")
    if missing := [program for program in PROGRAMS if not shutil.which(program)]:
        skip_or_fail(f"not installed here: {', '.join(missing)}")
    spaces = ["unshare", "--net", "--uts", "--mount", "--pid", "--fork"]
    try:
        command = [*spaces, "sh", "-c", TRIAL]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=20)
    except subprocess.CalledProcessError as error:
        skip_or_fail(f"no second host can be had here: {error.stderr.strip()}")


@pytest.fixture(scope="session")
def hosts(base_image: str) -> Iterator[list[Host]]:
    """Make the hosts; the first two are managers, where older versions of Compose find networks."""
    with open("/proc/meminfo", encoding="ascii") as lines:
        (available,) = (int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    size = 3 if available > 2 * 1024 * 1024 else 2  # in KiB; a daemon takes 200 MiB
    with swarm(size, managers=2, base_image=base_image) as hosts:
        yield hosts
