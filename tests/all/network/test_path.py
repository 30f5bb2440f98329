"""The documents' commands for two hosts, and docs/path.md, on two network namespaces."""

import json
import re
import signal
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
from tests.lib.wire import Host
from tools.dist import build_pyz

pytestmark = pytest.mark.slow

A, B = "198.51.100.10", "198.51.100.20"
PAGE = DOCUMENTS["docs/path.md"]


def pairs(document: Document) -> list[tuple[Command, Command]]:
    """Return each client command of a document, after the server command before it."""
    ours = [command for command in commands(document) if "tcp-pair.pyz" in command.text]
    return [(one, two) for one, two in pairwise(ours) if "client" in two.text]


SMALL, LARGE = pairs(PAGE)
# Each pair once, because both languages have the same pairs.
PAIRS = {one.text + two.text: (one, two) for each in DOCUMENTS.values() for one, two in pairs(each)}
# The table of causes: the rule that makes each cause, the command to run, and its output.
ROWS = [[re.findall("`(.+?)`", cell) for cell in row] for row in PAGE.tables[0][1:]]
MADE_BY = {cause: made[-1] for [cause], made, _ in ROWS if made}
ASK = {cause: (command, answer) for [cause], _, (command, answer) in ROWS}
# One attempt: there is no time for a second attempt.
ONCE = {"CONNECT_TIMEOUT": "2.5", "REPLY_TIMEOUT": "0.5", "RETRY_DELAY": "100"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with tcp-pair.pyz in it."""
    folder = tmp_path_factory.mktemp("hosts")
    build_pyz(folder / "tcp-pair.pyz")
    return folder


@pytest.fixture
def a() -> Iterator[Host]:
    """Make A, the server's host."""
    with Host() as host:
        yield host


@pytest.fixture
def b(a: Host) -> Iterator[Host]:
    """Make B, the client's host, and a link to A, with the addresses of docs/path.md."""
    with Host() as host:
        host.run(f"ip link add wire type veth peer name wire netns {a.pid}")
        for end, address in ((a, A), (host, B)):
            end.run(f"ip address add {address}/24 dev wire")
            # One segment a packet: this link would carry many segments in one packet of 64 KiB.
            end.run("ip link set wire gso_max_segs 1 up")
        yield host


@contextmanager
def listening(
    a: Host, folder: Path, command: Command = SMALL[0]
) -> Iterator["subprocess.Popen[str]"]:
    """Run the server on A, and wait until it listens."""
    with pasted(command.text, folder, *a.prefix) as server:
        assert server.stderr
        assert "listening on 0.0.0.0:8888" in server.stderr.readline()
        yield server


def ask(b: Host, folder: Path, command: Command = SMALL[1]) -> dict[str, Any]:
    """Run the client on B; return its result."""
    with pasted(command.text, folder, *b.prefix, **ONCE) as client:
        stdout, _ = client.communicate(timeout=PATIENCE)
    result: dict[str, Any] = json.loads(stdout)
    assert result["exit_code"] == client.returncode
    return result


def test_every_command_has_a_test() -> None:
    """Each command for two hosts is in a pair or in the table of causes, which tests run."""
    known = {command.text for pair in PAIRS.values() for command in pair}
    known |= {command for command, _ in ASK.values()} | {*MADE_BY.values()}

    assert {command.text for command in commands_for("two hosts")} <= known


@pytest.mark.parametrize("pair", PAIRS.values(), ids=range(len(PAIRS)))
def test_commands_work_as_they_stand(
    pair: tuple[Command, Command], a: Host, b: Host, folder: Path
) -> None:
    """The client's command ends with 0, and prints the output that the document shows."""
    server, command = pair
    with listening(a, folder, server), pasted(command.text, folder, *b.prefix) as client:
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
    cause: str, fault: str, answer: bool, a: Host, b: Host, folder: Path
) -> None:
    """A fault gives the cause in its table row; the row's command tells similar faults apart."""
    question, shown = ASK[cause]
    asked = [*(a if question.startswith("ss") else b).prefix, *question.split()]

    def answered() -> bool:
        return shown in subprocess.run(asked, check=True, capture_output=True, text=True).stdout

    if fault in {"INPUT", "OUTPUT"}:
        a.run(f"iptables --protocol tcp --append {fault} {MADE_BY[cause]}")
    elif fault == "no address":
        a.run("ip address flush dev wire")
        b.run("echo 50 >/proc/sys/net/ipv4/neigh/wire/retrans_time_ms")
    elif fault == "no route":
        b.run("ip address flush dev wire")
    elif fault == "forbidden":
        b.run(MADE_BY[cause])
    with ExitStack() as stack:
        if fault != "no server":
            stack.enter_context(listening(a, folder))
        client = stack.enter_context(pasted(SMALL[1].text, folder, *b.prefix, **ONCE))
        if answer:  # it may appear only during the attempt
            until(answered, awaited=shown)
        result = json.loads(client.communicate(timeout=PATIENCE)[0])
        assert answer or not answered()

    assert (client.returncode, result["cause"]) == (69, cause)


@pytest.mark.parametrize("lost", ["message", "reply"])
def test_lost_large_packets_give_no_reply(lost: str, a: Host, b: Host, folder: Path) -> None:
    """Lost large packets give `no-reply`, with the `resent` and the `mss` in docs/path.md."""
    pattern = r"MTU of (\d+) less (\d+) .*?, (\d+) .*?(\d+) of\s+timestamps is (\d+)"
    (sizes,) = re.findall(pattern, PAGE.text, re.S)
    mtu, *headers, mss = map(int, sizes)
    rule = "INPUT --match length --length 1301: --jump DROP"
    (a if lost == "message" else b).run(f"iptables --append {rule}")
    with listening(a, folder, LARGE[0]):
        result = ask(b, folder, LARGE[1])

    assert (result["exit_code"], result["cause"]) == (75, "ETIMEDOUT")
    assert "after 0 of 4000 bytes" in result["error"]
    assert (result["resent"] > 0) == (lost == "message")
    assert result["mss"] == mss == mtu - sum(headers)


def test_lost_syn_shows_in_two_figures(a: Host, b: Host, folder: Path) -> None:
    """A lost SYN gives the `connect_ms` and the `resent` in docs/path.md."""
    ((ms, resent),) = re.findall(r"`connect_ms` above (\d+) with `resent` (\d)", PAGE.text)
    every_other = "--match statistic --mode nth --every 2 --packet 0"
    a.run(f"iptables --append INPUT --protocol tcp --syn {every_other} --jump DROP")
    with listening(a, folder):
        result = ask(b, folder)

    assert result["connect_ms"] > int(ms)
    assert result["resent"] == int(resent)


def test_round_trip_is_that_of_the_kernel(a: Host, b: Host, folder: Path) -> None:
    """`rtt_ms` is the smoothed round-trip time that ss(8) shows."""
    asked = [*b.prefix, "ss", "-Htin", "state", "established"]
    with listening(a, folder) as server, pasted(SMALL[1].text, folder, *b.prefix) as client:
        server.send_signal(signal.SIGSTOP)  # the kernel acknowledges in its place

        def shown() -> list[str]:
            said = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
            return [] if "unacked:" in said else re.findall(r" rtt:([\d.]+)/", said)

        (rtt,) = until(shown)
        server.send_signal(signal.SIGCONT)
        result = json.loads(client.communicate(timeout=PATIENCE)[0])

    assert result["rtt_ms"] == float(rtt)
