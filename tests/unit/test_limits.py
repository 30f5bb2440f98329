"""Limits that must fit each other, computed from the files and constants that set them."""

import re
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
import yaml

from app import healthcheck, server
from app.config import ClientConfig, Environment, ServerConfig
from tests.lib.support import ROOT

COMPOSE, STACK = (
    yaml.safe_load((ROOT / path).read_text()) for path in ("docker-compose.yml", "deploy/stack.yml")
)
SERVER, CLIENT = ServerConfig(Environment({})), ClientConfig(Environment({}))
SERVICES = ["server", "client"]

DOUBLED = 2  # by the kernel: the buffers of a socket, socket(7)
INTERPRETER = 24 * 2**20  # Python with app/ takes 12 MiB
RUNC_THREADS = 6  # of its Go runtime, while runc starts a command in a container
DESCRIPTORS = 1024  # the least that an engine allows: Engine 29


def seconds(text: str) -> float:
    """Return the seconds of a duration in a Compose file or a Dockerfile."""
    return float(text.removesuffix("s"))


def size(text: str) -> int:
    """Return the bytes of a size in a Compose file."""
    return int(text[:-1]) * {"k": 2**10, "m": 2**20, "g": 2**30}[text[-1].lower()]


def health_check() -> dict[str, float]:
    """Return the options of HEALTHCHECK in Dockerfile.server."""
    (line,) = re.findall(r"^HEALTHCHECK (.*) CMD", (ROOT / "Dockerfile.server").read_text(), re.M)
    return {name: seconds(text) for name, text in re.findall(r"--(\S+)=(\S+)", line)}


def test_health_check_ends_before_its_timeout() -> None:
    """A health check has half a second to start and to report why it failed."""
    assert health_check()["timeout"] - healthcheck.SECONDS >= 0.5


def test_dead_server_is_soon_unhealthy() -> None:
    """Docker reports a server that does not reply within 20 s, and a new one within 3 s."""
    found = health_check()
    assert found["retries"] * (found["interval"] + found["timeout"]) <= 20
    assert found["interval"] <= 3


@pytest.mark.parametrize("file", [COMPOSE, STACK], ids=["compose", "stack"])
def test_stop_ends_before_docker_kills(file: Any) -> None:
    """The server has half a second beside DRAIN_TIMEOUT to end by itself."""
    grace = seconds(file["services"]["server"]["stop_grace_period"])
    assert SERVER.drain_timeout + 0.5 <= grace


def test_memory_is_enough_for_all_connections() -> None:
    """The kernel's queues take at most half of the limit, two interpreters fit in the rest."""
    queues = SERVER.max_connections * 2 * DOUBLED * server.QUEUE_BYTES
    limit = size(COMPOSE["services"]["server"]["mem_limit"])
    assert queues <= limit / 2
    # The server, and a health check beside it.
    assert queues + 2 * INTERPRETER <= limit


@pytest.mark.parametrize("service", SERVICES)
def test_processes_are_enough(service: str) -> None:
    """A program, its health check and a docker exec fit in pids_limit, which bounds a fork bomb."""
    limit = COMPOSE["services"][service]["pids_limit"]
    assert 1 + 2 * RUNC_THREADS <= limit <= 32


def test_descriptors_are_enough() -> None:
    """MAX_CONNECTIONS fits in the descriptors of every engine, so no warning is logged."""
    assert SERVER.max_connections + server.OWN_DESCRIPTORS <= DESCRIPTORS


def test_deadline_leaves_time_for_retries() -> None:
    """A client whose attempts take as long as they may makes at least four."""
    attempt = CLIENT.retry_delay + CLIENT.connect_timeout + CLIENT.reply_timeout
    assert 4 * attempt <= CLIENT.deadline


def test_log_keeps_what_is_before_a_rotation() -> None:
    """The log has a limit, and at a rotation its last part stays."""
    for service in SERVICES:
        options = COMPOSE["services"][service]["logging"]["options"]
        assert size(options["max-size"]) <= 2**20
        assert int(options["max-file"]) >= 2


def test_fixed_addresses_are_outside_ip_range() -> None:
    """Docker gives neither fixed address to another container."""
    text = (ROOT / "docker-compose.yml").read_text()
    default = dict(re.findall(r"\$\{(\w+)-([\d./]+)\}", text))
    subnet, dynamic = IPv4Network(default["SUBNET"]), IPv4Network(default["IP_RANGE"])
    assert dynamic.subnet_of(subnet)
    for name in ("SERVER_HOST", "CLIENT_HOST"):
        assert IPv4Address(default[name]) in subnet
        assert IPv4Address(default[name]) not in dynamic


@pytest.mark.parametrize("service", SERVICES)
def test_stack_has_the_limits_of_compose(service: str) -> None:
    """A service may do on a swarm what it may do with Compose, and no more."""
    compose, stack = COMPOSE["services"][service], STACK["services"][service]
    limits = stack["deploy"]["resources"]["limits"]
    assert size(limits["memory"]) == size(compose["mem_limit"])
    assert limits["pids"] == compose["pids_limit"]
    for shared in ("read_only", "cap_drop", "logging"):
        assert stack[shared] == compose[shared]


def test_largest_exchange_passes_a_long_path() -> None:
    """The largest message and reply take half of REPLY_TIMEOUT on a path of 50 ms each way."""
    round_trips = 2 * 65536 / server.QUEUE_BYTES
    assert round_trips * 0.1 <= CLIENT.reply_timeout / 2
