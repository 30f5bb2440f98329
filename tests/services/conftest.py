"""What the tests of other services need: what those of containers do, and the services' image."""

import os

import pytest

from tests.containers import conftest as containers
from tests.containers.support import DockerFailed, inspect

# What finds Docker, or skips, and builds our images.
settings, name, images = containers.settings, containers.name, containers.images

IMAGE = "tcp-pair-services:trixie"


@pytest.fixture(scope="session")
def services_image() -> str:
    """Name the image that scripts/services-image.sh makes of Debian's packages."""
    try:
        inspect(IMAGE, "image")
    except DockerFailed as failure:
        if os.environ.get("REQUIRE_DOCKER") == "1":
            raise
        pytest.skip(f"scripts/services-image.sh has not made it: {failure}")
    return IMAGE
