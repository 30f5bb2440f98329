"""What the containers may do, which is next to nothing, seen from outside and from within."""

import errno
import json
import socket
from collections.abc import Iterator
from ipaddress import IPv4Network

import pytest

from tests.containers.support import (
    STAYING,
    Json,
    NewPair,
    Pair,
    execute,
    inspect,
    logged,
    logs,
)

MEGABYTE = 1_000_000

both = pytest.mark.parametrize("service", ["server", "client"])


@pytest.fixture(scope="module")
def pair(new_pair: NewPair) -> Iterator[Pair]:
    """Run a pair whose client stays connected to the server."""
    with new_pair(**STAYING, LOG_LEVEL="DEBUG") as pair:
        pair.start()
        logged(pair.server, f"{pair.env['CLIENT_HOST']}:")
        yield pair


def status(container: str) -> dict[str, str]:
    """Read /proc/1/status of a container."""
    text = execute(container, "print(open('/proc/1/status').read())")
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


@both
def test_nobody_in_particular(pair: Pair, service: str) -> None:
    """PID 1 runs under a number that is not root's, without capabilities or a way to get any."""
    container = pair.container(service)
    found = status(container)
    user, group = inspect(container)["Config"]["User"].split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert found["Uid"].split() == [user] * 4
    assert found["Gid"].split() == [group] * 4
    assert found.get("Groups", "").split() in ([], [group])
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(found[kind], 16) == 0, kind
    assert found["NoNewPrivs"] == "1"


@both
def test_nothing_can_be_written(pair: Pair, service: str) -> None:
    """The file system is read-only even where anybody may write."""
    code = """
try:
    open("/tmp/probe", "w")
except OSError as error:
    print(error.errno)
"""
    assert execute(pair.container(service), code) == f"{errno.EROFS}\n"


@both
def test_memory_and_processes_are_limited(pair: Pair, service: str) -> None:
    """The kernel holds both limits that Compose asks for."""
    code = """
from pathlib import Path
for v1, v2 in (("memory/memory.limit_in_bytes", "memory.max"), ("pids/pids.max", "pids.max")):
    paths = Path("/sys/fs/cgroup", v1), Path("/sys/fs/cgroup", v2)
    print(next(path for path in paths if path.exists()).read_text().strip())
"""
    limits = inspect(pair.container(service))["HostConfig"]
    memory, processes = execute(pair.container(service), code).split()
    assert 0 < int(memory) == limits["Memory"] <= 128 * 2**20
    assert 0 < int(processes) == limits["PidsLimit"] <= 32


def test_descriptors_for_all_connections(pair: Pair) -> None:
    """The server may open as many descriptors as MAX_CONNECTIONS needs, and so does not warn."""
    code = "print(*(x for x in open('/proc/1/limits') if x.startswith('Max open files')))"
    soft = execute(pair.server, code).split()[3]
    assert int(soft) >= 1016
    assert "WARNING" not in logs(pair.server).stderr


@both
def test_python_is_pid_1(pair: Pair, service: str) -> None:
    """No shell stands between Docker's signals and the program."""
    container = pair.container(service)
    command = ["python3", "-m", f"app.{service}"]
    assert (
        execute(container, "print(open('/proc/1/cmdline').read())").strip("\0\n").split("\0")
        == command
    )
    config = inspect(container)["Config"]
    assert (config["Entrypoint"], config["Cmd"]) == (None, command)


def test_only_the_server_starts_again(pair: Pair) -> None:
    """A server that fails is started again a few times, a client never."""
    server, client = (inspect(which)["HostConfig"] for which in (pair.server, pair.client))
    assert server["RestartPolicy"]["Name"] == "on-failure"
    assert 0 < server["RestartPolicy"]["MaximumRetryCount"] <= 5
    assert client["RestartPolicy"]["Name"] == "no"


def test_a_stop_leaves_time_for_replies(pair: Pair) -> None:
    """Docker kills neither at once, and the server not before its DRAIN_TIMEOUT is over."""
    server, client = (inspect(which)["Config"] for which in (pair.server, pair.client))
    assert server["StopTimeout"] > 2
    assert client["StopTimeout"] > 0


@both
def test_the_log_is_rotated(pair: Pair, service: str) -> None:
    """A log that grows without end does not fill the disk, whatever the daemon's own limits."""
    log = inspect(pair.container(service))["HostConfig"]["LogConfig"]
    assert log["Type"] == "json-file"
    assert log["Config"] == {"max-size": "1m", "max-file": "3"}


@both
def test_one_network_and_nothing_published(pair: Pair, service: str) -> None:
    """A container is on the pair's own network alone, and the host forwards no port to it."""
    container = inspect(pair.container(service))
    settings = container["NetworkSettings"]
    assert list(settings["Networks"]) == [f"{pair.project}_pair"]
    assert not any(settings["Ports"].values())
    assert not container["HostConfig"]["PortBindings"]


def test_the_network_is_internal(pair: Pair) -> None:
    """Docker routes nothing out of the network, and takes no address in it for the host."""
    network = inspect(f"{pair.project}_pair", "network")
    assert (network["Driver"], network["Internal"]) == ("bridge", True)
    assert network["Options"]["com.docker.network.bridge.inhibit_ipv4"] == "true"
    for host in IPv4Network(pair.env["SUBNET"]).hosts():
        # Only an address of the host can be bound.
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
            pytest.raises(OSError) as refused,  # noqa: PT011 - its number tells more than its text
        ):
            probe.bind((str(host), 0))
        assert refused.value.errno == errno.EADDRNOTAVAIL


def test_no_way_out(pair: Pair) -> None:
    """Not even the host can be reached from within, let alone what is behind it."""
    host = IPv4Network(inspect("bridge", "network")["IPAM"]["Config"][0]["Subnet"])[1]
    # Nobody listens there, so the host would refuse it if it got that far.
    code = f"import socket; print(socket.socket().connect_ex(('{host}', 9)))"
    number = int(execute(pair.client, code))
    assert number in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ETIMEDOUT)


@both
def test_the_app_is_compiled(pair: Pair, service: str) -> None:
    """Every module has its bytecode beside it, since none can be written later."""
    code = """
import importlib.util, json, pathlib
modules = sorted(pathlib.Path("app").glob("*.py"))
compiled = [pathlib.Path(importlib.util.cache_from_source(str(path))).exists() for path in modules]
print(json.dumps(dict(zip(map(str, modules), compiled))))
"""
    compiled: Json = json.loads(execute(pair.container(service), code))
    assert f"app/{service}.py" in compiled
    assert all(compiled.values())


@both
def test_images_add_little_to_their_base(
    images: dict[str, str], base_image: str, service: str
) -> None:
    """An image is its base and under 1 MB of its own."""
    base, image = inspect(base_image, "image"), inspect(images[service], "image")
    layers = base["RootFS"]["Layers"]
    assert image["RootFS"]["Layers"][: len(layers)] == layers
    assert image["Size"] - base["Size"] < MEGABYTE


def test_only_the_server_has_a_health_check(images: dict[str, str]) -> None:
    """A client has nobody to be healthy for, and the server's check needs no shell."""
    checks = {
        service: inspect(image, "image")["Config"].get("Healthcheck")
        for service, image in images.items()
    }
    assert checks["client"] is None
    assert checks["server"]["Test"] == ["CMD", "python3", "-m", "app.healthcheck"]
