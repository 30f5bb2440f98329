"""What the containers may do, which is next to nothing, seen from within and from the host."""

import errno
import json
from ipaddress import IPv4Network

from docker import DockerClient

from tests.lib.containers import STAYING, NewPair, execute, logged

# Run beside a program: the fields of PID 1, and whether anything can be written.
LOOK = """
import json
found = dict(line.split(":\\t", 1) for line in open("/proc/1/status") if ":\\t" in line)
try:
    open("/tmp/probe", "w")
except OSError as error:
    found["errno"] = error.errno
print(json.dumps(found))
"""
# Run on the host of the daemon: the addresses of a network that this host has.
OWN_ADDRESSES = """
import errno, ipaddress, socket, sys
for address in ipaddress.ip_network(sys.argv[1]):
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind((str(address), 0))
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            continue
    print(address)
"""


def test_programs_have_no_privileges(new_pair: NewPair) -> None:
    """Both run read-only, under a user and group without privileges or a way to get any."""
    pair = new_pair(**STAYING, LOG_LEVEL="DEBUG")
    pair.start()
    logged(pair.server, f"{pair.env['CLIENT_HOST']}:")
    for container in (pair.server, pair.client):
        found = json.loads(execute(container, LOOK))
        for kind in ("Uid", "Gid"):
            (number,) = set(found[kind].split())
            assert int(number) > 0, kind
        assert "0" not in found.get("Groups", "").split()
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(found[kind], 16) == 0, kind
        assert int(found["NoNewPrivs"]) == 1
        assert found["errno"] == errno.EROFS


def test_network_is_isolated(new_pair: NewPair, docker_client: DockerClient) -> None:
    """The host has no address on the network, and no container can reach the host from it."""
    pair = new_pair(**STAYING)
    pair.start()
    image, name = f"{pair.folder.name}-server", f"{pair.folder.name}-host"
    command = ["python3", "-c", OWN_ADDRESSES, pair.env["SUBNET"]]
    options = {"network_mode": "host", "name": name, "remove": True}
    assert docker_client.containers.run(image, command, **options) == b""

    config = docker_client.networks.get("bridge").attrs["IPAM"]["Config"]
    host = IPv4Network(config[0]["Subnet"])[1]
    # Nobody listens there, so the host would refuse the connection if it got that far.
    code = f"import socket; print(socket.socket().connect_ex(('{host}', 9)))"
    # Which of the two depends on whether Docker gives the container a default route.
    assert int(execute(pair.client, code)) in (errno.ENETUNREACH, errno.EHOSTUNREACH)
