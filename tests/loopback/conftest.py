"""Fixtures that several files of this folder share."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lib.programs import Program, Server, Start, client
from tests.lib.support import until

# A network and a mount namespace of its own. Queries to the name server return on loopback, and are
# dropped.
NAMESPACE = ("unshare", "--net", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)))
CONFINE = """
ip link set lo up && ip route add 192.0.2.1 dev lo && mount --bind "$0" /etc/resolv.conf &&
    exec "$@"
"""


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Run a server with its defaults, for tests that only need its replies."""
    with Server() as server:
        yield server


@pytest.fixture
def looking_up(tmp_path: Path) -> Start:
    """Return a function that starts a client whose name server never answers."""
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("nameserver 192.0.2.1\noptions timeout:30 attempts:5\n")
    prefix = (*NAMESPACE, "sh", "-c", CONFINE, str(resolv))

    def start(**options: str) -> Program:
        if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
            pytest.skip("needs a network of its own: unshare and ip of Linux, and permission")
        program = client(("server.example", 8888), prefix=prefix, **{"OUTPUT": "json"} | options)
        until(lambda: program.process.poll() is not None or program.usage.num_threads() > 2)
        return program

    return start
