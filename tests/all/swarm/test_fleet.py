"""The stack on a swarm, and one check from every node, by make fleet-check."""

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import pytest

from tests.lib.containers import PATIENCE
from tests.lib.support import until
from tests.lib.swarm import Host, environment

pytestmark = pytest.mark.xdist_group("swarm")

_ROW = re.compile(r"(host\d)  (\S+)" + 6 * r" +(\S+)")


class Report(NamedTuple):
    """The end of make fleet-check; ``rows`` by node, each from its status on."""

    exit_code: int
    output: str

    @property
    def rows(self) -> dict[str, list[str]]:
        found = filter(None, map(_ROW.fullmatch, self.output.splitlines()))
        return {row[1]: list(row.groups()[1:]) for row in found}

    @property
    def statuses(self) -> dict[str, str]:
        return {name: row[0] for name, row in self.rows.items()}


class Fleet:
    """The hosts of a swarm, with the stack on it; the first host is its manager."""

    def __init__(self, hosts: list[Host]) -> None:
        self.hosts = hosts
        self.manager = hosts[0]
        first = self.check()
        assert first.exit_code == 0, first.output

    @contextmanager
    def started_check(self, **env: str) -> Iterator[subprocess.Popen[str]]:
        """Run make fleet-check on the manager while something else happens."""
        with subprocess.Popen(
            ["make", "--no-print-directory", "fleet-check"],
            cwd=self.manager.project,
            env=environment(DOCKER_HOST=self.manager.daemon, **env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def check(self, **env: str) -> Report:
        """Run make fleet-check to its end."""
        with self.started_check(**env) as process:
            return report(process)

    def containers(self, service: str, *options: str) -> list[tuple[Host, str]]:
        """List the running containers of a service, the latest first, and where they are."""
        label = f"--filter=label=com.docker.swarm.service.name=tcp-pair_{service}"
        return [
            (host, container)
            for host in self.hosts
            for container in host.docker("ps", "--quiet", label, *options).split()
        ]

    def server(self, *, but: str = "", away_from: Sequence[Host] = ()) -> tuple[Host, str]:
        """Wait for a healthy server, but this container or one on these hosts."""

        def found() -> list[tuple[Host, str]]:
            servers = self.containers("server", "--filter=health=healthy")
            is_one = len(servers) == 1 and servers[0][0] not in away_from
            return servers if is_one and servers[0][1] != but else []

        ((host, container),) = until(found, PATIENCE, pause=0.1, awaited="a healthy server")
        return host, container

    def move_server(self, *hosts: Host) -> tuple[Host, str]:
        """Have the server run on none of these hosts; return where it is, and its container."""
        # All hosts before the server moves, so that it moves once.
        for availability in ("drain", "active"):
            for host in hosts:
                change = ("node", "update", f"--availability={availability}")
                self.manager.docker(*change, host.name)
            found = self.server(away_from=hosts)
        return found


def report(process: subprocess.Popen[str]) -> Report:
    """Wait until a check ends."""
    output, _ = process.communicate(timeout=PATIENCE)
    return Report(process.returncode, output)


@pytest.fixture(scope="module")
def fleet(hosts: list[Host]) -> Fleet:
    """Put the stack on the swarm."""
    return Fleet(hosts)


def test_every_node_reports_each_check(fleet: Fleet) -> None:
    """Each run prints one line for every node, and each line stands for a message sent."""
    server, container = fleet.server()
    before = server.log(container).count(": Testando conexão")

    report = fleet.check()

    assert report.exit_code == 0, report.output
    assert report.statuses == {host.name: "ok" for host in fleet.hosts}
    for row in report.rows.values():
        attempts, connect_ms, reply_ms, rtt_ms, mss, resent = map(float, row[1:])
        assert min(attempts, connect_ms, reply_ms, rtt_ms) > 0
        # The overlay has 1,450 of the wire's 1,500 bytes; IP, TCP and its time take 52.
        assert mss == 1398
        assert resent >= 0
    assert server.log(container).count(": Testando conexão") == before + len(fleet.hosts)


def test_check_takes_what_is_configured_now(fleet: Fleet) -> None:
    """A port and a REPLY of .env, and a MESSAGE of the shell, reach the server before the check."""
    fleet.manager.configure(SERVER_PORT="9999", REPLY="another $REPLY")

    report = fleet.check(MESSAGE="from a shell")

    assert report.exit_code == 0, report.output
    server, container = fleet.server()
    assert f": from a shell{188 * '.'}" in server.log(container)
    clients = fleet.containers("client", "--all", "--latest")
    assert len(clients) == len(fleet.hosts)
    for host, client in clients:
        result = json.loads(host.docker("logs", client))
        assert result["reply"] == "another $REPLY".ljust(4000, ".")
        assert result["peer"].endswith(":9999")


def test_server_that_cannot_run_is_rolled_back(fleet: Fleet) -> None:
    """A check with a value that the server refuses fails, and the old server stays."""
    before = fleet.server()

    report = fleet.check(REPLY="")

    assert report.exit_code != 0
    assert "the server cannot be replaced by what is configured now: rollback" in report.output
    assert fleet.server() == before


def test_stopped_server_is_started_again(fleet: Fleet) -> None:
    """A server that ends with 0, by a signal, is replaced."""
    host, container = fleet.server()
    host.docker("kill", "--signal=TERM", container)

    fleet.server(but=container)


def test_node_without_the_image_is_named(fleet: Fleet) -> None:
    """A node that cannot get the client's image is named at once, with Docker's reason."""
    report = fleet.check(CLIENT_IMAGE="own/none:1")

    assert report.exit_code != 0
    assert report.statuses == {host.name: "no-result" for host in fleet.hosts}
    assert "No such image: own/none:1" in report.output


def test_node_behind_a_narrow_wire_is_named(fleet: Fleet) -> None:
    """A node that loses only large packets, on their way out or in, is named."""
    _, *narrow = fleet.hosts
    fleet.move_server(*narrow)

    # With the whole DEADLINE: hosts are slow to learn where the server has gone.
    sound = fleet.check()
    with ExitStack() as wires:
        # Figures are of the last attempt, which DEADLINE may cut short: no segment need have been
        # sent again in it.
        for host, chain in zip(narrow, ("OUTPUT", "INPUT"), strict=True):
            wires.enter_context(host.narrow(chain))
        broken = fleet.check(DEADLINE="6")
    mended = fleet.check()

    assert sound.exit_code == 0, sound.output
    assert broken.exit_code != 0
    expected = {host.name: "no-reply" if host in narrow else "ok" for host in fleet.hosts}
    assert broken.statuses == expected, broken.output
    assert mended.exit_code == 0, mended.output


# The last one: it ends a host for good.
def test_waiting_client_is_answered_by_the_rescheduled_server(fleet: Fleet) -> None:
    """The server's host is lost while clients wait: one elsewhere takes over, and they get 200."""
    lost, container = fleet.move_server(*fleet.hosts[:-1])
    # So that they wait: the kernel takes connections for a server that is stopped. (A container
    # that is paused would not even die with its host.)
    lost.docker("kill", "--signal=STOP", container)

    with fleet.started_check() as process:
        until(
            lambda: any(
                host is fleet.manager and "waiting for" in host.log(client)
                for host, client in fleet.containers("client")
            ),
            *(PATIENCE, 0.1),
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
