"""The fixture of these tests."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.lib.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Make a project; at the end, leave none of its processes."""
    project = Project(tmp_path)
    yield project
    (tmp_path / "down").touch()  # which stands for containers that are gone
    for process in project.processes():
        with suppress(psutil.NoSuchProcess):
            process.kill()
    for started in project.started:
        with started:  # which closes its output, and waits for it
            pass
