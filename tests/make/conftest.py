"""The fixture of these tests."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.lib.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Make a project; at the end, kill its processes."""
    project = Project(tmp_path)
    yield project
    (tmp_path / "down").touch()  # tells the stub's containers to end
    for process in project.processes():
        with suppress(psutil.NoSuchProcess):
            process.kill()
    for started in project.started:
        with started:  # closes its output and waits for it
            pass
