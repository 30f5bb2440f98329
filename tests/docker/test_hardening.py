"""What the containers may do, which is next to nothing, seen from outside and from within."""

import errno
from collections.abc import Iterator
from ipaddress import IPv4Network

import pytest
from docker import DockerClient

from tests.lib.containers import STAYING, NewPair, Pair, execute, logged, logs

pytestmark = pytest.mark.xdist_group("hardening")

both = pytest.mark.parametrize("service", ["server", "client"])


@pytest.fixture(scope="module")
def pair(new_pair: NewPair) -> Iterator[Pair]:
    """Run a pair whose client stays connected to the server."""
    with new_pair(**STAYING, LOG_LEVEL="DEBUG") as pair:
        pair.start()
        logged(pair.server, f"{pair.env['CLIENT_HOST']}:")
        yield pair


@both
def test_runs_as_an_unprivileged_user(pair: Pair, service: str) -> None:
    """PID 1 runs under a number that is not root's, without capabilities or a way to get any."""
    container = pair.container(service)
    text = execute(container, "print(open('/proc/1/status').read())")
    found = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    user, group = container.attrs["Config"]["User"].split(":")
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
    """Docker counts a container's memory and processes against limits that fit the programs."""
    used = pair.container(service).stats(stream=False, one_shot=True)
    assert 0 < used["memory_stats"]["limit"] <= 128 * 2**20
    assert 0 < used["pids_stats"]["limit"] <= 32


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
    seen = execute(container, "print(open('/proc/1/cmdline').read())")
    assert seen.strip("\0\n").split("\0") == command
    config = container.attrs["Config"]
    assert (config["Entrypoint"], config["Cmd"]) == (None, command)


@pytest.mark.parametrize(("service", "drain"), [("server", 2), ("client", 0)])
def test_how_docker_ends_and_logs_it(pair: Pair, service: str, drain: int) -> None:
    """It is not killed before its replies are sent, nor started again; its log does not grow.

    An attached up with a server that Docker starts again never ends (docker/compose#13985).
    """
    container = pair.container(service).attrs
    assert container["Config"]["StopTimeout"] > drain
    assert container["HostConfig"]["RestartPolicy"]["Name"] in ("", "no")
    log = container["HostConfig"]["LogConfig"]
    assert log == {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "3"}}


@both
def test_one_network_and_nothing_published(pair: Pair, service: str) -> None:
    """A container is on the pair's own network alone, and the host forwards no port to it."""
    container = pair.container(service).attrs
    settings = container["NetworkSettings"]
    assert list(settings["Networks"]) == [pair.network]
    assert not any(settings["Ports"].values())
    assert not container["HostConfig"]["PortBindings"]


def test_the_host_has_no_address_on_the_network(pair: Pair, docker_client: DockerClient) -> None:
    """Nobody on Docker's host can bind an address of the network."""
    code = f"""
import errno, ipaddress, socket
for address in ipaddress.ip_network("{pair.env["SUBNET"]}"):
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind((str(address), 0))
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            continue
    print(address)
"""
    # On the host that has the daemon, which need not be this one.
    options = {"network_mode": "host", "name": f"{pair.project}-host", "remove": True}
    image = f"{pair.project}-server"
    assert docker_client.containers.run(image, ["python3", "-c", code], **options) == b""


def test_no_way_out(pair: Pair, docker_client: DockerClient) -> None:
    """Docker routes nothing out of the network, and not even the host can be reached from it."""
    assert docker_client.networks.get(pair.network).attrs["Internal"]
    config = docker_client.networks.get("bridge").attrs["IPAM"]["Config"]
    host = IPv4Network(config[0]["Subnet"])[1]
    # Nobody listens there, so the host would refuse it if it got that far.
    code = f"import socket; print(socket.socket().connect_ex(('{host}', 9)))"
    # Which of the two depends on whether Docker gives the container a default route.
    assert int(execute(pair.client, code)) in (errno.ENETUNREACH, errno.EHOSTUNREACH)
