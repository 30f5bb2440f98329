"""The client waits for services that nobody here wrote, as the README says."""

import re
import shlex
from collections.abc import Callable, Iterator

import pytest
from docker.models.containers import Container

from tests.containers.services import SERVICES
from tests.containers.support import NewPair, Pair, exit_code, logged, result
from tests.support import ROOT

# None of this changes what is waited for, only how long that takes.
QUICK = {"RETRY_DELAY": "0.2", "CONNECT_TIMEOUT": "0.5", "DEADLINE": "30", "OUTPUT": "json"}

# A service may look its client's name up before it answers: nobody outside is to be asked.
NOBODY = ["127.0.0.1"]

Start = Callable[..., Container]


def documented() -> dict[str, dict[str, str]]:
    """Return what the README tells a user to set, by the name of the service."""
    section = (ROOT / "README.md").read_text().split("\n## Wait for any service\n")[1]
    (block,) = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[:1]
    found = {}
    for line in block.splitlines():
        assignments, _, name = line.partition("  # ")
        found[name] = dict(word.split("=", 1) for word in shlex.split(assignments))
    return found


@pytest.fixture(scope="module")
def pair(new_pair: NewPair) -> Iterator[Pair]:
    """Make a network with two fixed addresses."""
    with new_pair() as pair:
        yield pair


@pytest.fixture
def start(pair: Pair, services_image: str) -> Iterator[Start]:
    """Return what starts the container of a service, or without one, that of a client."""
    started: list[Container] = []

    def start(service: str = "", **env: str) -> Container:
        name = f"{pair.project}-started-{len(started)}"
        if service:
            script, user, *_ = SERVICES[service]
            address, command = pair.env["SERVER_HOST"], ["sh", "-ec", script]
            found = pair.run(
                services_image, address, name=name, command=command, user=user, dns=NOBODY
            )
        else:
            env |= QUICK | {"SERVER_HOST": pair.env["SERVER_HOST"]}
            image, address = f"{pair.project}-client", pair.env["CLIENT_HOST"]
            found = pair.run(image, address, name=name, environment=env)
        started.append(found)
        return found

    yield start
    for container in started:
        container.remove(force=True)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_comes_later(start: Start, service: str) -> None:
    """A client set up as the README says waits for it, and while it starts, and ends with 0."""
    env = documented()[service]
    client = start(**env)
    logged(client, "waiting for")
    container = start(service)
    if not_yet := SERVICES[service].not_yet:
        logged(client, f"Wrong reply: {not_yet}")
        container.exec_run(SERVICES[service].go)

    assert exit_code(client) == 0
    found = result(client)
    assert found["peer"].endswith(f":{env['SERVER_PORT']}")
    assert found["attempts"] > 1


def test_a_service_that_wants_a_password(start: Start) -> None:
    """A Redis that asks for one is a wrong reply, which is final by default: exit code 76."""
    env = documented()["Redis"]
    del env["WRONG_REPLY"]
    start("Redis with a password")
    client = start(**env)
    assert exit_code(client) == 76
    assert result(client)["reply"].startswith("-NOAUTH")


def test_the_readme_names_every_service() -> None:
    """What the README says how to wait for is tested here, and nothing else."""
    assert documented().keys() == SERVICES.keys()
