"""A client whose name server never answers."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lib.programs import Program, client_environment
from tests.lib.support import until

# In a network and a view of files of its own, so that the name server is this project's.
NAMESPACE = ("unshare", "--net", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)))
CONFINE = 'ip link set lo up && mount --bind "$0" /etc/resolv.conf && exec "$@"'
# It neither answers nor refuses: the program that follows has its socket, and does not know of it.
SILENT = """
import os, socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
server.set_inheritable(True)
os.execv(sys.argv[1], sys.argv[1:])
"""


@contextmanager
def looking_up(folder: Path, *, before: str = "", **env: str) -> Iterator[Program]:
    """Run a client that waits for a name server which never answers, for minutes if it may."""
    resolv = folder / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
    prefix = (*NAMESPACE, "sh", "-c", CONFINE, str(resolv))
    try:
        subprocess.run([*prefix, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a network of its own: unshare and ip of Linux, and permission")
    prefix += (sys.executable, "-c", SILENT)
    variables = client_environment(("server.example", 8888), **({"OUTPUT": "json"} | env))
    with Program("client", variables, prefix=prefix, before=before) as program:
        until(lambda: program.process.poll() is not None or program.usage.num_threads() > 1)
        yield program
