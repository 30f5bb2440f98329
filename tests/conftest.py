"""What all tests share: settings of their tools, and the image that containers are built from."""

import os

import pytest
from dotenv import dotenv_values
from hypothesis import settings

from tests.support import ROOT

# A limit in time for each example says more about the machine than about the code.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")


@pytest.fixture(scope="session")
def base_image() -> str:
    """Find the base image where Compose does: in the environment, .env, the defaults."""
    files = (ROOT / ".env.example", ROOT / ".env")
    values = {name: value for file in files for name, value in dotenv_values(file).items()}
    image = {**values, **os.environ}["PYTHON_IMAGE"]
    assert image
    return image
