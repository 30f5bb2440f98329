"""A client whose name server never answers."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lib.programs import Program, client_environment

# A name server that neither answers nor refuses, in a network and a view of files of its own:
# its socket is there for as long as the program that follows, which does not know of it. The
# first question is told of on stderr.
NAMESPACE = ("unshare", "--net", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)))
CONFINE = 'ip link set lo up && mount --bind "$0" /etc/resolv.conf && exec "$@"'
SILENT_NAME_SERVER = """
import os, socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
server.set_inheritable(True)
if os.fork() == 0:
    server.settimeout(20)
    server.recv(512)
    os.write(2, b"asked\\n")
    os._exit(0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@contextmanager
def silent_name_server(
    folder: Path, *, before: str = "", stdout: int | None = None, **env: str
) -> Iterator[Program]:
    """Run a client that waits for a name server which never answers."""
    resolv = folder / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.1\n")
    prefix = (*NAMESPACE, "sh", "-c", CONFINE, str(resolv))
    try:
        subprocess.run([*prefix, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a network of its own: unshare and ip of Linux, and permission")
    prefix += (sys.executable, "-c", SILENT_NAME_SERVER)
    variables = client_environment(("server.example", 8888), **({"OUTPUT": "json"} | env))
    with Program("client", variables, prefix=prefix, before=before, stdout=stdout) as program:
        yield program
