"""The pair on two hosts, at the fixed addresses, by the commands of deploy/README.md."""

import re
from ipaddress import IPv4Address, IPv4Network

import pytest

from tests.lib.support import ROOT, until
from tests.lib.swarm import OVERLAY, PATIENCE, SETTINGS, Host

pytestmark = pytest.mark.xdist_group("swarm")


@pytest.fixture(scope="module")
def network(hosts: list[Host]) -> str:
    """Make the network by the command that deploy/README.md gives, but for the addresses."""
    text = (ROOT / "deploy/README.md").read_text().replace("\\\n", "")
    (line,) = re.findall(r"^docker (network create .*)$", text, re.MULTILINE)
    command = line.replace("192.168.15.0/24", SETTINGS["SUBNET"])
    command = command.replace("192.168.15.128/25", SETTINGS["IP_RANGE"])
    name: str = command.split()[-1]
    hosts[0].docker(*command.split())

    def there() -> bool:
        return name in hosts[1].docker("network", "ls", "--format", "{{.Name}}").split()

    until(there, PATIENCE, pause=0.1, awaited=f"the network {name}")
    return name


def start(host: Host, service: str) -> str:
    """Start one service of the pair on a host, and return its container."""
    host.docker(*OVERLAY, "up", "--detach", service)
    return host.docker(*OVERLAY, "ps", "--all", "--quiet", service).strip()


def test_the_client_of_one_host_waits_for_the_server_of_another(
    hosts: list[Host], network: str
) -> None:
    """Client first, server later, each at its fixed address: the client gets its 200."""
    here, there = hosts[:2]
    client = start(there, "client")
    until(
        lambda: "waiting for" in there.log(client),
        PATIENCE,
        pause=0.1,
        awaited="a client that waits",
    )
    server = start(here, "server")
    exit_code = there.docker("wait", client).strip()

    assert exit_code == "0", there.log(client)
    assert there.docker("logs", client) == "SERVER OK - STATUS 200\n"
    assert f"expected reply from {SETTINGS['SERVER_HOST']}:8888" in there.log(client)
    assert f" {SETTINGS['CLIENT_HOST']}:" in here.log(server)
    attached = here.inspect("container", server)["NetworkSettings"]["Networks"]
    assert attached[network]["IPAddress"] == SETTINGS["SERVER_HOST"]
    assert list(attached) == [network]


def test_docker_chooses_no_fixed_address(hosts: list[Host], network: str) -> None:
    """What Docker itself puts on the network has its address out of IP_RANGE."""
    server = start(hosts[0], "server")

    found = hosts[0].inspect("network", network)
    own = {
        name: IPv4Address(endpoint["IPv4Address"].partition("/")[0])
        for name, endpoint in found["Containers"].items()
        if name != server
    }

    assert found["Internal"]
    assert own
    assert all(address in IPv4Network(SETTINGS["IP_RANGE"]) for address in own.values()), own
