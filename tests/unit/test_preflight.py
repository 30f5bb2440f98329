"""What is looked at before any container is started: one refusal for each mistake."""

import re
from contextlib import nullcontext
from ipaddress import IPv4Address
from typing import Any

import pytest
from dotenv import dotenv_values

from scripts.common import Problem
from scripts.preflight import check, is_local
from tests.support import ROOT

EXAMPLE = {name: text or "" for name, text in dotenv_values(ROOT / ".env.example").items()}

# As `docker network inspect` has them: Docker's own, one with no IPv4 address, one of a user's.
NETWORKS: list[dict[str, Any]] = [
    {"Name": "bridge", "IPAM": {"Config": [{"Subnet": "172.17.0.0/16"}]}},
    {"Name": "host", "IPAM": {"Config": None}},
    {"Name": "none"},
    {"Name": "six", "IPAM": {"Config": [{"Subnet": "fd00::/64"}]}},
    {"Name": "minikube", "IPAM": {"Config": [{"Subnet": "192.168.49.0/24"}]}},
]

NARROW = {
    "SUBNET": "198.18.0.0/29",
    "IP_RANGE": "198.18.0.4/30",
    "SERVER_HOST": "198.18.0.2",
    "CLIENT_HOST": "198.18.0.3",
}


def config(**env: Any) -> dict[str, Any]:
    """Return what Compose makes of these lines of .env: an empty one is not there."""
    lines = EXAMPLE | env
    ours = {"subnet": lines["SUBNET"], "ip_range": lines["IP_RANGE"]}
    services: dict[str, Any] = {
        name: {"networks": {"pair": {"ipv4_address": host} if host else None}}
        for name, host in (("server", lines["SERVER_HOST"]), ("client", lines["CLIENT_HOST"]))
    }
    services["server"]["environment"] = {"DRAIN_TIMEOUT": env.get("DRAIN_TIMEOUT")}
    pool = {key: text for key, text in ours.items() if text}
    network = {"name": "x_pair", "ipam": {"config": [pool]}}
    return {"networks": {"pair": network}, "services": services}


def own_network(**env: str) -> dict[str, Any]:
    """Return the pair's own network, as Docker shows it once it is there."""
    lines = EXAMPLE | env
    pool = {"Subnet": lines["SUBNET"], "IPRange": lines["IP_RANGE"]}
    return {"Name": "x_pair", "IPAM": {"Config": [pool]}}


def refusal(
    lines: dict[str, str],
    *networks: dict[str, Any],
    local: tuple[str, ...] = (),
    environ: tuple[str, ...] = (),
) -> str:
    """Return what is said about these lines, on a host of these addresses and networks."""
    with pytest.raises(Problem) as caught:
        check(
            config(**lines),
            [*NETWORKS, *networks],
            lambda address: str(address) in local,
            dict.fromkeys(environ, ""),
        )
    return str(caught.value)


@pytest.mark.parametrize(
    ("lines", "networks"),
    [({}, []), (NARROW, []), ({}, [own_network()])],
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


def moved(prefix: str) -> dict[str, str]:
    """Return the lines of the example in another subnet."""
    return {name: text.replace("192.168.15.", prefix) for name, text in EXAMPLE.items()}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        pytest.param({name: text}, f"{name}={text} is {what}", id=f"{name}={text}")
        for name, text, what in [
            ("SUBNET", "", "not an IPv4 network"),
            ("SUBNET", "fd00::/64", "not an IPv4 network"),
            ("SUBNET", "192.168.15.0", "not an IPv4 network with a prefix length"),
            ("SUBNET", "192.168.15.1/24", "not an IPv4 network"),
            ("IP_RANGE", "192.168.15.128/0.0.0.127", "not an IPv4 network with a prefix length"),
            ("SERVER_HOST", "server", "not an IPv4 address"),
            ("CLIENT_HOST", "192.168.15.020", "not an IPv4 address"),
            ("IP_RANGE", "192.168.0.0/16", "not inside SUBNET=192.168.15.0/24"),
            ("SERVER_HOST", "192.168.16.10", "outside SUBNET=192.168.15.0/24"),
            ("SERVER_HOST", "192.168.15.0", "the network or the broadcast address"),
            ("CLIENT_HOST", "192.168.15.255", "the network or the broadcast address"),
            ("CLIENT_HOST", "192.168.15.1", "the first address of SUBNET=192.168.15.0/24"),
            ("CLIENT_HOST", "192.168.15.128", "inside IP_RANGE=192.168.15.128/25"),
        ]
    ]
    + [
        pytest.param(
            {"CLIENT_HOST": "192.168.15.10"},
            "SERVER_HOST and CLIENT_HOST are both 192.168.15.10",
            id="one address for both",
        ),
        pytest.param(
            moved("127.0.0."), "SUBNET=127.0.0.0/24 overlaps 127.0.0.0/8, which is", id="loopback"
        ),
        pytest.param(
            moved("192.168.49."),
            "SUBNET=192.168.49.0/24 overlaps 192.168.49.0/24 of Docker's network minikube (if",
            id="another network of Docker's",
        ),
        pytest.param(
            moved("172.17.0."),
            "SUBNET=172.17.0.0/24 overlaps 172.17.0.0/16 of Docker's network bridge.",
            id="Docker's own network",
        ),
    ],
)
def test_lines_that_do_not_fit(lines: dict[str, str], said: str) -> None:
    """A refusal names the lines and gives others, which fit as they stand."""
    text = refusal(lines)

    assert text.startswith(said)
    given = dict(re.findall(r"^  (\w+)=(\S+)$", text, re.MULTILINE))
    assert given.keys() == {"SUBNET", "IP_RANGE", "SERVER_HOST", "CLIENT_HOST"}
    check(config(**lines | given), NETWORKS, lambda _: False, {})


def test_a_network_without_a_subnet() -> None:
    """Fixed addresses need one: where the Compose file has none, that is said."""
    without = config()
    del without["networks"]["pair"]["ipam"]
    with pytest.raises(Problem, match="x_pair has no subnet"):
        check(without, NETWORKS, lambda _: False, {})


@pytest.mark.parametrize("name", ["SERVER_HOST", "CLIENT_HOST"])
def test_an_address_of_this_host(name: str) -> None:
    """An address that the host itself has is refused, and another subnet given."""
    text = refusal({}, local=(EXAMPLE[name],))

    assert text.startswith(f"{name}={EXAMPLE[name]} is an address of this computer")
    assert "\n  SUBNET=192.168.16.0/24\n" in text


@pytest.mark.parametrize(
    ("wanted", "kept"), [("10.1.2.3/16", "10.1.0.0/16"), ("10.1.0.7/29", "10.1.0.0/29")]
)
def test_the_wanted_subnet_is_kept(wanted: str, kept: str) -> None:
    """The lines given are in the subnet that was asked for, where that can be."""
    text = refusal({"SUBNET": wanted})

    assert f"\n  SUBNET={kept}\n" in text


def test_a_variable_of_the_shell() -> None:
    """Who has one of the lines in the shell's environment too is told to unset it."""
    text = refusal({"SUBNET": "lan"}, environ=("SUBNET", "PATH"))

    assert text.endswith("\nYour shell's variables come before .env: unset SUBNET")


@pytest.mark.parametrize(
    "changed", [{"IP_RANGE": "192.168.15.64/26"}, NARROW], ids=["range", "subnet"]
)
def test_a_leftover_network_with_other_addresses(changed: dict[str, str]) -> None:
    """The pair's own network is in the way where .env has changed since it was made."""
    text = refusal({}, own_network(**changed))

    assert "x_pair" in text
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
    changed = config(DRAIN_TIMEOUT=drain)
    changed["services"]["server"]["stop_grace_period"] = grace
    said = rf"^DRAIN_TIMEOUT={drain} is not below the [\d.]+ seconds.* DRAIN_TIMEOUT=2 "
    with nullcontext() if fits else pytest.raises(Problem, match=said):
        check(changed, NETWORKS, lambda _: False, {})


@pytest.mark.parametrize(
    ("address", "local"), [("127.0.0.1", True), ("192.0.2.254", False), ("255.255.255.255", False)]
)
def test_what_is_local(address: str, local: bool) -> None:
    """The kernel knows its own addresses; nothing is sent to others to find out."""
    assert is_local(IPv4Address(address)) is local
