"""What starts containers beside those of a module's pair."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from docker import DockerClient
from docker.models.containers import Container

from tests.containers.support import Pair

Start = Callable[..., Container]


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
