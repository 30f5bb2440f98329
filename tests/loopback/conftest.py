"""What more than one file of this folder needs."""

from collections.abc import Iterator

import pytest

from tests.lib.programs import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Run a server with its defaults, for all tests that want nothing but its replies."""
    with Server() as server:
        yield server
