"""The client waits for services that nobody here wrote, as the README says."""

import re
import shlex
from collections.abc import Iterator

import pytest
from docker.models.containers import Container

from tests.containers.conftest import Start
from tests.containers.services import SERVICES
from tests.containers.support import NewPair, Pair, exit_code, logged, result
from tests.support import ROOT

# None of this changes what is waited for, only how long that takes.
QUICK = {"RETRY_DELAY": "0.2", "CONNECT_TIMEOUT": "0.5", "DEADLINE": "30", "OUTPUT": "json"}


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


def client(pair: Pair, start: Start, env: dict[str, str]) -> Container:
    """Start a client with these variables."""
    env = env | QUICK | {"SERVER_HOST": pair.env["SERVER_HOST"]}
    return start(f"{pair.project}-client", pair.env["CLIENT_HOST"], environment=env)


def serve(pair: Pair, start: Start, image: str, name: str) -> Container:
    """Start a service, which may look its client's name up, but asks nobody outside."""
    script, user, *_ = SERVICES[name]
    command = ["sh", "-ec", script]
    return start(image, pair.env["SERVER_HOST"], command=command, user=user, dns=["127.0.0.1"])


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_comes_later(
    pair: Pair, start: Start, services_image: str, service: str
) -> None:
    """A client set up as the README says waits for it, and while it starts, and ends with 0."""
    env = documented()[service]
    waiting = client(pair, start, env)
    logged(waiting, "waiting for")
    container = serve(pair, start, services_image, service)
    if not_yet := SERVICES[service].not_yet:
        logged(waiting, f"unexpected reply: {not_yet}")
        container.exec_run(SERVICES[service].go)

    assert exit_code(waiting) == 0
    found = result(waiting)
    assert found["peer"].endswith(f":{env['SERVER_PORT']}")
    assert found["attempts"] > 1


def test_a_service_that_wants_a_password(pair: Pair, start: Start, services_image: str) -> None:
    """A Redis that asks for one is a wrong reply, which is final by default: exit code 76."""
    env = documented()["Redis"]
    del env["WRONG_REPLY"]
    serve(pair, start, services_image, "Redis with a password")
    refused = client(pair, start, env)
    assert exit_code(refused) == 76
    assert result(refused)["reply"].startswith("-NOAUTH")


def test_the_readme_names_every_service() -> None:
    """What the README says how to wait for is tested here, and nothing else."""
    assert documented().keys() == SERVICES.keys()
