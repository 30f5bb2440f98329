"""Fixtures that several folders share: Docker, the images, and copies of the project."""

import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from docker import DockerClient
from dotenv import dotenv_values
from hypothesis import settings
from testcontainers.core import docker_client as testcontainers

from tests.lib.containers import Json, NewPair, Pair, image_of, report
from tests.lib.support import ROOT

# A time limit for each example would measure the machine, not the code.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the state and the log of each container to the report of a failure."""
    outcome = yield
    known: dict[str, Any] = getattr(item, "funcargs", {}) if outcome.failed else {}
    if {"docker_client", "run_name"} <= known.keys():
        outcome.sections.append(("Containers", report(known["docker_client"], known["run_name"])))
    outcome.sections += [(host.name, host.report()) for host in known.get("hosts", ())]
    return outcome


@pytest.fixture(scope="session")
def docker_client() -> Iterator[DockerClient]:
    """Connect to Docker as testcontainers does, without the user's settings of the pair."""
    image_of("server")  # tools/run_tests.py has built it if Docker answers
    with pytest.MonkeyPatch.context() as patch:
        # testcontainers' own sweeper is one more image, and does not know what Compose makes.
        patch.setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
        # Compose prefers the environment to .env. The base image is the same in both.
        names = dotenv_values(ROOT / ".env.example").keys() - {"PYTHON_IMAGE"}
        for name in [*os.environ]:
            if name in names or name.startswith("COMPOSE_"):
                patch.delenv(name)
        client = testcontainers.DockerClient().client
        yield client
        client.close()


@pytest.fixture(scope="session")
def run_name() -> str:
    """Return the prefix of the names of all that this run makes (see tools/run_tests.py)."""
    return f"{os.environ.get('TEST_RUN')}-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"


@pytest.fixture(scope="session")
def base_image() -> str:
    """Return the name of the base image."""
    return image_of("python")


@pytest.fixture(scope="session")
def services_image() -> str:
    """Return the name of the image with third-party services."""
    return image_of("services")


@pytest.fixture(scope="session")
def images() -> dict[str, str]:
    """Return the names of both images, by service."""
    return {service: image_of(service) for service in ("server", "client")}


@pytest.fixture
def new_pair(
    docker_client: DockerClient,
    run_name: str,
    base_image: str,
    images: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[NewPair]:
    """Return a function that makes a pair with overridden services and lines for .env."""
    made: list[str] = []

    def create(override: Json | None = None, **env: str) -> Pair:
        # Compose names a project after its folder, and does not build an image that exists.
        folder = tmp_path_factory.mktemp(f"{run_name}-")
        made.append(folder.name)
        for service, image in images.items():
            docker_client.images.get(image).tag(f"{folder.name}-{service}")
        return Pair(docker_client, folder, override or {}, {"PYTHON_IMAGE": base_image} | env)

    yield create
    # This takes a third of the time of docker compose down.
    ours = {"name": f"^/?{run_name}-"}
    for container in docker_client.containers.list(all=True, ignore_removed=True, filters=ours):
        container.remove(force=True, v=True)
    for network in docker_client.networks.list(filters=ours):
        network.remove()
    for project in made:  # the nameless images that a later build replaced
        docker_client.images.prune({"label": f"com.docker.compose.project={project}"})
