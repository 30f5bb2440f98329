"""Look at the configuration and at this host before any container is started.

Docker finds most of these mistakes too, but half-way, and in words that do not say which line of
.env to change.
"""

import json
import os
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from typing import Any, NamedTuple

from scripts import docker
from scripts.common import Problem, end_with
from scripts.docker import Json

IsLocal = Callable[[IPv4Address], bool]

DEFAULT_GRACE = "10s"  # that Docker gives a container to stop
# No host can have these addresses; Docker makes the network all the same, and runc then fails.
NO_HOSTS = {
    IPv4Network("0.0.0.0/8"): "hosts without an address",
    IPv4Network("127.0.0.0/8"): "loopback",
    IPv4Network("224.0.0.0/4"): "multicast",
}
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


class Misfit(Problem):
    """Lines of .env that do not fit together, or not this host; the text says why."""


class Plan(NamedTuple):
    """The addresses that the configuration asks for, by their names in .env."""

    subnet: IPv4Network
    ip_range: IPv4Network
    server_host: IPv4Address
    client_host: IPv4Address

    def __str__(self) -> str:
        return "".join(f"\n  {name.upper()}={value}" for name, value in self._asdict().items())


def parse(lines: Mapping[str, str]) -> Plan:
    """Make a plan of lines of .env. Raises Misfit."""
    values: list[Any] = []
    for name in ("SUBNET", "IP_RANGE", "SERVER_HOST", "CLIENT_HOST"):
        is_host = name.endswith("HOST")
        try:
            value = IPv4Address(lines[name]) if is_host else IPv4Network(lines[name])
        except ValueError:
            value = None
        if str(value) != lines[name]:  # Docker knows no netmask
            what = "address" if is_host else "network with a prefix length"
            raise Misfit(f"{name}={lines[name]} is not an IPv4 {what}")
        values.append(value)
    return Plan(*values)


def check_plan(plan: Plan, taken: Mapping[IPv4Network, str], is_local: IsLocal) -> None:
    """Refuse what cannot go together, or not on this host. Raises Misfit."""
    subnet, ip_range = plan.subnet, plan.ip_range
    for network, purpose in NO_HOSTS.items():
        if network.overlaps(subnet):
            raise Misfit(f"SUBNET={subnet} overlaps {network}, which is for {purpose}")
    if not ip_range.subnet_of(subnet):
        raise Misfit(f"IP_RANGE={ip_range} is not inside SUBNET={subnet}")
    for name, address in plan._asdict().items():
        if not isinstance(address, IPv4Address):
            continue
        if address not in subnet:
            what = f"is outside SUBNET={subnet}"
        elif address in (subnet.network_address, subnet.broadcast_address):
            what = f"is the network or the broadcast address of SUBNET={subnet}"
        elif address == subnet.network_address + 1:
            what = f"is the first address of SUBNET={subnet}, which is for its gateway"
        elif address in ip_range:
            what = f"is inside IP_RANGE={ip_range}, whose addresses Docker gives to others"
        elif is_local(address):
            what = "is an address of this computer, where no container could be reached by it"
        else:
            continue
        raise Misfit(f"{name.upper()}={address} {what}")
    if plan.server_host == plan.client_host:
        raise Misfit(f"SERVER_HOST and CLIENT_HOST are both {plan.server_host}")
    for other, name in taken.items():
        if other.overlaps(subnet):
            what = f"SUBNET={subnet} overlaps {other} of Docker's network {name}"
            if name != "bridge":  # Docker's own, which stays
                what += f" (if nobody needs that any more: docker network rm {name})"
            raise Misfit(what)


def example(wanted: str, taken: Mapping[IPv4Network, str], is_local: IsLocal) -> Plan | None:
    """Find a plan that fits, in the wanted subnet if there is one."""
    candidates = [IPv4Network("192.168.15.0/24")]
    with suppress(ValueError):
        candidates.insert(0, IPv4Network(wanted, strict=False))
    # From 16 on, since the lowest ones are what home routers use.
    candidates += list(IPv4Network("192.168.0.0/16").subnets(new_prefix=24))[16:]
    # For tests of network devices (RFC 2544), so that nobody is there.
    candidates += IPv4Network("198.18.0.0/15").subnets(new_prefix=24)
    for subnet in candidates:
        if subnet.prefixlen > 29:
            continue  # too small for a gateway, two containers and a range
        server, client = (10, 20) if subnet.prefixlen <= 26 else (2, 3)
        upper = list(subnet.subnets())[1]
        plan = Plan(subnet, upper, subnet[server], subnet[client])
        with suppress(Misfit):
            check_plan(plan, taken, is_local)
            return plan
    return None


def check(
    config: Json, networks: Iterable[Json], is_local: IsLocal, environ: Mapping[str, str]
) -> None:
    """Refuse what `docker compose config` and `docker network inspect` show. Raises Problem."""
    check_drain(config["services"]["server"])
    network = config["networks"]["pair"]
    if network.get("external"):
        return  # whoever made it knows its addresses
    pools = (network.get("ipam") or {}).get("config")
    if not pools:
        raise Problem(
            f"the network {network['name']} has no subnet (ipam), which fixed addresses need."
        )
    pool = pools[0]
    lines = {"SUBNET": pool.get("subnet", ""), "IP_RANGE": pool.get("ip_range", "")}
    for service in ("server", "client"):
        attached = config["services"][service]["networks"]["pair"] or {}
        lines[f"{service.upper()}_HOST"] = attached.get("ipv4_address", "")
    taken: dict[IPv4Network, str] = {}
    for other in networks:
        there = [
            (pool["Subnet"], pool.get("IPRange", ""))
            for pool in (other.get("IPAM") or {}).get("Config") or ()
            if "." in pool.get("Subnet", "")  # the others are IPv6
        ]
        if other["Name"] != network["name"]:
            taken |= {IPv4Network(subnet): other["Name"] for subnet, _ in there}
        elif there != [(lines["SUBNET"], lines["IP_RANGE"])]:
            raise Problem(
                f"the network {network['name']} is still there, with another SUBNET or IP_RANGE"
                " than .env says now: make down first."
            )
    try:
        check_plan(parse(lines), taken, is_local)
    except Misfit as misfit:
        text = str(misfit)
        if plan := example(lines["SUBNET"], taken, is_local):
            text += f". Lines for .env that fit:{plan}"
        shell = [name for name in lines if name in environ]
        if shell:
            text += f"\nYour shell's variables come before .env: unset {' '.join(shell)}"
        raise Misfit(text) from None


def check_drain(server: Json) -> None:
    """Refuse a server that Docker would kill while it still sends replies. Raises Problem."""
    # Compose has null for what is unset, and the server a default; what is no number the server
    # itself refuses, with a better sentence.
    drain = (server.get("environment") or {}).get("DRAIN_TIMEOUT")
    if drain is None or not re.fullmatch(r"[0-9]+(\.[0-9]+)?", drain):
        return
    grace = server.get("stop_grace_period")
    seconds = sum(
        float(number) * _UNITS[unit]
        for number, unit in re.findall(r"([0-9.]+)(h|ms|us|µs|ns|m|s)", grace or DEFAULT_GRACE)
    )
    if float(drain) >= seconds:
        raise Problem(
            f"DRAIN_TIMEOUT={drain} is not below the {seconds:g} seconds that Docker lets the"
            " server take to stop: change it in .env, to DRAIN_TIMEOUT=2 for example, or raise the"
            " server's stop_grace_period in docker-compose.yml."
        )


def is_local(address: IPv4Address) -> bool:
    """Tell whether the address is one of this host's, without sending anything."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(address), 9))
        except OSError:
            return False  # no route there: certainly not one of ours
        return bool(probe.getsockname()[0] == str(address))


def look() -> int:
    """Look at the configuration, at Docker's networks and at this host. Raises Problem."""
    config = docker.compose_config()
    names = docker.output("network", "ls", "--quiet").split()
    # One that has gone meanwhile is left out, with an exit code that says so.
    networks = json.loads(docker.run("network", "inspect", *names).stdout or "[]")
    check(config, networks, is_local, os.environ)
    return 0


if __name__ == "__main__":
    end_with(look)
