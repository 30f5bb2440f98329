"""Remove what a run of the tests leaves on the Docker daemon, however that run ends.

Started by a run as ``sweeper.py NAME``, it waits until its stdin ends, which the kernel sees to
when the run is killed. Every container, network and image of a run has a name that begins with
the run's.
"""

import signal
import subprocess
import sys
import time

PREFIX = "tcp-pair-test-"

# Seconds without anything new after which nothing more is expected: a command that the run had
# started, such as `docker compose up`, does not end with it.
QUIET = 2.0
# Seconds after which it gives up on what Docker refuses to remove.
PATIENCE = 60.0

# What lists names that begin so, and what removes them. Images by name: others may share the ID.
KINDS = (
    (("ps", "--all", "--format={{.Names}}", "--filter=name=^/?%s"), ("rm", "--force", "--volumes")),
    (("network", "ls", "--format={{.Name}}", "--filter=name=^%s"), ("network", "rm")),
    (("images", "--format={{.Repository}}:{{.Tag}}", "--filter=reference=%s*"), ("rmi",)),
)


def left_behind(name: str) -> list[tuple[tuple[str, ...], list[str]]]:
    """List what is there of a run, as commands that remove it and what to give them."""
    found: list[tuple[tuple[str, ...], list[str]]] = []
    for query, remove in KINDS:
        command = ["docker", *query[:-1], query[-1] % name]
        names = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout
        if names:
            found.append((remove, names.split()))
    return found


def sweep(name: str) -> bool:
    """Remove what is there of a run; tell whether there was anything."""
    found = left_behind(name)
    for remove, names in found:
        command = ["docker", *remove, *names]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return bool(found)


def main() -> None:
    # Out of reach of Ctrl-C, and of a SIGTERM to a whole group: this is what comes after.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    name = sys.argv[1]
    in_order = sys.stdin.read()
    quiet_since = ended = time.monotonic()
    while True:
        if sweep(name):
            quiet_since = time.monotonic()
        if in_order or time.monotonic() > min(quiet_since + QUIET, ended + PATIENCE):
            break
        time.sleep(0.5)


if __name__ == "__main__":
    main()
