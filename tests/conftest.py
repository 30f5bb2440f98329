"""The fixtures of more than one folder: Docker, the images, and copies of the project."""

import os
from collections.abc import Generator, Iterator
from itertools import count
from secrets import token_hex
from typing import Any

import pytest
from docker import DockerClient
from docker.errors import DockerException
from docker.models.containers import Container
from dotenv import dotenv_values
from hypothesis import settings
from testcontainers.core import docker_client as testcontainers

from tests.lib.containers import NewPair, Pair, Start, image_of, report, skip_or_fail
from tests.lib.support import ROOT

# A time limit for each example would measure the machine, not the code.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the state and the log of each container with a failure."""
    outcome = yield
    known: dict[str, Any] = {}
    if outcome.failed and isinstance(item, pytest.Function):
        known = item.funcargs
    if "docker_client" in known and "run_name" in known:
        containers = report(known["docker_client"], known["run_name"])
        outcome.sections.append(("Containers", containers))
    for host in known.get("hosts", ()):  # of tests/all/swarm
        outcome.sections.append((host.name, host.report()))
    return outcome


@pytest.fixture(scope="session")
def docker_client() -> Iterator[DockerClient]:
    """Connect to Docker as testcontainers does, without the user's settings of the pair."""
    with pytest.MonkeyPatch.context() as patch:
        # testcontainers' own sweeper is one more image, and does not know what Compose makes.
        patch.setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
        # Compose prefers the environment to .env. The base image is the same in both.
        names = dotenv_values(ROOT / ".env.example").keys() - {"PYTHON_IMAGE"}
        for name in [*os.environ]:
            if name in names or name.startswith("COMPOSE_"):
                patch.delenv(name)
        try:
            client = testcontainers.DockerClient().client
            client.ping()
        except (DockerException, OSError) as error:
            skip_or_fail(f"Docker does not answer: {error}")
        yield client
        client.close()


@pytest.fixture(scope="session")
def run_name() -> str:
    """Name this run: all that it makes has a name that begins so (see tools/run_tests.py)."""
    run = os.environ.get("TEST_RUN", "tcp-pair-test-" + token_hex(4))
    return f"{run}-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"


@pytest.fixture(scope="session")
def base_image(docker_client: DockerClient) -> str:
    """Return the name of the base image."""
    return image_of(docker_client, "PYTHON_IMAGE")


@pytest.fixture(scope="session")
def services_image(docker_client: DockerClient) -> str:
    """Return the name of the image with services of others."""
    return image_of(docker_client, "SERVICES_IMAGE")


@pytest.fixture(scope="session")
def images(docker_client: DockerClient) -> dict[str, str]:
    """Return the names of both images, by service."""
    return {
        service: image_of(docker_client, f"{service.upper()}_IMAGE")
        for service in ("server", "client")
    }


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


@pytest.fixture
def start(docker_client: DockerClient, pair: Pair) -> Iterator[Start]:
    """Return what starts a container of an image at a fixed address of the pair's network."""
    started: list[Container] = []

    def start(image: str, address: str, **options: Any) -> Container:
        endpoint = docker_client.api.create_endpoint_config(ipv4_address=address)
        container = docker_client.containers.run(
            image,
            name=f"{pair.project}-started-{len(started)}",
            detach=True,
            network=pair.network,
            networking_config={pair.network: endpoint},
            **options,
        )
        started.append(container)
        return container

    yield start
    for container in started:
        container.remove(force=True)
