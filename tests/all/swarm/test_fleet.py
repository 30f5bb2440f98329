"""The stack on a swarm, and one check from every node, by make fleet-check."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from tests.lib.support import until
from tests.lib.swarm import PATIENCE, Host, environment

pytestmark = pytest.mark.xdist_group("swarm")

_ROW = re.compile(r"(host\d)  (\S+)" + 6 * r" +(\S+)")


class Report(NamedTuple):
    """What make fleet-check came to; ``rows`` by node, without its name."""

    exit_code: int
    output: str

    @property
    def rows(self) -> dict[str, list[str]]:
        """Return what is shown of each node, from its status on."""
        found = filter(None, map(_ROW.fullmatch, self.output.splitlines()))
        return {row[1]: list(row.groups()[1:]) for row in found}

    @property
    def statuses(self) -> dict[str, str]:
        """Return the status of each node."""
        return {name: row[0] for name, row in self.rows.items()}


class Fleet:
    """The hosts of a swarm, with the stack on it; the first host is its manager."""

    def __init__(self, hosts: list[Host]) -> None:
        self.hosts = hosts
        self.manager = hosts[0]
        self.first = self.check()
        assert self.first.exit_code == 0, self.first.output

    @contextmanager
    def started_check(self, host: Host, **env: str) -> Iterator[subprocess.Popen[str]]:
        """Run make fleet-check on a host while something else happens."""
        with subprocess.Popen(
            ["make", "--no-print-directory", "fleet-check"],
            cwd=host.project,
            env=environment(DOCKER_HOST=host.daemon, **env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def check(self, host: Host | None = None, **env: str) -> Report:
        """Run make fleet-check to its end, on the manager unless it is to be another host."""
        with self.started_check(host or self.manager, **env) as process:
            return report(process)

    def containers(self, service: str, *filters: str) -> list[tuple[Host, str]]:
        """List the running containers of a service, and where they are."""
        label = f"label=com.docker.swarm.service.name=tcp-pair_{service}"
        options = [f"--filter={text}" for text in (label, *filters)]
        return [
            (host, container)
            for host in self.hosts
            for container in host.docker("ps", "--quiet", *options).split()
        ]

    def server_away_from(self, *hosts: Host) -> tuple[Host, str]:
        """Have the server run on none of these hosts; return where it is, and its container."""

        def elsewhere() -> tuple[Host, str] | None:
            found = self.containers("server", "health=healthy")
            return found[0] if len(found) == 1 and found[0][0] not in hosts else None

        # All hosts before the server moves, so that it moves once.
        for availability in ("drain", "active"):
            for host in hosts:
                change = ("node", "update", f"--availability={availability}")
                self.manager.docker(*change, host.name)
            found = until(elsewhere, PATIENCE, pause=0.1, awaited="a server on another host")
        assert found
        return found


def report(process: subprocess.Popen[str]) -> Report:
    """Wait until a check ends."""
    output, _ = process.communicate(timeout=PATIENCE)
    return Report(process.returncode, output)


@pytest.fixture(scope="module")
def fleet(hosts: list[Host]) -> Fleet:
    """Put the stack on the swarm, whose last host is a worker."""
    if len(hosts) == 2:
        # Two managers can do nothing without one of them.
        hosts[0].docker("node", "demote", hosts[1].name)
    return Fleet(hosts)


def test_every_node_checks_anew_each_time(fleet: Fleet) -> None:
    """Each run prints one green line for every node, and each line stands for a message sent."""
    ((server, container),) = fleet.containers("server")
    before = server.log(container).count(": Testando conexão")

    again = fleet.check()

    assert again.exit_code == 0, again.output
    for report in (fleet.first, again):
        assert report.statuses == {host.name: "ok" for host in fleet.hosts}
        for attempts, connect_ms, reply_ms, rtt_ms, mss, resent in (
            row[1:] for row in report.rows.values()
        ):
            assert int(attempts) >= 1
            assert float(connect_ms) > 0
            assert float(reply_ms) > 0
            assert float(rtt_ms) > 0
            # The overlay has 1,450 of the wire's 1,500 bytes; IP, TCP and its time take 52.
            assert int(mss) == 1398
            assert int(resent) >= 0
    after = server.log(container).count(": Testando conexão")
    assert after == before + len(fleet.hosts)


def test_the_check_asks_the_server_that_is_configured_now(fleet: Fleet) -> None:
    """A REPLY changed in .env reaches the server first, and the check afterwards."""
    fleet.manager.configure(REPLY="another $REPLY")

    report = fleet.check()

    server, container = fleet.server_away_from()
    assert report.exit_code == 0, report.output
    configured = server.inspect("container", container)["Config"]["Env"]
    assert "REPLY=another $REPLY".ljust(len("REPLY=") + 4000, ".") in configured


def test_the_containers_of_the_stack_may_do_little(fleet: Fleet) -> None:
    """The server runs read-only, without capabilities, as an unprivileged user, within limits."""
    server, container = fleet.server_away_from()

    found = server.inspect("container", container)

    host = found["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] in (["ALL"], ["all"])
    assert found["Config"]["User"] == "10001:10001"
    assert (host["Memory"], host["PidsLimit"]) == (128 * 1024 * 1024, 16)
    assert not host["PortBindings"]


def test_a_worker_cannot_check(fleet: Fleet) -> None:
    """On a node that is no manager, the command says so and fails."""
    report = fleet.check(fleet.hosts[-1])

    assert report.exit_code != 0
    assert not report.rows
    assert "fleet-check: docker " in report.output


def test_a_node_behind_a_narrow_wire_is_named(fleet: Fleet) -> None:
    """Where small packets pass and large ones are lost, either way, one node is red by name."""
    narrow = fleet.hosts[-1]
    fleet.server_away_from(narrow)

    # With the whole DEADLINE: hosts are slow to learn where the server has gone.
    sound = fleet.check()
    broken = {}
    for chain in ("OUTPUT", "INPUT"):
        with narrow.narrow(chain):
            broken[chain] = fleet.check(DEADLINE="4")
    mended = fleet.check()

    assert sound.exit_code == 0, sound.output
    expected = {host.name: "no-reply" if host is narrow else "ok" for host in fleet.hosts}
    for report in broken.values():
        assert report.exit_code != 0
        assert report.statuses == expected, report.output
    # What is lost on its way to the client, the server sends again.
    again = rf"{narrow.name} did not get the right reply: .*, \d+ segments? sent again"
    assert re.search(again, broken["OUTPUT"].output), broken["OUTPUT"].output
    assert mended.exit_code == 0, mended.output
    assert mended.statuses == {host.name: "ok" for host in fleet.hosts}


# The last one: it ends a host for good.
def test_a_waiting_client_is_answered_by_the_rescheduled_server(fleet: Fleet) -> None:
    """The server's host is lost while clients wait: one elsewhere takes over, and they get 200."""
    lost, container = fleet.server_away_from(*fleet.hosts[:-1])
    # So that they wait: the kernel takes connections for a server that is stopped. (A container
    # that is paused would not even die with its host.)
    lost.docker("kill", "--signal=STOP", container)

    with fleet.started_check(fleet.manager) as process:
        until(
            lambda: any(
                host is fleet.manager and "waiting for" in host.log(client)
                for host, client in fleet.containers("client")
            ),
            PATIENCE,
            pause=0.1,
            awaited="a client that waits",
        )
        lost.lose()
        fleet.hosts.remove(lost)
        after = report(process)

    expected = {lost.name: "down"} | {host.name: "ok" for host in fleet.hosts}
    assert after.statuses == expected, after.output
    assert int(after.rows[fleet.manager.name][1]) > 1
    assert after.exit_code != 0
    ((host, _),) = fleet.containers("server")
    assert host is not lost
