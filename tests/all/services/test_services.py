"""The client waits for services that nobody here wrote, as the README says."""

import re
import shlex
from collections.abc import Iterator

import pytest
from docker import DockerClient
from docker.models.containers import Container

from tests.lib.containers import NewPair, Pair, Start, exit_code, logged, result
from tests.lib.services import SERVICES
from tests.lib.support import ROOT, until

# None of this changes what is waited for, only how long that takes.
QUICK = {"RETRY_DELAY": "0.2", "CONNECT_TIMEOUT": "0.5", "DEADLINE": "30", "OUTPUT": "json"}


def lines() -> dict[str, str]:
    """Return the commands that the README gives, by the name of the service."""
    section = (ROOT / "README.md").read_text().split("\n## Wait for any service\n")[1]
    (block,) = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[:1]
    return dict(re.findall(r"# (.+)\n(.+)\n", block))


def documented() -> dict[str, dict[str, str]]:
    """Return the variables that those commands set."""
    return {
        name: dict(word.split("=", 1) for word in shlex.split(line) if "=" in word)
        for name, line in lines().items()
    }


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
        logged(waiting, f"Wrong reply: {not_yet}")
        container.exec_run(SERVICES[service].go)

    assert exit_code(waiting) == 0
    found = result(waiting)
    assert found["peer"].endswith(f":{env['SERVER_PORT']}")
    assert found["attempts"] > 1


@pytest.mark.parametrize("service", SERVICES)
def test_the_line_as_it_stands(
    docker_client: DockerClient, run_name: str, services_image: str, service: str
) -> None:
    """A line of the README ends with 69 without its service, with 0 once that can be used."""
    container = docker_client.containers.run(
        services_image,
        ["sleep", "infinity"],
        name=f"{run_name}-line",
        init=True,
        detach=True,
        network="none",
        volumes={str(ROOT): {"bind": "/tcp-pair", "mode": "ro"}},
    )

    def run(env: dict[str, str]) -> int:
        command = ["sh", "-c", lines()[service]]
        return int(container.exec_run(command, workdir="/tcp-pair", environment=env).exit_code)

    try:
        assert run({"DEADLINE": "0.1"}) == 69
        script, user, not_yet, go = SERVICES[service]
        container.exec_run(["sh", "-ec", script], user=user, detach=True)
        if not_yet:
            until(lambda: run({"DEADLINE": "0.5"}), is_right=(76).__eq__, awaited="starting")
            container.exec_run(go)
        assert run({}) == 0
    finally:
        container.remove(force=True)


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
