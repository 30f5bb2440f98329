"""Run the tests in parallel: the images are built first, and whatever is left is removed.

Without arguments these are the tests of ``make test``, the promise first. ``all`` stands for every
test; anything else is pytest's.
"""

import os
import signal
import subprocess
import sys
from secrets import token_hex

from scripts import docker, ready
from scripts.common import Problem, end_with, say
from tools.services_image import services_image

QUICK = ["tests/test_client_waits_for_server.py", "tests/docker", "tests/make", "tests/loopback"]
QUICK += ["tests/unit", "tests/documents", "tests/packets"]
# The slowest first, so that no worker ends with them alone.
ALL = [QUICK[0], "tests/all/swarm", "tests/all/load", "tests/all", *QUICK[1:]]
# A group, such as all tests of Swarm, stays on one worker.
PARALLEL = ("-nauto", "--dist=loadgroup", "--no-loadscope-reorder")
# What lists the things of a run by name, and what removes them. Images by name: they share IDs.
KINDS = (
    ("ps --all --format={{.Names}} --filter=name=^/?%s", "rm --force --volumes"),
    ("network ls --format={{.Name}} --filter=name=^%s", "network rm"),
    ("images --format={{.Repository}}:{{.Tag}} --filter=reference=%s*", "rmi"),
)


def prepare(run: str, *, services: bool) -> None:
    """Build the images, and name them in the environment of the tests. Raises Problem."""
    docker.make_ready()
    base = ready.base_image(ready.configured(docker.compose_config()))
    names = {f"{service.upper()}_IMAGE": f"{run}-{service}" for service in ("server", "client")}
    os.environ |= names | {"PYTHON_IMAGE": base, "TEST_RUN": run}
    ready.build(f"--project-name={run}")
    if services:
        os.environ["SERVICES_IMAGE"] = services_image(base)


def main() -> int:
    chosen = {"": QUICK, "all": ALL}.get(" ".join(sys.argv[1:]), sys.argv[1:])
    run, left_out = f"tcp-pair-test-{token_hex(4)}", ""
    try:
        prepare(run, services=any(name.startswith("tests/all") for name in chosen))
    except Problem as problem:
        if os.environ.get("REQUIRE_DOCKER") == "1":
            raise
        left_out = f"Left out: tests whose requirements are missing: {problem}"
    # Half of a test's time is waiting.
    os.environ.setdefault("PYTEST_XDIST_AUTO_NUM_WORKERS", str(2 * (os.cpu_count() or 1)))
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is pytest's, which ends in its own way
    command = [sys.executable, "-m", "pytest", *PARALLEL, *chosen]
    code = subprocess.run(command, check=False).returncode
    for query, remove in KINDS if "TEST_RUN" in os.environ else ():
        if names := docker.run(*(query % run).split()).stdout.split():
            docker.run(*remove.split(), *names)
    if left_out:
        say(left_out)
    return code


if __name__ == "__main__":
    end_with(main)
