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
from scripts.services_image import services_image

PROMISE = "tests/test_client_waits_for_server.py"
QUICK = ["tests/docker", "tests/make", "tests/loopback", "tests/unit", "tests/documents"]
QUICK.append("tests/packets")
# The slowest first, so that no worker ends with them alone.
LONG = ["tests/all/swarm", "tests/all/load", "tests/all"]
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
    base = ready.base_image()
    names = {f"{service.upper()}_IMAGE": f"{run}-{service}" for service in ("server", "client")}
    os.environ |= names | {"PYTHON_IMAGE": base, "TEST_RUN": run}
    ready.build(f"--project-name={run}")
    if services:
        os.environ["SERVICES_IMAGE"] = services_image(base)


def sweep(run: str) -> None:
    """Remove what this run has made and not removed, as when it is interrupted."""
    for query, remove in KINDS:
        if names := docker.run(*(query % run).split()).stdout.split():
            docker.run(*remove.split(), *names)


def main() -> int:
    chosen = sys.argv[1:] or [PROMISE, *QUICK]
    if chosen == ["all"]:
        chosen = [PROMISE, *LONG, *QUICK]
    run, skipped = f"tcp-pair-test-{token_hex(4)}", []
    if os.geteuid() and any(name.startswith("tests/all") for name in chosen):
        skipped.append("Left out: tests/all/swarm needs root (sudo make test-cluster).")
        if chosen == ["tests/all/swarm"]:
            raise Problem(skipped[0])
    has_docker = False
    try:
        prepare(run, services=any(name.startswith("tests/all") for name in chosen))
        has_docker = True
    except Problem as problem:
        if os.environ.get("REQUIRE_DOCKER") == "1":
            raise
        skipped.append(f"Left out: tests whose requirements are missing: {problem}")
    # Half of a test's time is waiting.
    os.environ.setdefault("PYTEST_XDIST_AUTO_NUM_WORKERS", str(2 * (os.cpu_count() or 1)))
    command = [sys.executable, "-m", "pytest", *PARALLEL, *chosen]
    with subprocess.Popen(command, process_group=0) as process:

        def interrupt(*_: object) -> None:
            os.killpg(process.pid, signal.SIGINT)  # the workers too

        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, interrupt)
        code = process.wait()
    if has_docker:
        sweep(run)
    for line in skipped:
        say(line)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    end_with(main)
