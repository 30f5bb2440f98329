"""The documents' commands for two hosts, and docs/path.md, on two network namespaces."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.lib.commands import Command, commands, commands_for, pasted, shape
from tests.lib.documents import DOCUMENTS, Document
from tests.lib.support import PATIENCE, until
from tests.lib.wire import Wire, wire
from tools.dist import build_pyz

pytestmark = pytest.mark.slow

A, B = "198.51.100.10", "198.51.100.20"
PAGE = DOCUMENTS["docs/path.md"]


def pairs(document: Document) -> list[tuple[Command, Command]]:
    """Return each client command of a document, after the server command before it."""
    ours = [command for command in commands(document) if "tcp-pair.pyz" in command.text]
    return [(one, two) for one, two in pairwise(ours) if "client" in two.text]


SMALL, LARGE = pairs(PAGE)
# Once, since both languages have the same.
PAIRS = {one.text + two.text: (one, two) for each in DOCUMENTS.values() for one, two in pairs(each)}
# The table of causes: the rule that makes each, and the command to run with its answer.
ROWS = [[re.findall("`(.+?)`", cell) for cell in row] for row in PAGE.tables[0][1:]]
MADE_BY = {cause: made[-1] for [cause], made, _ in ROWS if made}
ASK = {cause: (command, answer) for [cause], _, (command, answer) in ROWS}
# One attempt, since there is no time for another.
ONCE = {"CONNECT_TIMEOUT": "2.5", "REPLY_TIMEOUT": "0.5", "RETRY_DELAY": "100"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with the one file."""
    folder = tmp_path_factory.mktemp("hosts")
    build_pyz(folder / "tcp-pair.pyz")
    return folder


@pytest.fixture
def link() -> Iterator[Wire]:
    """Make A, the server's host, and B, the client's, at the addresses of the page."""
    with wire() as link:
        for host, address in ((link.server, A), (link.client, B)):
            host.run(f"ip address flush dev wire; ip address add {address}/24 dev wire")
        yield link


@contextmanager
def listening(link: Wire, folder: Path, command: Command = SMALL[0]) -> Iterator[None]:
    """Run the server on A, and wait until it listens."""
    with pasted(command.text, folder, *link.server.prefix) as server:
        assert server.stderr
        assert "listening on 0.0.0.0:8888" in server.stderr.readline()
        yield


def ask(link: Wire, folder: Path, command: Command = SMALL[1]) -> dict[str, Any]:
    """Run the client on B; return its result."""
    with pasted(command.text, folder, *link.client.prefix, **ONCE) as client:
        stdout, _ = client.communicate(timeout=PATIENCE)
    result: dict[str, Any] = json.loads(stdout)
    assert result["exit_code"] == client.returncode
    return result


def answered(link: Wire, cause: str) -> bool:
    """Run the command of a row; return whether it prints the answer."""
    command, answer = ASK[cause]
    host = link.server if command.startswith("ss") else link.client
    asked = [*host.prefix, *command.split()]
    return answer in subprocess.run(asked, check=True, capture_output=True, text=True).stdout


def test_each_command_is_run_below() -> None:
    """Each command for two hosts is one of a pair, or in the table of causes."""
    known = {command.text for pair in PAIRS.values() for command in pair}
    known |= {command for command, _ in ASK.values()} | {*MADE_BY.values()}

    assert {command.text for command in commands_for("two hosts")} <= known


@pytest.mark.parametrize("pair", PAIRS.values(), ids=range(len(PAIRS)))
def test_commands_work_as_they_stand(
    pair: tuple[Command, Command], link: Wire, folder: Path
) -> None:
    """The client ends with 0, and prints the output that the document shows."""
    server, command = pair
    with (
        listening(link, folder, server),
        pasted(command.text, folder, *link.client.prefix) as client,
    ):
        stdout, _ = client.communicate(timeout=PATIENCE)
    seen, shown = (re.sub(r"(?<=s\": )[\d.]+", "0", text) for text in (stdout, command.shown))

    assert client.returncode == 0
    assert stdout
    assert not shown or shape(seen) == shape(shown)


@pytest.mark.parametrize(
    ("cause", "fault", "answer"),
    [
        ("ECONNREFUSED", "no server", False),
        ("ECONNREFUSED", "INPUT", True),
        ("ETIMEDOUT", "INPUT", False),
        ("ETIMEDOUT", "OUTPUT", True),
        ("EHOSTUNREACH", "INPUT", False),
        ("EHOSTUNREACH", "no address", True),
        ("ENETUNREACH", "no route", False),
        ("EACCES", "forbidden", True),
    ],
)
def test_fault_has_the_cause_of_its_row(
    cause: str, fault: str, answer: bool, link: Wire, folder: Path
) -> None:
    """A fault has the cause in its row, and the command there prints the answer."""
    if fault in {"INPUT", "OUTPUT"}:
        link.server.block(f"{fault} {MADE_BY[cause]}")
    elif fault == "no address":
        link.server.run("ip address flush dev wire")
        link.client.run("echo 50 >/proc/sys/net/ipv4/neigh/wire/retrans_time_ms")
    elif fault == "no route":
        link.client.run("ip address flush dev wire")
    elif fault == "forbidden":
        link.client.run(MADE_BY[cause])
    with ExitStack() as stack:
        if fault != "no server":
            stack.enter_context(listening(link, folder))
        paste = pasted(SMALL[1].text, folder, *link.client.prefix, **ONCE)
        client = stack.enter_context(paste)
        if answer:  # which may be there only during the attempt
            until(lambda: answered(link, cause), awaited=ASK[cause][1])
        result = json.loads(client.communicate(timeout=PATIENCE)[0])
        assert answer or not answered(link, cause)

    assert (client.returncode, result["cause"]) == (69, cause)


def test_segments_have_the_size_on_the_page(link: Wire, folder: Path) -> None:
    """The MSS is the number that the page computes."""
    sizes = re.search(
        r"MTU of (\d+) less (\d+) .*?, (\d+) .*?(\d+) of\s+timestamps is (\d+)", PAGE.text, re.S
    )
    assert sizes
    mtu, *headers, mss = map(int, sizes.groups())
    with listening(link, folder, LARGE[0]):
        assert ask(link, folder, LARGE[1])["mss"] == mss == mtu - sum(headers)


def test_lost_syn_shows_in_two_figures(link: Wire, folder: Path) -> None:
    """A lost SYN gives the `connect_ms` and the `resent` on the page."""
    said = re.search(r"`connect_ms` above (\d+) with `resent` (\d)", PAGE.text)
    assert said
    rule = "INPUT --syn --match statistic --mode nth --every 2 --packet 0 --jump DROP"
    link.server.block(rule)
    with listening(link, folder):
        result = ask(link, folder)

    assert result["connect_ms"] > int(said[1])
    assert result["resent"] == int(said[2])
