"""A client whose name server never answers."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lib.programs import Program, client_environment
from tests.lib.support import until

# In a network and a view of files of its own, so that the name server is this project's.
NAMESPACE = ("unshare", "--net", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)))
# What is sent to the name server comes back on loopback, and is dropped.
CONFINE = """
ip link set lo up && ip route add 192.0.2.1 dev lo && mount --bind "$0" /etc/resolv.conf &&
    exec "$@"
"""


@contextmanager
def looking_up(folder: Path, *, before: str = "", **env: str) -> Iterator[Program]:
    """Run a client that waits for a name server which never answers, for minutes if it may."""
    resolv = folder / "resolv.conf"
    resolv.write_text("nameserver 192.0.2.1\noptions timeout:30 attempts:5\n")
    prefix = (*NAMESPACE, "sh", "-c", CONFINE, str(resolv))
    try:
        subprocess.run([*prefix, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a network of its own: unshare and ip of Linux, and permission")
    variables = client_environment(("server.example", 8888), **({"OUTPUT": "json"} | env))
    with Program("client", variables, prefix=prefix, before=before) as program:
        until(lambda: program.process.poll() is not None or program.usage.num_threads() > 1)
        yield program
