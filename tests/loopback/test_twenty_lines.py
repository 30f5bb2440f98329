"""The experiments of docs/twenty-lines.md, typed as they stand there."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.lib.documents import DOCUMENTS
from tests.lib.peers import own_address
from tests.lib.support import PATIENCE, ROOT, linux_only

pytestmark = linux_only

PAGE = DOCUMENTS["docs/twenty-lines.md"]
TITLES = [title for level, title in PAGE.headings if level == "h2"][:-1]
SESSIONS = [text for kind, text in PAGE.blocks if kind == "console"]
WHOSE = ["twenty lines", "ours"]
NAMESPACE = "unshare --user --map-root-user --pid --fork "
PORT = 20_000 + os.getpid() % 10_000  # hardly anybody listens there, at all addresses


def typed(session: str, folder: Path) -> str:
    """Type the commands of a session in bash; return them, each with what one sees below it.

    Like a reader, it goes on once a program in the background listens.
    """
    for name in ("app", "docs"):
        (folder / name).symlink_to(ROOT / name)
    host, port = own_address(), str(PORT)
    address = socket.inet_aton(host)[::-1].hex().upper()
    is_listening = f"grep -q '{address}:{PORT:04X} 00000000:0000 0A' /proc/net/tcp"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    script = ""
    for command in re.findall(r"(?m)^\$ (.+)", session):
        script += f"echo {shlex.quote(f'$ {command}')}\n{command}\n"
        if command.endswith("&"):
            script += f"until {is_listening}; do kill -0 $! || exit; done\n"
    with subprocess.Popen(
        ["bash", "-c", script],
        cwd=folder,
        env={"PATH": path, "HOST": host, "PORT": port, "SERVER_HOST": host, "SERVER_PORT": port},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as bash:
        try:
            return bash.communicate(timeout=PATIENCE)[0]
        finally:
            with suppress(ProcessLookupError):
                os.killpg(bash.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Type all sessions, several at once, since they wait for most of their time."""
    folders = [tmp_path_factory.mktemp("reader") for _ in SESSIONS]
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(SESSIONS, pool.map(typed, SESSIONS, folders), strict=True))


@pytest.mark.parametrize("session", SESSIONS, ids=[f"{t}, {of}" for t in TITLES for of in WHOSE])
def test_what_the_page_shows_is_what_one_sees(session: str, seen: dict[str, str]) -> None:
    """First what goes wrong with the twenty lines, then what goes right with our programs."""
    ours = SESSIONS.index(session) % 2
    assert ("-m app." in session) == ours
    if NAMESPACE in session:
        tried = subprocess.run([*NAMESPACE.split(), "true"], capture_output=True, check=False)
        if tried.returncode:
            pytest.skip(f"no PID namespace here: {tried.stderr.decode().strip()}")
    assert seen[session] == session
