"""What the containers may do, how they end, and what Docker says of the server's health."""

import errno
import json
import re
import signal
from ipaddress import IPv4Address, IPv4Network
from socket import AF_INET

import pytest
from docker import DockerClient
from docker.models.containers import Container
from psutil import net_if_addrs

from tests.lib.containers import STAYING, NewPair, execute, exit_code, log_of, logged, until

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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_a_signal_ends_both_at_once(new_pair: NewPair, number: signal.Signals) -> None:
    """The client ends with 128 and the signal's number, the server with 0, each within 2 s."""
    override = {name: {"stop_signal": number.name} for name in ("server", "client")}
    pair = new_pair(override, **STAYING, OUTPUT="json", LOG_LEVEL="DEBUG")
    pair.start()
    logged(pair.server, f"{pair.env['CLIENT_HOST']}:")

    # The server first: the client is connected to it.
    for container, code in ((pair.server, 0), (pair.client, 128 + number)):
        # After 2 s Docker would kill it, which is exit code 137.
        container.stop(timeout=2)
        assert exit_code(container) == code
    assert "INFO stopped" in log_of(pair.server)
    found = json.loads(pair.client.logs(stderr=False))
    assert (found["status"], found["exit_code"]) == ("interrupted", 128 + number)


def becomes(server: Container, health: str) -> None:
    """Wait until Docker has this opinion of the server's health."""
    until(health, server, lambda server: server.health == health)


def test_health_follows_the_server(new_pair: NewPair) -> None:
    """A stopped server becomes unhealthy, then healthy again, and checks are not in its log."""
    # The image's own command, only sooner: tests/unit/test_limits.py computes its pace.
    pace = {"interval": "0.3s", "timeout": "1s", "retries": 1}
    pair = new_pair({"server": {"healthcheck": pace}})
    pair.start("server")
    server = pair.server
    becomes(server, "healthy")
    server.kill("STOP")
    becomes(server, "unhealthy")
    server.kill("CONT")
    becomes(server, "healthy")
    server.stop()

    listening, stopped = log_of(server).splitlines()
    assert f"listening on {pair.env['SERVER_HOST']}:8888" in listening
    _, _, counts = stopped.partition(" INFO ")
    assert set(re.findall("[0-9]+", counts)) == {"0"}
