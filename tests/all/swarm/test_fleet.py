"""The pair on several hosts, at fixed addresses, and as the stack of make fleet-check."""

import json
import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
from docker.models.containers import Container

from scripts.common import Problem
from tests.lib.containers import PATIENCE, exit_code, log_of, logged
from tests.lib.support import ROOT, until
from tests.lib.swarm import OVERLAY, SETTINGS, Host

pytestmark = pytest.mark.xdist_group("swarm")

_ROW = re.compile(r"(host\d)  (\S+)" + 6 * r" +(\S+)")


def start(host: Host, service: str) -> Container:
    """Start one service of the pair on a host."""
    host.docker(*OVERLAY, "up", "--detach", service)
    return host.client.containers.get(f"tcp-pair-{service}-1")


def test_client_waits_for_the_server_of_another_host(hosts: list[Host]) -> None:
    """The client waits for a server on another host, in the network of deploy/README.md."""
    here, there = hosts[:2]
    text = (ROOT / "deploy/README.md").read_text().replace("\\\n", "")
    (command,) = re.findall(r"^docker (network create .*)$", text, re.MULTILINE)
    command = command.replace("192.168.15.0/24", SETTINGS["SUBNET"])
    name = command.split()[-1]
    here.docker(*command.replace("192.168.15.128/25", SETTINGS["IP_RANGE"]).split())
    until(lambda: there.client.networks.list([name]), PATIENCE, 0.1, awaited=f"the network {name}")
    client = start(there, "client")
    logged(client, "waiting for")
    server = start(here, "server")

    assert exit_code(client) == 0
    assert client.logs(stderr=False) == b"SERVER OK - STATUS 200\n"
    assert f"expected reply from {SETTINGS['SERVER_HOST']}:8888" in log_of(client)
    assert f" {SETTINGS['CLIENT_HOST']}:" in log_of(server)


class Report:
    """The output of make fleet-check; ``rows`` has the columns of each node, from its status on."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.output, _ = process.communicate(timeout=PATIENCE)
        self.exit_code = process.returncode
        found = filter(None, map(_ROW.fullmatch, self.output.splitlines()))
        self.rows = {row[1]: row.groups()[1:] for row in found}
        self.statuses = {name: row[0] for name, row in self.rows.items()}


def start_check(manager: Host, **env: str) -> "subprocess.Popen[str]":
    """Start make fleet-check."""
    return subprocess.Popen(
        ["make", "--no-print-directory", "fleet-check"],
        cwd=manager.project,
        env=manager.environment(**env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def check(fleet: list[Host], **env: str) -> Report:
    """Run make fleet-check to its end."""
    with start_check(fleet[0], **env) as process:
        return Report(process)


def containers(fleet: list[Host], service: str, **filters: str) -> list[tuple[Host, Container]]:
    """List the running containers of a service, and where they are."""
    filters["label"] = f"com.docker.swarm.service.name=tcp-pair_{service}"
    return [
        (host, container)
        for host in fleet
        for container in host.client.containers.list(filters=filters, ignore_removed=True)
    ]


def find_server(
    fleet: list[Host], is_right: Callable[[Host, Container], bool] = lambda *_: True
) -> tuple[Host, Container]:
    """Wait until there is one healthy server and ``is_right`` is true for it; return both."""

    def found() -> list[tuple[Host, Container]]:
        servers = containers(fleet, "server", health="healthy")
        return servers if len(servers) == 1 and is_right(*servers[0]) else []

    return until(found, PATIENCE, 0.1, awaited="a healthy server")[0]


def set_availability(manager: Host, node: str, availability: str) -> bool:
    """Drain a node or make it active; False if a manager changes it at the same time."""
    with suppress(Problem):
        return bool(manager.docker("node", "update", f"--availability={availability}", node))
    return False


def move_server(fleet: list[Host], *hosts: Host) -> tuple[Host, Container]:
    """Move the server away from these hosts; return its new host and its container."""
    # Drain all hosts first, so that the server moves only once.
    for availability in ("drain", "active"):
        for host in hosts:
            until(partial(set_availability, fleet[0], host.name, availability), PATIENCE)
        found = find_server(fleet, lambda host, _: host not in hosts)
    return found


@pytest.fixture(scope="module")
def fleet(hosts: list[Host]) -> list[Host]:
    """Put the stack on the swarm; the first host is its manager."""
    first = check(hosts)
    assert first.exit_code == 0, first.output
    return hosts


def test_every_node_reports_each_check(fleet: list[Host]) -> None:
    """Each check prints one row for every node, and every node sends one message."""
    _, server = find_server(fleet)
    before = log_of(server).count(": Testando conexão")

    report = check(fleet)

    assert report.exit_code == 0, report.output
    assert report.statuses == {host.name: "ok" for host in fleet}
    for row in report.rows.values():
        attempts, connect_ms, reply_ms, rtt_ms, mss, resent = map(float, row[1:])
        assert min(attempts, connect_ms, reply_ms, rtt_ms) > 0
        # The overlay's MTU is 1,450; the headers of IP and TCP with timestamps take 52.
        assert mss == 1398
        assert resent >= 0
    assert log_of(server).count(": Testando conexão") == before + len(fleet)


# Runs before the tests that update the server, because an update replaces it too.
def test_stopped_server_is_started_again(fleet: list[Host]) -> None:
    """A server that a signal ends, with exit code 0, is replaced."""
    _, server = find_server(fleet)
    server.kill("TERM")

    find_server(fleet, lambda _, found: found != server)


def test_check_uses_the_current_settings(fleet: list[Host]) -> None:
    """New settings in .env and in the shell reach the server before the check."""
    fleet[0].configure(SERVER_PORT="9999", REPLY="another $REPLY")

    report = check(fleet, MESSAGE="from a shell")

    assert report.exit_code == 0, report.output
    _, server = find_server(fleet)
    assert f": from a shell{188 * '.'}" in log_of(server)
    assert "REPLY_MATCH=prefix" in fleet[0].docker("service", "inspect", "tcp-pair_client")
    for host in fleet:
        label = "com.docker.swarm.service.name=tcp-pair_client"
        (client,) = host.client.containers.list(limit=1, filters={"label": label})
        result = json.loads(client.logs(stderr=False))
        assert result["reply"] == "another $REPLY".ljust(4000, ".")
        assert result["peer"].endswith(":9999")


def test_server_that_cannot_run_is_rolled_back(fleet: list[Host]) -> None:
    """A check fails if the server refuses a setting, and the old server keeps running."""
    before = find_server(fleet)

    report = check(fleet, REPLY="")

    assert report.exit_code != 0
    assert "the server cannot be replaced by what is configured now: rollback" in report.output
    assert find_server(fleet) == before


def test_node_without_the_image_is_named(fleet: list[Host]) -> None:
    """A node that cannot get the client's image is named at once, with Docker's reason."""
    report = check(fleet, CLIENT_IMAGE="own/none:1")

    assert report.exit_code != 0
    assert report.statuses == {host.name: "no-result" for host in fleet}
    assert "No such image: own/none:1" in report.output


def test_node_behind_a_narrow_wire_is_named(fleet: list[Host]) -> None:
    """A node that loses only large packets, outgoing or incoming, is named."""
    _, *narrow = fleet
    move_server(fleet, *narrow)

    def filter_large_packets(action: str) -> None:
        # This is a wire with a smaller MTU than the hosts'. Swarm's own TCP would learn it by
        # ICMP, so only VXLAN is dropped.
        large = "--protocol udp --dport 4789 --match length --length 1401:"
        for host, chain in zip(narrow, ("OUTPUT", "INPUT"), strict=True):
            host.run(f"iptables --wait --{action} {chain} {large} --jump DROP")

    # With the default DEADLINE: hosts are slow to learn where the server runs now.
    sound = check(fleet)
    filter_large_packets("insert")
    # The figures are those of the last attempt. DEADLINE may end it before any segment is sent
    # again.
    broken = check(fleet, DEADLINE="6")
    filter_large_packets("delete")
    mended = check(fleet)

    assert sound.exit_code == 0, sound.output
    assert broken.exit_code != 0
    expected = {host.name: "no-reply" if host in narrow else "ok" for host in fleet}
    assert broken.statuses == expected, broken.output
    assert mended.exit_code == 0, mended.output


# This test is the last, because it kills a host.
def test_waiting_client_is_answered_by_the_rescheduled_server(fleet: list[Host]) -> None:
    """Waiting clients get the reply from a new server after the old server's host is lost."""
    lost, server = move_server(fleet, *fleet[:-1])
    # The clients wait, because the kernel accepts connections for a suspended server. (A paused
    # container would not even die with its host.)
    server.kill("STOP")

    with start_check(fleet[0]) as process:
        until(
            lambda: any(
                "waiting for" in log_of(client) for _, client in containers(fleet[:1], "client")
            ),
            *(PATIENCE, 0.1),
            awaited="a client that waits",
        )
        lost.lose()
        fleet.remove(lost)
        after = Report(process)

    expected = {lost.name: "down"} | {host.name: "ok" for host in fleet}
    assert after.statuses == expected, after.output
    assert int(after.rows[fleet[0].name][1]) > 1
    assert after.exit_code != 0
    ((host, _),) = containers(fleet, "server")
    assert host is not lost
