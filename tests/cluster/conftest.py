"""What the tests of several hosts need: root, namespaces, and programs for them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.cluster.cluster import Host, swarm

# Docker's programs, and what ties hosts together, tried out where nobody sees it.
PROGRAMS = ("docker", "dockerd", "containerd", "runc", "iptables", "ip", "nsenter", "unshare")
TRIAL = (
    "ip link add wire type bridge && ip link add port type veth peer name eth0"
    " && ip link add vx type vxlan id 42 dstport 4789"
)


def why_not() -> str:
    """Say what keeps this machine from playing several hosts; nothing if nothing does."""
    if sys.platform != "linux":
        return f"network namespaces are Linux's, this is {sys.platform}"
    if os.geteuid():
        return "only root may make network namespaces"
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        return f"not installed here: {', '.join(missing)}"
    spaces = ["unshare", "--net", "--uts", "--mount", "--pid", "--fork"]
    for command in ([*spaces, "sh", "-c", TRIAL], ["docker", "version"]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
        except subprocess.TimeoutExpired as error:
            return str(error)
        if done.returncode:
            return f"{' '.join(command)}: {done.stderr.strip()}"
    return ""


@pytest.fixture(scope="session", autouse=True)
def _several_hosts() -> None:
    why = why_not()
    if why:
        may_skip = sys.platform != "linux" or os.geteuid()
        if os.environ.get("REQUIRE_DOCKER") == "1" and not may_skip:
            pytest.fail(f"Docker is required, but it cannot have several hosts: {why}")
        pytest.skip(f"no second host: {why}")


def size() -> int:
    """Return how many hosts the memory of this machine allows: a daemon takes 200 MiB."""
    with open("/proc/meminfo", encoding="ascii") as lines:
        (available,) = (int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return 3 if available > 2 * 1024 * 1024 else 2


@pytest.fixture(scope="session")
def hosts(base_image: str) -> Iterator[list[Host]]:
    """Make the hosts; the first two are managers, where older versions of Compose find networks."""
    with swarm(size(), managers=2, base_image=base_image) as hosts:
        yield hosts
