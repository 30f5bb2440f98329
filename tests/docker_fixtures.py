"""What the tests that use Docker share, made once for a whole run; nothing is left at its end."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from itertools import count
from secrets import token_hex
from typing import Any, NoReturn

import pytest
from docker import DockerClient
from docker.errors import DockerException, ImageNotFound
from dotenv import dotenv_values
from testcontainers.compose import DockerCompose
from testcontainers.core import docker_client as testcontainers

from tests.containers import sweeper
from tests.containers.support import NewPair, Pair, report
from tests.support import ROOT


def skip_or_fail(why: str) -> NoReturn:
    """Skip what Docker cannot do here; with REQUIRE_DOCKER=1 that is a failure."""
    if os.environ.get("REQUIRE_DOCKER") == "1":
        pytest.fail(f"REQUIRE_DOCKER=1, but {why}")
    pytest.skip(why)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure the state and the log of each container that is there."""
    outcome = yield
    known: dict[str, Any] = {}
    if outcome.failed and isinstance(item, pytest.Function):
        known = item.funcargs
    if "docker_client" in known and "run_name" in known:
        containers = report(known["docker_client"], known["run_name"])
        outcome.sections.append(("Containers", containers))
    for host in known.get("hosts", ()):  # of tests/cluster
        outcome.sections.append((host.name, host.report()))
    return outcome


@pytest.fixture(scope="session")
def docker_client() -> Iterator[DockerClient]:
    """Connect to Docker as testcontainers does, with the environment as the tests need it."""
    with pytest.MonkeyPatch.context() as patch:
        # testcontainers' own sweeper is one more image, and does not know what Compose makes.
        patch.setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
        # Compose believes the environment more than any .env. The base image is the same in both.
        settings = dotenv_values(ROOT / ".env.example").keys() - {"PYTHON_IMAGE"}
        for name in [*os.environ]:
            if name in settings or name.startswith("COMPOSE_"):
                patch.delenv(name)
        try:
            client = testcontainers.DockerClient().client
            client.ping()
            subprocess.run(["docker", "compose", "version"], check=True, capture_output=True)
        except (DockerException, OSError, subprocess.CalledProcessError) as error:
            skip_or_fail(f"Docker or its Compose does not answer: {error}")
        yield client
        client.close()


@pytest.fixture(scope="session")
def run_name(request: pytest.FixtureRequest) -> Iterator[str]:
    """Name this run: what it makes has a name that begins so, and is swept away afterwards."""
    request.getfixturevalue("docker_client")  # without Docker there is nothing to sweep
    name = sweeper.PREFIX + token_hex(4)
    # SIGTERM by itself would leave no time to take anything down; a job of a shell's background
    # ignores SIGINT.
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.signal(number, signal.default_int_handler) for number in signals}
    with subprocess.Popen(
        [sys.executable, str(sweeper.__file__), name],
        stdin=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        yield name
        if request.session.exitstatus != pytest.ExitCode.INTERRUPTED:
            assert process.stdin
            process.stdin.write(b"in order")
    for number, handler in handlers.items():
        signal.signal(number, handler)


def made(client: DockerClient, image: str) -> str:
    """Make sure of an image that `make test` gets ready; return its name."""
    try:
        client.images.get(image)
    except ImageNotFound as error:
        skip_or_fail(f"`make test` has not got {image} ready: {error.explanation}")
    return image


@pytest.fixture(scope="session")
def base_image(docker_client: DockerClient) -> str:
    """Name the base image, which is PYTHON_IMAGE where Compose finds it."""
    server = DockerCompose(ROOT).get_config()["services"]["server"]
    return made(docker_client, str(server["build"]["args"]["PYTHON_IMAGE"]))


@pytest.fixture(scope="session")
def services_image(docker_client: DockerClient) -> str:
    """Name the image of services that are not ours."""
    return made(docker_client, os.environ.get("SERVICES_IMAGE", "tcp-pair-services:trixie"))


@pytest.fixture(scope="session")
def images(
    docker_client: DockerClient,
    run_name: str,
    base_image: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """Build both images; return their names, by service."""
    folder = tmp_path_factory.mktemp(run_name, numbered=False)
    pair = Pair(docker_client, folder, PYTHON_IMAGE=base_image)
    pair.compose("build")
    return {service: f"{pair.project}-{service}" for service in ("server", "client")}


@pytest.fixture(scope="session")
def new_pair(
    docker_client: DockerClient,
    run_name: str,
    base_image: str,
    images: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> NewPair:
    """Return what copies the project; it takes lines for .env."""
    numbers = count(1)

    def copy(**env: str) -> Pair:
        # Compose names a project after its folder, and builds an image that is there only if told.
        folder = tmp_path_factory.mktemp(f"{run_name}-{next(numbers)}", numbered=False)
        for service, image in images.items():
            docker_client.images.get(image).tag(f"{folder.name}-{service}")
        return Pair(docker_client, folder, PYTHON_IMAGE=base_image, **env)

    return copy
