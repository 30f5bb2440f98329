"""Hosts for the Swarm tests, which need root, namespaces, and the programs of Docker."""

from collections.abc import Iterator

import pytest

from tests.lib.swarm import Host, swarm
from tests.lib.wire import need_hosts

# Docker's programs, and links between hosts.
TRIAL = """
dockerd --version && containerd --version && runc --version && iptables --version && nsenter -V
ip link add wire type bridge
ip link add port type veth peer name eth0
ip link add vx type vxlan id 42 dstport 4789
"""


@pytest.fixture(scope="session")
def hosts(
    images: dict[str, str], run_name: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Host]]:
    """Make three hosts, joined as a swarm."""
    need_hosts(TRIAL, "--uts", "--mount", "--pid", "--fork")
    with swarm(tmp_path_factory.mktemp("swarm"), run_name, images) as hosts:
        yield hosts
