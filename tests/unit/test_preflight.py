"""What is looked at before any container is started: one refusal for each mistake."""

import re
from contextlib import nullcontext
from ipaddress import IPv4Address
from typing import Any

import pytest
from dotenv import dotenv_values

from scripts.common import Problem
from scripts.preflight import check, is_local
from tests.lib.support import ROOT

EXAMPLE = {name: text or "" for name, text in dotenv_values(ROOT / ".env.example").items()}

# As `docker network inspect` has them: Docker's own, and one with no IPv4 address.
NETWORKS: list[dict[str, Any]] = [
    {"Name": "bridge", "IPAM": {"Config": [{"Subnet": "172.17.0.0/16"}]}},
    {"Name": "host", "IPAM": {"Config": None}},
    {"Name": "none"},
    {"Name": "six", "IPAM": {"Config": [{"Subnet": "fd00::/64"}]}},
]

NARROW = {
    "SUBNET": "198.18.0.0/29",
    "IP_RANGE": "198.18.0.4/30",
    "SERVER_HOST": "198.18.0.2",
    "CLIENT_HOST": "198.18.0.3",
}


def config(**env: str) -> dict[str, Any]:
    """Return what Compose makes of these lines of .env: an empty one is not there."""
    lines = EXAMPLE | env
    pool = {name.lower(): lines[name] for name in ("SUBNET", "IP_RANGE") if lines[name]}
    return {
        "networks": {"pair": {"name": "x_pair", "ipam": {"config": [pool]}}},
        "services": {
            service: {"networks": {"pair": {"ipv4_address": lines[f"{service.upper()}_HOST"]}}}
            for service in ("server", "client")
        },
    }


def network(name: str, subnet: str = EXAMPLE["SUBNET"], ip_range: str = "") -> dict[str, Any]:
    """Return a network, as Docker shows it."""
    return {"Name": name, "IPAM": {"Config": [{"Subnet": subnet, "IPRange": ip_range}]}}


def refusal(lines: dict[str, str], *networks: dict[str, Any]) -> str:
    """Return what is said about these lines, on a host with these networks."""
    with pytest.raises(Problem) as caught:
        check(config(**lines), [*NETWORKS, *networks], lambda _: False, {})
    return str(caught.value)


@pytest.mark.parametrize(
    ("lines", "networks"),
    [({}, []), (NARROW, []), ({}, [network("x_pair", ip_range=EXAMPLE["IP_RANGE"])])],
    ids=["defaults", "narrow", "started"],
)
def test_what_fits(lines: dict[str, Any], networks: list[dict[str, Any]]) -> None:
    """Nothing is said about lines that fit, nor about the pair's own network."""
    check(config(**lines), [*NETWORKS, *networks], lambda _: False, {})


def test_a_network_that_others_made() -> None:
    """The addresses of an external network are not in .env, and not looked at."""
    external = config(SERVER_HOST="10.0.0.1")
    external["networks"]["pair"] = {"name": "theirs", "external": True}

    check(external, NETWORKS, lambda _: True, {})


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("SUBNET=", "is not an IPv4 network"),
        ("SUBNET=fd00::/64", "is not an IPv4 network"),
        ("SUBNET=192.168.15.0", "is not an IPv4 network with a prefix length"),
        ("SUBNET=192.168.15.1/24", "is not an IPv4 network"),
        ("SUBNET=127.0.0.0/24", "overlaps 127.0.0.0/8, which is for loopback"),
        ("IP_RANGE=192.168.0.0/16", "is not inside SUBNET=192.168.15.0/24"),
        ("SERVER_HOST=server", "is not an IPv4 address"),
        ("SERVER_HOST=192.168.16.10", "is outside SUBNET=192.168.15.0/24"),
        ("SERVER_HOST=192.168.15.0", "is the network or the broadcast address"),
        ("CLIENT_HOST=192.168.15.255", "is the network or the broadcast address"),
        ("CLIENT_HOST=192.168.15.1", "is the first address of SUBNET=192.168.15.0/24"),
        ("CLIENT_HOST=192.168.15.128", "is inside IP_RANGE=192.168.15.128/25"),
    ],
)
def test_a_line_that_does_not_fit(line: str, what: str) -> None:
    """A refusal names the line and gives others, which fit as they stand."""
    lines = dict([line.split("=")])
    text = refusal(lines)

    assert text.startswith(f"{line} {what}")
    given = dict(re.findall(r"^  (\w+)=(\S+)$", text, re.MULTILINE))
    assert given.keys() == {"SUBNET", "IP_RANGE", "SERVER_HOST", "CLIENT_HOST"}
    check(config(**lines | given), NETWORKS, lambda _: False, {})


def test_one_address_for_both() -> None:
    """Two containers cannot have the same one."""
    said = "SERVER_HOST and CLIENT_HOST are both 192.168.15.10"
    assert refusal({"CLIENT_HOST": "192.168.15.10"}).startswith(said)


@pytest.mark.parametrize(("name", "may_go"), [("minikube", True), ("bridge", False)])
def test_a_network_in_the_way(name: str, may_go: bool) -> None:
    """It is named, with how to remove it unless it is Docker's own, and another subnet given."""
    text = refusal({}, network(name, "192.168.0.0/20"))

    said = f"SUBNET=192.168.15.0/24 overlaps 192.168.0.0/20 of Docker's network {name}"
    assert text.startswith(said)
    assert (f"docker network rm {name}" in text) == may_go
    assert "\n  SUBNET=192.168.16.0/24\n" in text


def test_a_network_without_a_subnet() -> None:
    """Fixed addresses need one: where the Compose file has none, that is said."""
    without = config()
    del without["networks"]["pair"]["ipam"]
    with pytest.raises(Problem, match="x_pair has no subnet"):
        check(without, NETWORKS, lambda _: False, {})


@pytest.mark.parametrize("name", ["SERVER_HOST", "CLIENT_HOST"])
def test_an_address_of_this_host(name: str) -> None:
    """An address that the host itself has is refused, and another subnet given."""
    address = EXAMPLE[name]
    said = rf"^{name}={address} is an address of this computer[^\n]*\n  SUBNET=192.168.16.0/24\n"
    with pytest.raises(Problem, match=said):
        check(config(), NETWORKS, lambda local: str(local) == address, {})


@pytest.mark.parametrize(
    ("wanted", "kept"), [("10.1.2.3/16", "10.1.0.0/16"), ("10.1.0.7/29", "10.1.0.0/29")]
)
def test_the_wanted_subnet_is_kept(wanted: str, kept: str) -> None:
    """The lines given are in the subnet that was asked for, where that can be."""
    assert f"\n  SUBNET={kept}\n" in refusal({"SUBNET": wanted})


def test_a_variable_of_the_shell() -> None:
    """Who has one of the lines in the shell's environment too is told to unset it."""
    said = r"\nYour shell's variables come before \.env: unset SUBNET$"
    with pytest.raises(Problem, match=said):
        check(config(SUBNET="lan"), NETWORKS, lambda _: False, {"SUBNET": "", "PATH": ""})


@pytest.mark.parametrize("subnet", [EXAMPLE["SUBNET"], NARROW["SUBNET"]], ids=["range", "subnet"])
def test_a_leftover_network_with_other_addresses(subnet: str) -> None:
    """The pair's own network is in the way where .env has changed since it was made."""
    text = refusal({}, network("x_pair", subnet, NARROW["IP_RANGE"]))

    assert text.startswith("the network x_pair is still there")
    assert text.endswith("make down first.")


@pytest.mark.parametrize(
    ("grace", "drain", "fits"),
    [
        *(("3s", "2.9", True), ("3s", "3", False), ("3s", "600.5", False)),
        *(("1m30s", "89", True), ("1m30s", "90", False), ("500ms", "0.5", False)),
        *((None, "9", True), (None, "10", False)),  # Docker's own is 10 seconds
        *(("3s", "soon", True), ("3s", None, True)),  # the server refuses it, or has its default
    ],
)
def test_a_stop_is_over_before_docker_kills(
    grace: str | None, drain: str | None, fits: bool
) -> None:
    """DRAIN_TIMEOUT is refused from the stop grace period on, and another one given."""
    changed = config()
    changed["services"]["server"] |= {
        "environment": {"DRAIN_TIMEOUT": drain},
        "stop_grace_period": grace,
    }
    said = rf"^DRAIN_TIMEOUT={drain} is not below the [\d.]+ seconds.* DRAIN_TIMEOUT=2 "
    with nullcontext() if fits else pytest.raises(Problem, match=said):
        check(changed, NETWORKS, lambda _: False, {})


@pytest.mark.parametrize(
    ("address", "local"), [("127.0.0.1", True), ("192.0.2.254", False), ("255.255.255.255", False)]
)
def test_what_is_local(address: str, local: bool) -> None:
    """The kernel knows its own addresses; nothing is sent to others to find out."""
    assert is_local(IPv4Address(address)) is local
