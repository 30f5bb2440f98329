"""The containers' privileges and network, how a signal ends them, and the server's health."""

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

# Prints the status of PID 1 in the container, and the error of a write.
LOOK = """
print(open("/proc/1/status").read())
try:
    open("/tmp/probe", "w")
except OSError as error:
    print(f"errno:\\t{error.errno}")
"""


def test_programs_have_no_privileges(new_pair: NewPair) -> None:
    """Both programs run without privileges, as an ordinary user, on a read-only file system."""
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
    """The host has no address on the network, and a container on it cannot reach the host."""
    pair = new_pair(**STAYING)
    pair.start()
    subnet = IPv4Network(pair.env["SUBNET"])
    found = [
        one.address for many in net_if_addrs().values() for one in many if one.family == AF_INET
    ]
    assert not any(IPv4Address(address) in subnet for address in found)

    config = docker_client.networks.get("bridge").attrs["IPAM"]["Config"]
    host = IPv4Network(config[0]["Subnet"])[1]
    # The port is closed: if the connection got that far, the host would refuse it.
    code = f"import socket; print(socket.socket().connect_ex(('{host}', 9)))"
    # The error depends on whether Docker gives the container a default route.
    assert int(execute(pair.client, code)) in (errno.ENETUNREACH, errno.EHOSTUNREACH)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_signal_ends_both_at_once(new_pair: NewPair, number: signal.Signals) -> None:
    """A signal ends the client with 128 plus its number, and the server with 0, within 2 s."""
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
    """Wait until Docker reports this health of the server."""
    until(health, server, lambda server: server.health == health)


def test_health_follows_the_server(new_pair: NewPair) -> None:
    """A suspended server becomes unhealthy, then healthy again, and its log has no checks."""
    # The image's own command, at short intervals: tests/unit/test_limits.py checks the real ones.
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
