"""The client waits for services that nobody here wrote, as the README says."""

from collections.abc import Callable, Iterator

import pytest
from testcontainers.core.container import DockerContainer

from tests.containers.support import at, docker, exit_code, fixed_addresses, logged, result
from tests.services.support import SERVICES, documented

# None of this changes what is waited for, only how long that takes.
QUICK = {"RETRY_DELAY": "0.2", "CONNECT_TIMEOUT": "0.5", "DEADLINE": "30", "OUTPUT": "json"}

Describe = Callable[..., DockerContainer]


@pytest.fixture(scope="module")
def describe(name: str, images: dict[str, str], services_image: str) -> Iterator[Describe]:
    """Return what describes the container of a service, or without one, that of a client."""
    with fixed_addresses(f"{name}-network") as (network, addresses):

        def describe(service: str = "", **env: str) -> DockerContainer:
            if service:
                script, user, *_ = SERVICES[service]
                host, container = addresses["SERVER_HOST"], f"{name}-service"
                theirs = at(host, network, services_image, container, user=user)
                return theirs.with_command(["sh", "-ec", script])
            ours = at(addresses["CLIENT_HOST"], network, images["client"], f"{name}-waiting")
            return ours.with_envs(**QUICK, SERVER_HOST=addresses["SERVER_HOST"], **env)

        yield describe


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_comes_later(describe: Describe, service: str) -> None:
    """A client set up as the README says waits for it, and while it starts, and ends with 0."""
    env = documented()[service]
    with describe(**env) as waiting:
        client = waiting.get_container_id()
        logged(client, "waiting for")
        with describe(service) as container:
            if not_yet := SERVICES[service].not_yet:
                logged(client, f"Wrong reply: {not_yet}")
                docker("exec", container.get_container_id(), *SERVICES[service].go)

            assert exit_code(client) == 0
        found = result(client)
        assert found["peer"].endswith(f":{env['SERVER_PORT']}")
        assert found["attempts"] > 1


def test_a_service_that_wants_a_password(describe: Describe) -> None:
    """A Redis that asks for one is a wrong reply, which is final by default: exit code 76."""
    env = documented()["Redis"]
    del env["WRONG_REPLY"]
    with describe("Redis with a password"), describe(**env) as asking:
        client = asking.get_container_id()
        assert exit_code(client) == 76
        assert result(client)["reply"].startswith("-NOAUTH")


def test_the_readme_names_every_service() -> None:
    """What the README says how to wait for is tested here, and nothing else."""
    assert documented().keys() == SERVICES.keys()
