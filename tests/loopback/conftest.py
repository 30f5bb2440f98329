"""What more than one file of this folder needs."""

from collections.abc import Iterator

import pytest

from tests.programs import Server


@pytest.fixture
def server() -> Iterator[Server]:
    """Run a server with its defaults."""
    with Server() as server:
        yield server
