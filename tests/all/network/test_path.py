"""Two hosts, as network namespaces: the commands that the documents give them, and docs/path.md."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from scripts.dist import build_pyz
from tests.lib.commands import Command, commands, commands_for, shape
from tests.lib.documents import DOCUMENTS, Document
from tests.lib.support import PATIENCE, until
from tests.lib.wire import Host, Wire, wire

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


def answered(host: Host, cause: str) -> bool:
    """Ask on a host what the table tells to ask; return whether its answer comes."""
    command, answer = ASK[cause]
    asked = [*host.prefix, *command.split()]
    done = subprocess.run(asked, check=True, capture_output=True, text=True)
    return answer in done.stdout


def check(result: dict[str, Any], cause: str) -> None:
    """Hold a result against the page: no connection, and this cause."""
    assert (result["exit_code"], result["cause"]) == (69, cause)


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


def test_refused_by_nobody(hosts: Wire, folder: Path) -> None:
    """Without a server the cause is that, and the port is not in A's list."""
    check(ask(hosts, folder), "ECONNREFUSED")
    assert not answered(hosts.server, "ECONNREFUSED")


def test_refused_by_a_firewall(hosts: Wire, folder: Path) -> None:
    """By a rule that rejects the cause is the same, and the port is in A's list."""
    hosts.server.block(f"INPUT {MADE_BY['ECONNREFUSED']}")
    with listening(hosts, folder):
        check(ask(hosts, folder), "ECONNREFUSED")
        assert answered(hosts.server, "ECONNREFUSED")


@pytest.mark.parametrize("chain", ["INPUT", "OUTPUT"])
def test_filtered(chain: str, hosts: Wire, folder: Path) -> None:
    """By a rule that drops; A lists the attempt only if it is its answer that is lost."""
    hosts.server.block(f"{chain} {MADE_BY['ETIMEDOUT']}")
    with listening(hosts, folder), pasted(hosts.client, SMALL[1].text, folder) as client:
        if chain == "OUTPUT":
            until(lambda: answered(hosts.server, "ETIMEDOUT"), awaited="the attempt")
        stdout, _ = client.communicate(timeout=PATIENCE)
        assert chain == "OUTPUT" or not answered(hosts.server, "ETIMEDOUT")
    check(json.loads(stdout), "ETIMEDOUT")


@pytest.mark.parametrize("by", ["nobody", "a firewall"])
def test_unreachable(by: str, hosts: Wire, folder: Path) -> None:
    """Nobody has the address, which B then knows; or a rule rejects in these words."""
    if by == "nobody":
        hosts.server.run("ip address flush dev wire")
        hosts.client.run("echo 50 >/proc/sys/net/ipv4/neigh/wire/retrans_time_ms")
    else:
        hosts.server.block(f"INPUT {MADE_BY['EHOSTUNREACH']}")
    check(ask(hosts, folder), "EHOSTUNREACH")
    assert answered(hosts.client, "EHOSTUNREACH") == (by == "nobody")


def test_no_route(hosts: Wire, folder: Path) -> None:
    """A host without a way to A has no default either."""
    hosts.client.run("ip address flush dev wire")
    check(ask(hosts, folder), "ENETUNREACH")
    assert not answered(hosts.client, "ENETUNREACH")


def test_a_route_that_forbids(hosts: Wire, folder: Path) -> None:
    """It is in the list of routes."""
    hosts.client.run(MADE_BY["EACCES"])
    check(ask(hosts, folder), "EACCES")
    assert answered(hosts.client, "EACCES")


def test_large_packets(hosts: Wire, folder: Path) -> None:
    """Segments are of the size that the page computes."""
    sizes = re.search(
        r"(\d+) for an MTU of (\d+),\s+less (\d+) .*?, (\d+) .*?(\d+) of", PAGE.text, re.S
    )
    assert sizes
    mss, mtu, *headers = map(int, sizes.groups())
    with listening(hosts, folder, LARGE[0]):
        assert ask(hosts, folder, LARGE[1])["mss"] == mss == mtu - sum(headers)


@pytest.mark.parametrize("whose", ["B", "A"])
def test_large_packets_lost(whose: str, hosts: Wire, folder: Path) -> None:
    """Small ones pass; of large ones B sends its own again."""
    to = hosts.server if whose == "B" else hosts.client
    to.block("INPUT --match length --length 1301: --jump DROP")
    with listening(hosts, folder):
        assert ask(hosts, folder)["exit_code"] == 0
    with listening(hosts, folder, LARGE[0]):
        result = ask(hosts, folder, LARGE[1])

    assert (result["exit_code"], result["status"]) == (75, "no-reply")
    assert (result["resent"] > 0) == (whose == "B")


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
