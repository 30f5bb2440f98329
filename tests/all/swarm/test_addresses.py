"""The pair on two hosts, at the fixed addresses, by the commands of deploy/README.md."""

import re

import pytest

from tests.lib.containers import PATIENCE
from tests.lib.support import ROOT, until
from tests.lib.swarm import OVERLAY, SETTINGS, Host

pytestmark = pytest.mark.xdist_group("swarm")


def create_network(here: Host, there: Host) -> None:
    """Make the network by the command that deploy/README.md gives, with addresses for tests."""
    text = (ROOT / "deploy/README.md").read_text().replace("\\\n", "")
    (line,) = re.findall(r"^docker (network create .*)$", text, re.MULTILINE)
    command = line.replace("192.168.15.0/24", SETTINGS["SUBNET"])
    command = command.replace("192.168.15.128/25", SETTINGS["IP_RANGE"])
    here.docker(*command.split())
    name = command.split()[-1]
    until(
        lambda: name in there.docker("network", "ls", "--format", "{{.Name}}").split(),
        *(PATIENCE, 0.1),
        awaited=f"the network {name}",
    )


def start(host: Host, service: str) -> str:
    """Start one service of the pair on a host, and return its container."""
    host.docker(*OVERLAY, "up", "--detach", service)
    return host.docker(*OVERLAY, "ps", "--all", "--quiet", service).strip()


def test_client_waits_for_the_server_of_another_host(hosts: list[Host]) -> None:
    """Client first, server later, each at its fixed address: the client gets its 200."""
    here, there = hosts[:2]
    create_network(here, there)
    client = start(there, "client")
    until(
        lambda: "waiting for" in there.log(client),
        *(PATIENCE, 0.1),
        awaited="a client that waits",
    )
    server = start(here, "server")

    assert there.docker("wait", client).strip() == "0", there.log(client)
    assert there.docker("logs", client) == "SERVER OK - STATUS 200\n"
    assert f"expected reply from {SETTINGS['SERVER_HOST']}:8888" in there.log(client)
    assert f" {SETTINGS['CLIENT_HOST']}:" in here.log(server)
