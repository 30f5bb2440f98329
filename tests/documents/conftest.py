"""What the programs themselves say, for documents to be held against."""

import re
from typing import NamedTuple

import pytest

from tests.peers import refused
from tests.programs import Program, Server, run_client


class Said(NamedTuple):
    """What both programs have said in a run that failed and in one that did not."""

    log: list[str]
    results: list[str]


@pytest.fixture(scope="session")
def variables() -> dict[str, dict[str, str]]:
    """Return the variables of each program with their defaults, as ``--help`` has them."""
    found = {}
    for module in ("server", "client"):
        with Program(module, {}, "--help") as program:
            found[module] = dict(re.findall(r"(?m)^ +([A-Z_]+)=(.*)$", program.outcome().stdout))
    return found


@pytest.fixture(scope="session")
def said() -> Said:
    """Let a client find nobody, then another one a server, and stop that."""
    with refused() as address:
        failed = run_client(address, OUTPUT="json", DEADLINE="0.3")
    with Server() as server:
        done = run_client(server.address)
        stopped = server.stop()
    log = failed.stderr + done.stderr + stopped.stderr
    return Said(log.splitlines(), (failed.stdout + done.stdout).splitlines())
