"""Nothing is left behind, however a run of these tests ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from docker import DockerClient

from tests.containers import sweeper
from tests.support import ROOT, until

TEST = """
import time

def test_that_takes_long(docker_client, run_name, base_image):
    command = ["python3", "-c", "import time; time.sleep(600)"]
    options = {"network_mode": "none", "init": True, "detach": True}
    docker_client.containers.run(base_image, command, name=f"{run_name}-client", **options)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_interrupted(number: int, base_image: str, tmp_path: Path) -> None:
    """What pytest has made goes with it when a signal ends it in the middle of a test."""
    test = tmp_path / "test_long.py"
    test.write_text(TEST)
    environ = {**os.environ, "TMPDIR": str(tmp_path), "PYTHON_IMAGE": base_image}
    plugins = ["-p", "no:cacheprovider", "-p", "tests.docker_fixtures"]
    command = [sys.executable, "-m", "pytest", *plugins, "-c", os.devnull, str(test)]
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL) as run:

        def what_it_made() -> list[Path]:
            assert run.poll() is None
            locks = list(tmp_path.glob(f"{sweeper.PREFIX}*.lock"))
            return [lock for lock in locks if sweeper.left_behind(lock.stem)]

        try:
            (lock,) = until(what_it_made)
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


def test_what_a_killed_sweeper_leaves(
    docker_client: DockerClient, run_name: str, base_image: str, tmp_path: Path
) -> None:
    """The next run removes it, and nothing of a run that is still going on."""
    dead, living, new = f"{run_name}-dead", f"{run_name}-living", f"{run_name}-new"
    for run in (dead, living):
        docker_client.containers.create(base_image, name=f"{run}-1", network_mode="none")
    with running_sweeper(living, tmp_path):
        with running_sweeper(dead, tmp_path) as process:
            process.kill()
        assert sweeper.left_behind(dead)
        with running_sweeper(new, tmp_path):
            until(lambda: not (tmp_path / f"{dead}.lock").exists())
            assert not sweeper.left_behind(dead)
            assert sweeper.left_behind(living)
    assert not sweeper.left_behind(living)
