"""What the programs themselves say, for documents to be held against."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from tests.documents.documents import ROOT

HOST = "127.0.0.1"


class Said(NamedTuple):
    """What both programs have said in a run that failed and in one that did not."""

    log: list[str]
    results: list[str]


def run(program: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run one of the programs to its end."""
    command = [sys.executable, "-m", f"app.{program}", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def variables() -> dict[str, dict[str, str]]:
    """Return the variables of each program with their defaults, as ``--help`` has them."""
    return {
        program: dict(re.findall(r"(?m)^ +([A-Z_]+)=(.*)$", run(program, "--help").stdout))
        for program in ("server", "client")
    }


@pytest.fixture(scope="session")
def said() -> Said:
    """Let a client find nobody, then another one a server, and stop that."""

    def client(port: int, output: str) -> Sequence[str]:
        limits = {"DEADLINE": "0.3" if output == "json" else "10", "RETRY_DELAY": "0.1"}
        target = {"SERVER_HOST": HOST, "SERVER_PORT": str(port), "OUTPUT": output}
        ended = run("client", **target, **limits)
        log.extend(ended.stderr.splitlines())
        return ended.stdout.splitlines()

    log: list[str] = []
    with socket.socket() as nobody:
        nobody.bind((HOST, 0))
        results = [*client(nobody.getsockname()[1], "json")]
    command = [sys.executable, "-m", "app.server"]
    env = {"HOST": HOST, "PORT": "0"}
    with subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        log.append(server.stderr.readline().rstrip("\n"))
        results += client(int(log[-1].rpartition(":")[2]), "text")
        server.send_signal(signal.SIGTERM)
        log += server.stderr.read().splitlines()
    return Said(log, results)
