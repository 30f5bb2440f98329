"""Look for what Docker does not say, or says only half-way and without the line of .env."""

import json
import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network

from scripts import docker
from scripts.common import Problem, say
from scripts.docker import Json


def overlap(subnet: IPv4Network, taken: dict[IPv4Network, str]) -> str:
    """Return which network of Docker's is in the way, and how to remove it; or nothing."""
    for network, name in taken.items():
        if network.overlaps(subnet):
            return (
                f"SUBNET={subnet} overlaps {network} of Docker's network {name}"
                f" (docker network rm {name} removes it, if nobody needs it)"
            )
    return ""


def fitting(wanted: IPv4Network, taken: dict[IPv4Network, str]) -> str:
    """Return lines for .env that fit, in the wanted subnet if possible."""
    candidates = [wanted] if wanted.prefixlen <= 26 else []
    # From 16 on, since home routers use the lowest ones. The others are for tests (RFC 2544).
    candidates += list(IPv4Network("192.168.0.0/16").subnets(new_prefix=24))[16:]
    candidates += IPv4Network("198.18.0.0/15").subnets(new_prefix=24)
    for subnet in candidates:
        server, client, (_, ip_range) = subnet[10], subnet[20], subnet.subnets()
        if not (overlap(subnet, taken) or is_local(server) or is_local(client)):
            return (
                f". Lines for .env that fit:\n  SUBNET={subnet}\n  IP_RANGE={ip_range}"
                f"\n  SERVER_HOST={server}\n  CLIENT_HOST={client}"
            )
    return ""


def check_addresses(config: Json, networks: Iterable[Json]) -> None:
    """Warn of addresses that may not work. Raises Problem for those that cannot."""
    try:
        network, services = config["networks"]["pair"], config["services"]
        pool = network["ipam"]["config"][0]
        subnet, ip_range = IPv4Network(pool["subnet"]), IPv4Network(pool["ip_range"])
        server, client = (
            IPv4Address(services[name]["networks"]["pair"]["ipv4_address"])
            for name in ("server", "client")
        )
    except (KeyError, TypeError, ValueError):
        return  # an external network, or what Docker itself explains
    taken = {
        IPv4Network(pool["Subnet"]): other["Name"]
        for other in networks
        for pool in (other.get("IPAM") or {}).get("Config") or ()
        if other["Name"] != network["name"] and "." in pool.get("Subnet", "")  # not IPv6
    }
    if why := overlap(subnet, taken):
        raise Problem(why + fitting(subnet, taken))
    for variable, address in (("SERVER_HOST", server), ("CLIENT_HOST", client)):
        if is_local(address):  # with Engine 20.10 it does, with 28.5 not
            why = "this computer's own, which may answer in the container's place"
        elif address in ip_range:
            why = f"inside IP_RANGE={ip_range}: Docker may give it to others"
        else:
            continue
        say(f"{variable}={address} is {why}{fitting(subnet, taken)}")


def check_drain(server: Json) -> None:
    """Say so if Docker may kill the server while it still sends replies."""
    drain = (server.get("environment") or {}).get("DRAIN_TIMEOUT") or ""
    grace = server.get("stop_grace_period") or "10s"  # Docker's own default
    parts = re.fullmatch(r"(?:(\d+)m)?([\d.]+)s", grace)
    if parts and re.fullmatch(r"\d+(\.\d+)?", drain):
        seconds = 60 * int(parts[1] or 0) + float(parts[2])
        if float(drain) >= seconds:
            say(
                f"DRAIN_TIMEOUT={drain} is not below the server's stop_grace_period of {grace}:"
                " Docker may kill it before its replies are sent. DRAIN_TIMEOUT=2 in .env fits."
            )


def is_local(address: IPv4Address) -> bool:
    """Tell whether the address is one of this host's, without sending anything."""
    # Without a route there it is certainly not one of ours.
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((str(address), 9))
        return bool(probe.getsockname()[0] == str(address))
    return False


def look(config: Json) -> None:
    """Look at a configuration, at Docker's networks and at this host. Raises Problem."""
    check_drain(config["services"]["server"])
    names = docker.output("network", "ls", "--quiet").split()
    # A network that has gone meanwhile is left out, with an exit code that says so.
    networks = json.loads(docker.run("network", "inspect", *names).stdout or "[]")
    check_addresses(config, networks)
