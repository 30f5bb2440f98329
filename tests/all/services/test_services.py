"""The client waits for third-party services by SERVER_PROTOCOL."""

import re
from collections.abc import Iterator

import pytest
from docker import DockerClient
from docker.models.containers import Container

from app.services import SERVICES as PROTOCOLS
from tests.lib.containers import logged
from tests.lib.services import SERVICES
from tests.lib.support import ROOT

# These settings change only how long a wait takes.
QUICK = {"SERVER_HOST": "service", "RETRY_DELAY": "0.2", "REPLY_TIMEOUT": "0.5"}
CLIENT = "python3 -m app.client"

# The commands that wait for each service, with those of docs/reference.md.
COMMANDS = {name: [f"SERVER_PROTOCOL={name} {CLIENT}"] for name in PROTOCOLS}
DOCUMENTED = r"(?m)^# (.+)\n(SERVER_HOST=localhost SERVER_PROTOCOL=.+)"
for _name, _command in re.findall(DOCUMENTED, (ROOT / "docs/reference.md").read_text()):
    COMMANDS.setdefault(_name.lower(), []).append(_command)


@pytest.fixture
def container(
    docker_client: DockerClient, run_name: str, services_image: str
) -> Iterator[Container]:
    """Start a container named ``service`` that contains the project and runs no service yet."""
    container = docker_client.containers.run(
        services_image,
        ["sleep", "infinity"],
        name=f"{run_name}-service",
        hostname="service",
        init=True,
        detach=True,
        dns=["127.0.0.1"],  # no name server
        environment=QUICK,
        volumes={str(ROOT): {"bind": "/tcp-pair", "mode": "ro"}},
        working_dir="/tcp-pair",
    )
    yield container
    container.remove(force=True)


def run(container: Container, command: str, **env: str) -> int:
    """Run a command in the container; return its exit code."""
    return int(container.exec_run(["sh", "-c", command], environment=env).exit_code)


@pytest.mark.parametrize("name", SERVICES)
def test_client_waits_until_a_service_can_be_used(container: Container, name: str) -> None:
    """The client ends with 69 without a service, and with 0 once the service can be used."""
    service = SERVICES[name]
    for command in COMMANDS[name]:
        assert run(container, command, RETRY_DELAY="60") == 69  # no second attempt fits
    log = "2>/proc/1/fd/2; echo ended with $? >/proc/1/fd/2"
    container.exec_run(["sh", "-c", f"{COMMANDS[name][0]} {log}"], detach=True)
    logged(container, "waiting for")
    container.exec_run(service.command, user=service.user, detach=True)
    if service.not_yet:
        logged(container, service.not_yet)
        container.exec_run(["touch", "/tmp/go"])

    assert logged(container, "ended with") == "ended with 0"
    for command in COMMANDS[name][1:]:
        assert run(container, command) == 0


def test_waits_do_not_lock_the_host_out(container: Container) -> None:
    """Repeated waits for MariaDB do not lock the client's host out, because each sends a login."""
    login = "mariadb --host=service --user=app --skip-ssl --execute 'SELECT 1'"
    wait = f"SERVER_PROTOCOL=mysql {CLIENT}"
    container.exec_run(["touch", "/tmp/go"])
    container.exec_run(SERVICES["mysql"].command, detach=True)
    assert run(container, f"for i in 1 2 3 4 5 6 7 8 9 10 11 12; do {wait} || exit; done") == 0
    assert run(container, login) == 0
    assert run(container, f"MESSAGE= {wait}") == 0
    assert run(container, login) == 1


def test_every_protocol_has_its_service() -> None:
    """Each protocol, and each service in docs/reference.md, has a test with the real service.

    The exception is ZooKeeper, which tests/loopback/test_services.py covers.
    """
    assert COMMANDS.keys() == SERVICES.keys() | {"zookeeper"}
