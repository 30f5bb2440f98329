"""Two hosts, as network namespaces: the commands that the documents give them, and docs/path.md."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.lib.commands import Command, commands, commands_for, shape
from tests.lib.documents import DOCUMENTS, Document
from tests.lib.support import PATIENCE, until
from tests.lib.wire import Host, Wire, wire
from tools.dist import build_pyz

pytestmark = pytest.mark.slow

A, B = "198.51.100.10", "198.51.100.20"
PAGE = DOCUMENTS["docs/path.md"]


def pairs(document: Document) -> list[tuple[Command, Command]]:
    """Return each command for a client in a document, with the one for a server before it."""
    ours = [command for command in commands(document) if "tcp-pair.pyz" in command.text]
    return [(one, two) for one, two in pairwise(ours) if "client" in two.text]


SMALL, LARGE = pairs(PAGE)
# Once, since both languages have the same.
PAIRS = {one.text + two.text: (one, two) for each in DOCUMENTS.values() for one, two in pairs(each)}
# The table of causes: the code that stands for what happened, and what to ask with the answer.
ROWS = [[re.findall("`(.+?)`", cell) for cell in row] for row in PAGE.tables[0][1:]]
MADE_BY = {cause: made[-1] for [cause], made, _ in ROWS if made}
ASK = {cause: (command, answer) for [cause], _, (command, answer) in ROWS}
# One attempt, since there is no time for another.
ONCE = {"CONNECT_TIMEOUT": "2.5", "REPLY_TIMEOUT": "0.5", "RETRY_DELAY": "100"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder that has the one file, and this Python as python3."""
    folder = tmp_path_factory.mktemp("hosts")
    build_pyz(folder / "tcp-pair.pyz")
    (folder / "python3").symlink_to(sys.executable)
    return folder


@pytest.fixture
def hosts() -> Iterator[Wire]:
    """Make A, the server's host, and B, the client's, at the addresses of the page."""
    with wire() as hosts:
        for host, address in ((hosts.server, A), (hosts.client, B)):
            host.run(f"ip address flush dev wire; ip address add {address}/24 dev wire")
        yield hosts


@contextmanager
def pasted(host: Host, text: str, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Paste a command on a host; at the end press Ctrl-C."""
    with subprocess.Popen(
        [*host.prefix, "bash", "-c", text],
        cwd=folder,
        env={"PATH": f"{folder}:/usr/sbin:/usr/bin:/sbin:/bin"} | ONCE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)


@contextmanager
def listening(hosts: Wire, folder: Path, command: Command = SMALL[0]) -> Iterator[None]:
    """Have the server listen on A."""
    with pasted(hosts.server, command.text, folder) as server:
        assert server.stderr
        assert "listening on 0.0.0.0:8888" in server.stderr.readline()
        yield


def ask(hosts: Wire, folder: Path, command: Command = SMALL[1]) -> dict[str, Any]:
    """Run the client on B; return its result."""
    with pasted(hosts.client, command.text, folder) as client:
        stdout, _ = client.communicate(timeout=PATIENCE)
    result: dict[str, Any] = json.loads(stdout)
    assert result["exit_code"] == client.returncode
    return result


def answered(hosts: Wire, cause: str) -> bool:
    """Ask what the table tells to ask; return whether its answer comes."""
    command, answer = ASK[cause]
    host = hosts.server if command.startswith("ss") else hosts.client
    asked = [*host.prefix, *command.split()]
    return answer in subprocess.run(asked, check=True, capture_output=True, text=True).stdout


def test_each_command_is_run_below() -> None:
    """A command for two hosts is one of a pair, or in the table of causes."""
    known = {command.text for pair in PAIRS.values() for command in pair}
    known |= {command for command, _ in ASK.values()} | {*MADE_BY.values()}

    assert {command.text for command in commands_for("two hosts")} <= known


@pytest.mark.parametrize("pair", PAIRS.values(), ids=range(len(PAIRS)))
def test_the_commands_as_they_stand(
    pair: tuple[Command, Command], hosts: Wire, folder: Path
) -> None:
    """The client ends with 0 and prints what is shown, however it is measured."""
    server, command = pair
    with listening(hosts, folder, server), pasted(hosts.client, command.text, folder) as client:
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
def test_a_cause(cause: str, fault: str, answer: bool, hosts: Wire, folder: Path) -> None:
    """What a row says that happened has the cause of the row, and the question its answer."""
    if fault in {"INPUT", "OUTPUT"}:
        hosts.server.block(f"{fault} {MADE_BY[cause]}")
    elif fault == "no address":
        hosts.server.run("ip address flush dev wire")
        hosts.client.run("echo 50 >/proc/sys/net/ipv4/neigh/wire/retrans_time_ms")
    elif fault == "no route":
        hosts.client.run("ip address flush dev wire")
    elif fault == "forbidden":
        hosts.client.run(MADE_BY[cause])
    with ExitStack() as stack:
        if fault != "no server":
            stack.enter_context(listening(hosts, folder))
        client = stack.enter_context(pasted(hosts.client, SMALL[1].text, folder))
        if answer:  # which may be there only during the attempt
            until(lambda: answered(hosts, cause), awaited=ASK[cause][1])
        result = json.loads(client.communicate(timeout=PATIENCE)[0])
        assert answer or not answered(hosts, cause)

    assert (client.returncode, result["cause"]) == (69, cause)


def test_large_packets(hosts: Wire, folder: Path) -> None:
    """Segments are of the size that the page computes."""
    sizes = re.search(
        r"(\d+) for an MTU of (\d+),\s+less (\d+) .*?, (\d+) .*?(\d+) of", PAGE.text, re.S
    )
    assert sizes
    mss, mtu, *headers = map(int, sizes.groups())
    with listening(hosts, folder, LARGE[0]):
        assert ask(hosts, folder, LARGE[1])["mss"] == mss == mtu - sum(headers)


def test_a_lost_syn(hosts: Wire, folder: Path) -> None:
    """It shows in the two figures that the page names."""
    said = re.search(r"`connect_ms` above (\d+) with `resent` (\d)", PAGE.text)
    assert said
    rule = "INPUT --syn --match statistic --mode nth --every 2 --packet 0 --jump DROP"
    hosts.server.block(rule)
    with listening(hosts, folder):
        result = ask(hosts, folder)

    assert result["connect_ms"] > int(said[1])
    assert result["resent"] == int(said[2])
