"""What these tests need of this host."""

import resource
import sys

import pytest


@pytest.fixture(scope="package", autouse=True)
def _room_for_many() -> None:
    """Allow this process, and those it starts, as many file descriptors as may be."""
    if sys.platform != "linux":
        pytest.skip("memory and CPU of a process are read from /proc")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 12_000:
        pytest.skip(f"12,000 file descriptors are needed, and only {hard} allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
