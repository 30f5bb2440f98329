"""The checks of addresses and time-outs before any container starts."""

import re
from ipaddress import IPv4Address
from typing import Any

import pytest
from dotenv import dotenv_values

from scripts import preflight
from scripts.common import Problem
from scripts.preflight import check_addresses, check_drain, is_local
from tests.lib.support import ROOT

EXAMPLE = {name: text or "" for name, text in dotenv_values(ROOT / ".env.example").items()}

NARROW = EXAMPLE | {
    "SUBNET": "198.18.0.0/27",
    "IP_RANGE": "198.18.0.16/28",
    "SERVER_HOST": "198.18.0.2",
    "CLIENT_HOST": "198.18.0.3",
}


def network(name: str, *subnets: str) -> dict[str, Any]:
    """Return a network as Docker describes it."""
    return {"Name": name, "IPAM": {"Config": [{"Subnet": subnet} for subnet in subnets] or None}}


# Docker's own networks, and a network without IPv4.
NETWORKS = [network("bridge", "172.17.0.0/16"), network("host"), network("six", "fd00::/64")]


def judge(*networks: dict[str, Any], local: str = "", pair: str = "", **lines: str) -> None:
    """Check these lines of .env on a host with these networks and this local address.

    ``pair`` is the name of an external network; without it the pair has its own network.
    """
    lines = EXAMPLE | lines
    pool = {name.lower(): lines[name] for name in ("SUBNET", "IP_RANGE")}
    own = {"name": "x_pair", "ipam": {"config": [pool]}}
    services = {
        service: {"networks": {"pair": {"ipv4_address": lines[f"{service.upper()}_HOST"]}}}
        for service in ("server", "client")
    }
    network = {"name": pair, "external": True} if pair else own
    config = {"networks": {"pair": network}, "services": services}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preflight, "is_local", lambda address: str(address) == local)
        check_addresses(config, [*NETWORKS, *networks])


def given(text: str) -> dict[str, str]:
    """Return the lines for .env that a text proposes."""
    return dict(re.findall(r"^  (\w+)=(\S+)$", text, re.MULTILINE))


def test_preflight_is_silent_about_what_docker_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    """Preflight is silent about lines that work, and about lines that Docker itself refuses.

    An old network of the pair with another subnet passes, and so does an external network.
    """
    for lines in ({}, {"CLIENT_HOST": "192.168.15.1"}, NARROW):
        judge(network("x_pair", "192.168.0.0/16"), **lines)
    for name, text in {"SUBNET": "fd00::/64", "IP_RANGE": "", "SERVER_HOST": "server"}.items():
        judge(**{name: text})
    judge(network("theirs", EXAMPLE["SUBNET"]), pair="theirs")

    assert capsys.readouterr().out == ""


def test_overlap_error_proposes_lines_that_fit() -> None:
    """The error for an overlap names the network, the command to remove it, and lines for .env."""
    minikube = network("minikube", "192.168.0.0/20")
    with pytest.raises(Problem) as caught:
        judge(minikube)

    said = "SUBNET=192.168.15.0/24 overlaps 192.168.0.0/20 of Docker's network minikube"
    assert str(caught.value).startswith(f"{said} (docker network rm minikube removes it")
    lines = given(str(caught.value))
    assert lines == {name: EXAMPLE[name].replace(".15.", ".16.") for name in lines}
    assert len(lines) == 4
    judge(minikube, **lines)


def test_address_that_may_not_work_gets_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    """An address of the host, or inside IP_RANGE, gets a warning and lines that fit."""
    for lines in (EXAMPLE, NARROW):  # the default subnet, and a narrower subnet
        for name in ("SERVER_HOST", "CLIENT_HOST"):
            judge(local=lines[name], **lines)
            said = capsys.readouterr().out
            assert said.startswith(f"{name}={lines[name]} is this computer's own")
            assert given(said)["SUBNET"] == "192.168.16.0/24"

    judge(SERVER_HOST="192.168.15.130")
    said = capsys.readouterr().out
    assert said.startswith("SERVER_HOST=192.168.15.130 is inside IP_RANGE=192.168.15.128/25")
    assert given(said) == {name: EXAMPLE[name] for name in given(said)} != {}


@pytest.mark.parametrize(
    ("grace", "drain", "fits"),
    [
        *(("3s", "2.9", True), ("3s", "3", False), ("3s", "600.5", False)),
        *(("1m30s", "89", True), ("1m30s", "90", False)),
        *((None, "9", True), (None, "10", False)),  # Docker's default is 10 s
        *(("3s", "soon", True), ("3s", None, True)),  # the server refuses it, or uses its default
    ],
)
def test_drain_timeout_above_the_grace_period_gets_a_warning(
    grace: str | None, drain: str | None, fits: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """A DRAIN_TIMEOUT that is not below the stop grace period gets a warning."""
    check_drain({"environment": {"DRAIN_TIMEOUT": drain}, "stop_grace_period": grace})

    said = capsys.readouterr().out
    assert bool(said) != fits
    assert fits or re.match(rf"DRAIN_TIMEOUT={drain} is not below .* DRAIN_TIMEOUT=2 ", said)


def test_only_an_own_address_is_local() -> None:
    """Only an address of this host counts as local."""
    addresses = ("127.0.0.1", "192.0.2.254", "255.255.255.255")
    assert [is_local(IPv4Address(address)) for address in addresses] == [True, False, False]
