"""Nothing is left behind, however a run of these tests ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.containers import sweeper
from tests.containers.support import docker, until
from tests.support import ROOT

LONG_TEST = "tests/containers/test_waiting.py::test_a_client_started_first"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_interrupted(number: int, base_image: str, tmp_path: Path) -> None:
    """What pytest has made goes with it when a signal ends it in the middle of a test."""
    environ = {**os.environ, "TMPDIR": str(tmp_path), "PYTHON_IMAGE": base_image}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", LONG_TEST]
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL) as run:
        try:
            (lock,) = until(lambda: list(tmp_path.glob(f"{sweeper.PREFIX}*.lock")))
            until(lambda: f"{lock.stem}-client" in str(sweeper.left_behind(lock.stem)))
            run.send_signal(number)
            assert run.wait() != 0
        finally:
            run.kill()
    # Only one that is killed cannot see to it before it ends.
    if number == signal.SIGKILL:
        until(lambda: not lock.exists())
    assert sweeper.left_behind(lock.stem) == []


@contextmanager
def running_sweeper(name: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the sweeper of a run of this name; it has begun."""
    command = [sys.executable, str(sweeper.__file__), name]
    environ = {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE) as process:
        until((folder / f"{name}.lock").exists)
        yield process
        process.communicate(b"in order")


def test_what_a_killed_sweeper_leaves(name: str, base_image: str, tmp_path: Path) -> None:
    """The next run removes it, and nothing of a run that is still going on."""
    dead, living, new = f"{name}-dead", f"{name}-living", f"{name}-new"
    for run in (dead, living):
        docker("create", f"--name={run}-1", "--network=none", base_image)
    with running_sweeper(living, tmp_path):
        with running_sweeper(dead, tmp_path) as process:
            process.kill()
        assert sweeper.left_behind(dead)
        with running_sweeper(new, tmp_path):
            until(lambda: not (tmp_path / f"{dead}.lock").exists())
            assert not sweeper.left_behind(dead)
            assert sweeper.left_behind(living)
    assert not sweeper.left_behind(living)
