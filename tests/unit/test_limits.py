"""Defaults that several files repeat, and limits that must fit each other."""

import re
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from app import healthcheck, server
from app.config import ClientConfig, Environment, ServerConfig
from scripts.ready import DEFAULT
from tests.lib.support import ROOT

COMPOSE, STACK = (
    yaml.safe_load((ROOT / path).read_text()) for path in ("docker-compose.yml", "deploy/stack.yml")
)
SERVER, CLIENT = ServerConfig(Environment({})), ClientConfig(Environment({}))
SERVICES = ["server", "client"]
EXAMPLE = {name: text or "" for name, text in dotenv_values(ROOT / ".env.example").items()}

DOUBLED = 2  # the kernel doubles the buffer sizes of a socket: socket(7)
INTERPRETER = 24 * 2**20  # Python with app/ takes 12 MiB
RUNC_THREADS = 6  # threads of runc's Go runtime while it starts a command in a container
DESCRIPTORS = 1024  # the lowest limit of any engine: Engine 29


def defaults(config: type[ServerConfig | ClientConfig]) -> dict[str, str]:
    """Return the variables of a program that have a default, with their defaults."""
    env = Environment({})
    config(env)
    return {name: default for name, (default, *_) in env.asked.items() if default}


NETWORK = {
    "PYTHON_IMAGE": DEFAULT,
    "SUBNET": "192.168.15.0/24",
    "IP_RANGE": "192.168.15.128/25",
    "CLIENT_HOST": "192.168.15.20",
}
READS = {"server": defaults(ServerConfig), "client": defaults(ClientConfig)}
DEFAULTS = READS["server"] | READS["client"]
# Compose sets the server's HOST and PORT from SERVER_HOST and SERVER_PORT.
DOTENV = NETWORK | {name: text for name, text in DEFAULTS.items() if name not in {"HOST", "PORT"}}

HOST = f"${{SERVER_HOST-{DEFAULTS['SERVER_HOST']}}}"
PORT = f"${{SERVER_PORT-{DEFAULTS['SERVER_PORT']}}}"


def seconds(text: str) -> float:
    """Return the seconds of a duration in a Compose file or a Dockerfile."""
    return float(text.removesuffix("s"))


def size(text: str) -> int:
    """Return the bytes of a size in a Compose file."""
    return int(text[:-1]) * {"k": 2**10, "m": 2**20, "g": 2**30}[text[-1].lower()]


def test_example_has_every_default() -> None:
    """.env.example has every variable with its default; the Dockerfiles have PYTHON_IMAGE's."""
    assert EXAMPLE == DOTENV
    for name in ("Dockerfile.server", "Dockerfile.client"):
        assert f"ARG PYTHON_IMAGE={DEFAULT}\n" in (ROOT / name).read_text()


def test_compose_files_have_the_defaults_of_the_example() -> None:
    """Each default in a Compose file is that of .env.example, as ${NAME-default}, not `:-`."""
    known = DOTENV | {"SERVER_IMAGE": "tcp-pair-server", "CLIENT_IMAGE": "tcp-pair-client"}
    for path in ("docker-compose", "deploy/stack", "examples/wait-for", "examples/wait-for-two"):
        text = re.sub(r"(?m)#.*", "", (ROOT / f"{path}.yml").read_text())
        found = re.findall(r"\$\{([A-Z_]+)-([^-?+}][^}]*)\}", text)
        assert len(found) == text.count("$") > 0
        assert {*found} <= {*known.items()}


@pytest.mark.parametrize(
    ("file", "service", "set_here"),
    [
        (COMPOSE, "server", {"HOST": HOST, "PORT": PORT}),
        (COMPOSE, "client", {"SERVER_HOST": HOST, "SERVER_PORT": PORT}),
        (STACK, "server", {"HOST": "0.0.0.0", "PORT": PORT}),
        (STACK, "client", {"SERVER_HOST": "server", "SERVER_PORT": PORT, "OUTPUT": "json"}),
    ],
)
def test_service_gets_exactly_its_variables(
    file: Any, service: str, set_here: dict[str, str]
) -> None:
    """A service gets every variable that its program reads, and no other."""
    assert file["services"][service]["environment"] == dict.fromkeys(READS[service]) | set_here


def test_dead_server_is_soon_unhealthy() -> None:
    """Docker reports a dead server within 20 s, and checks a new server within 3 s.

    A health check has half a second to start and to report why it failed.
    """
    (line,) = re.findall(r"^HEALTHCHECK (.*) CMD", (ROOT / "Dockerfile.server").read_text(), re.M)
    found = {name: seconds(text) for name, text in re.findall(r"--(\S+)=(\S+)", line)}

    assert found["timeout"] - healthcheck.SECONDS >= 0.5
    assert found["retries"] * (found["interval"] + found["timeout"]) <= 20
    assert found["interval"] <= 3


def test_grace_period_is_longer_than_drain_timeout() -> None:
    """The stop grace period is at least half a second longer than DRAIN_TIMEOUT."""
    for file in (COMPOSE, STACK):
        grace = seconds(file["services"]["server"]["stop_grace_period"])
        assert SERVER.drain_timeout + 0.5 <= grace


def test_memory_and_descriptors_are_enough_for_all_connections() -> None:
    """The kernel's queues take at most half of the memory; two interpreters fit in the rest.

    Every engine allows enough descriptors for MAX_CONNECTIONS.
    """
    queues = SERVER.max_connections * 2 * DOUBLED * server.QUEUE_BYTES
    limit = size(COMPOSE["services"]["server"]["mem_limit"])
    assert queues <= limit / 2
    # One interpreter runs the server, the other a health check.
    assert queues + 2 * INTERPRETER <= limit
    assert SERVER.max_connections + server.OWN_DESCRIPTORS <= DESCRIPTORS


def test_deadline_leaves_time_for_retries() -> None:
    """DEADLINE leaves time for four attempts, even if each attempt takes its maximum time."""
    attempt = CLIENT.retry_delay + CLIENT.connect_timeout + CLIENT.reply_timeout
    assert 4 * attempt <= CLIENT.deadline


@pytest.mark.parametrize("service", SERVICES)
def test_processes_and_log_are_limited(service: str) -> None:
    """pids_limit allows a program, its health check and a docker exec, but no fork bomb.

    A log file has at most 1 MiB, and a rotation keeps the previous file.
    """
    limits = COMPOSE["services"][service]
    assert 1 + 2 * RUNC_THREADS <= limits["pids_limit"] <= 32
    assert size(limits["logging"]["options"]["max-size"]) <= 2**20
    assert int(limits["logging"]["options"]["max-file"]) >= 2


def test_fixed_addresses_are_outside_ip_range() -> None:
    """The fixed addresses are outside IP_RANGE, so Docker gives them to no other container."""
    subnet, dynamic = IPv4Network(EXAMPLE["SUBNET"]), IPv4Network(EXAMPLE["IP_RANGE"])
    assert dynamic.subnet_of(subnet)
    for name in ("SERVER_HOST", "CLIENT_HOST"):
        assert IPv4Address(EXAMPLE[name]) in subnet
        assert IPv4Address(EXAMPLE[name]) not in dynamic


@pytest.mark.parametrize("service", SERVICES)
def test_stack_has_the_limits_of_compose(service: str) -> None:
    """A service has the same limits in the stack as in the Compose file."""
    compose, stack = COMPOSE["services"][service], STACK["services"][service]
    limits = stack["deploy"]["resources"]["limits"]
    assert size(limits["memory"]) == size(compose["mem_limit"])
    assert limits["pids"] == compose["pids_limit"]
    for shared in ("read_only", "cap_drop", "logging"):
        assert stack[shared] == compose[shared]


def test_largest_exchange_fits_in_reply_timeout() -> None:
    """The largest exchange takes at most half of REPLY_TIMEOUT if a round trip takes 100 ms."""
    round_trips = 2 * 65536 / server.QUEUE_BYTES
    assert round_trips * 0.1 <= CLIENT.reply_timeout / 2
