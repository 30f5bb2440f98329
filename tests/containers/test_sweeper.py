"""Nothing is left behind, however a run of these tests ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.containers import sweeper
from tests.support import ROOT, until

TEST = """
import pathlib, time

def test_that_takes_long(docker_client, run_name, base_image):
    command = ["python3", "-c", "import time; time.sleep(600)"]
    options = {"network_mode": "none", "init": True, "detach": True}
    docker_client.containers.run(base_image, command, name=f"{run_name}-client", **options)
    pathlib.Path("run_name").write_text(run_name)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_interrupted(number: int, base_image: str, tmp_path: Path) -> None:
    """What pytest has made goes with it when a signal ends it in the middle of a test."""
    test = tmp_path / "test_long.py"
    test.write_text(TEST)
    environ = os.environ | {"PYTHON_IMAGE": base_image, "PYTHONPATH": str(ROOT)}
    plugins = ["-p", "no:cacheprovider", "-p", "tests.docker_fixtures"]
    command = [sys.executable, "-m", "pytest", *plugins, "-c", os.devnull, str(test)]
    with subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=subprocess.DEVNULL) as run:
        try:
            until((tmp_path / "run_name").exists)
            run.send_signal(number)
            assert run.wait() != 0
        finally:
            run.kill()
    name = (tmp_path / "run_name").read_text()
    if number == signal.SIGKILL:  # only one that is killed cannot see to it before it ends
        until(lambda: sweeper.left_behind(name), is_right=[].__eq__, awaited="nothing left")
    assert sweeper.left_behind(name) == []
