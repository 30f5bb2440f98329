"""Run the tests; those that need what cannot be had here are skipped, and the last lines say so."""

import os
import signal
import subprocess
import sys

from scripts import docker, ready
from scripts.common import Problem, end_with, say


def main() -> int:
    chosen, skipped = sys.argv[1:], []
    if os.geteuid():
        skipped.append("Left out: tests/cluster needs root (sudo make test-cluster).")
        if chosen == ["tests/cluster"]:
            raise Problem(skipped[0])
    try:
        docker.make_ready()
        os.environ["PYTHON_IMAGE"] = base = ready.base_image()
        os.environ["SERVICES_IMAGE"] = ready.services_image(base)
    except Problem as problem:
        if os.environ.get("REQUIRE_DOCKER") == "1":
            raise
        skipped.append(f"Left out: tests that need what cannot be had here: {problem}")
    with subprocess.Popen([sys.executable, "-m", "pytest", *chosen]) as process:
        signal.signal(signal.SIGINT, lambda *_: None)  # pytest gets it too, and ends in its way
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        code = process.wait()
    for line in skipped:
        say(line)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    end_with(main)
