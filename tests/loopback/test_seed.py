"""The programs that this project grew from, as docs/ has them, with ours at the other end."""

import subprocess
import sys

from tests.lib.peers import own_address
from tests.lib.programs import Server, run_client
from tests.lib.support import PATIENCE, ROOT, linux_only

ORIGINALS = ROOT / "docs" / "twenty_lines"


def test_original_client_gets_its_reply(server: Server) -> None:
    """The seed's client gets its reply in one read."""
    host, port = server.address
    command = [sys.executable, str(ORIGINALS / "client.py")]
    env = {"SERVER_HOST": host, "SERVER_PORT": str(port)}
    stdout = subprocess.check_output(command, env=env, timeout=PATIENCE)

    assert stdout == b"SERVER OK - STATUS 200\n"


@linux_only  # only there the port is nobody else's
def test_original_server_satisfies_our_client() -> None:
    """The seed's server, once it is there, reads our message and answers it."""
    host, port = own_address(), 8888
    command = [sys.executable, str(ORIGINALS / "server.py")]
    env = {"HOST": host, "PORT": str(port)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as original:
        outcome = run_client((host, port))
        original.kill()
        heard = original.communicate()[0]

    assert outcome[:2] == (0, "SERVER OK - STATUS 200\n")
    assert heard.decode().endswith(" Testando conexão\n")
