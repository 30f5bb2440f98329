"""The fixture of these tests."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.lib.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Make a project; at the end, leave none of its processes."""
    project = Project(tmp_path)
    yield project
    (tmp_path / "down").touch()  # which stands for containers that are gone
    for pid in project.processes():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for process in project.started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
