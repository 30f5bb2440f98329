"""The tests of this folder in a container, for a host without strace."""

import subprocess
from pathlib import Path

import pytest

from tests.lib.support import ROOT

FAULTS = ROOT / "tests/all/faults"


@pytest.mark.timeout(3600)
def test_faults_are_handled_in_an_image(services_image: str) -> None:
    """The tests of this folder pass with the Python and the strace of an image."""
    packages = Path(pytest.__file__).parent.parent
    command = ["docker", "run", "--rm", "--init", "--network=none", f"--workdir={ROOT}"]
    command += [f"--volume={ROOT}:{ROOT}:ro", f"--volume={FAULTS}:{FAULTS}"]
    command += ["--env=FAULTS", "--env=PYTEST_DISABLE_PLUGIN_AUTOLOAD=1"]
    command += [f"--env=PYTHONPATH={packages}", services_image, "python3", "-m", "pytest"]
    # Without hypothesis and others, which are compiled for the Python of this host.
    command += ["-p", "pytest_timeout", "-p", "xdist.plugin", "-p", "no:cacheprovider"]
    command += ["--noconftest", "tests/all/faults/test_faults.py"]
    subprocess.run(command, check=True)
