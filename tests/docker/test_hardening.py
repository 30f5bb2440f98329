"""What the containers may do, which is next to nothing, seen from within and from the host."""

import errno
import re
from ipaddress import IPv4Address, IPv4Network
from socket import AF_INET

from docker import DockerClient
from psutil import net_if_addrs

from tests.lib.containers import STAYING, NewPair, execute, logged

# Run beside a program: the fields of PID 1, and whether anything can be written.
LOOK = """
print(open("/proc/1/status").read())
try:
    open("/tmp/probe", "w")
except OSError as error:
    print(f"errno:\\t{error.errno}")
"""


def test_programs_have_no_privileges(new_pair: NewPair) -> None:
    """Both run read-only, under a user and group without privileges or a way to get any."""
    pair = new_pair(**STAYING, LOG_LEVEL="DEBUG")
    pair.start()
    logged(pair.server, f"{pair.env['CLIENT_HOST']}:")
    for container in (pair.server, pair.client):
        found = dict(re.findall(r"(?m)^(\w+):\t(.*)$", execute(container, LOOK)))
        assert "0" not in " ".join(found[kind] for kind in ("Uid", "Gid", "Groups")).split()
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(found[kind], 16) == 0, kind
        assert (found["NoNewPrivs"], found["errno"]) == ("1", str(errno.EROFS))


def test_network_is_isolated(new_pair: NewPair, docker_client: DockerClient) -> None:
    """The host has no address on the network, and no container can reach the host from it."""
    pair = new_pair(**STAYING)
    pair.start()
    subnet = IPv4Network(pair.env["SUBNET"])
    found = [
        one.address for many in net_if_addrs().values() for one in many if one.family == AF_INET
    ]
    assert not any(IPv4Address(address) in subnet for address in found)

    config = docker_client.networks.get("bridge").attrs["IPAM"]["Config"]
    host = IPv4Network(config[0]["Subnet"])[1]
    # Nobody listens there, so the host would refuse the connection if it got that far.
    code = f"import socket; print(socket.socket().connect_ex(('{host}', 9)))"
    # Which of the two depends on whether Docker gives the container a default route.
    assert int(execute(pair.client, code)) in (errno.ENETUNREACH, errno.EHOSTUNREACH)
