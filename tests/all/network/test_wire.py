"""The client's result on a network with a fault, in network namespaces."""

from typing import Any

import pytest

from tests.lib.programs import Server, run_client
from tests.lib.wire import Wire, wire

pytestmark = pytest.mark.slow

SHORT, LARGE = "x", "x" * 4000  # one segment, three
# One attempt: there is no time for another.
ONCE = {"OUTPUT": "json", "CONNECT_TIMEOUT": "0.5", "REPLY_TIMEOUT": "0.5", "RETRY_DELAY": "10"}
# A segment that carries data has this flag, those of connecting have not.
DATA = "--tcp-flags PSH PSH"
PROHIBITED = "--reject-with icmp-admin-prohibited"  # the default of firewalld


def longer(size: int) -> str:
    """Return a firewall's rule that drops packets longer than that, the IP header included."""
    return f"INPUT --match length --length {size + 1}: --jump DROP"


def ask(hosts: Wire, reply: str = SHORT, **env: str) -> dict[str, Any]:
    """Run the server on one host and the client on the other; return the client's result.

    That the server listens is read in its log: a connection that probes it would count where a
    firewall drops the first.
    """
    with Server(
        prefix=hosts.server.prefix, HOST=hosts.address, REPLY=reply, DRAIN_TIMEOUT="0"
    ) as server:
        env = ONCE | {"REPLY": reply, "REPLY_MATCH": "prefix"} | env
        address = (hosts.address, server.address[1])
        outcome = run_client(address, prefix=hosts.client.prefix, **env)
    result = outcome.json
    assert (result["exit_code"], result["attempts"]) == (outcome.exit_code, 1)
    return result


def ending(result: dict[str, Any]) -> tuple[int, str, str | None]:
    """Return how a client ended."""
    return result["exit_code"], result["status"], result["cause"]


@pytest.mark.parametrize("mtu", [1500, 1400])
def test_sound_path_carries_large_packets(mtu: int) -> None:
    """On a sound path nothing is sent again, and segments are as large as the path allows."""
    with wire(mtu) as hosts:
        # Longer packets would make the tests below drop what no wire carries.
        hosts.server.block(longer(mtu))
        hosts.client.block(longer(mtu))
        result = ask(hosts, MESSAGE=LARGE, reply=LARGE)
    assert ending(result) == (0, "ok", None)
    assert result["resent"] == 0
    # Headers of IP and TCP, and a timestamp: 20, 20 and 12 bytes.
    assert result["mss"] == mtu - 52


@pytest.mark.parametrize(
    ("message", "reply"), [(LARGE, SHORT), (SHORT, LARGE)], ids=["message", "reply"]
)
def test_lost_large_packets_are_no_reply(message: str, reply: str) -> None:
    """If only small packets pass, no reply comes, and the client's message is sent again."""
    with wire() as hosts:
        to = hosts.server if message == LARGE else hosts.client
        to.block(longer(1300))
        assert ending(ask(hosts)) == (0, "ok", None)
        result = ask(hosts, MESSAGE=message, reply=reply)
    assert ending(result) == (75, "no-reply", "ETIMEDOUT")
    assert f"after 0 of {len(reply)} bytes" in result["error"]
    assert (result["resent"] >= 1) == (message == LARGE)
    assert result["mss"] == 1448


@pytest.mark.parametrize(
    ("which", "ended"),
    [
        ("--match statistic --mode nth --every 2 --packet 0", (0, "ok", None)),
        ("", (69, "unavailable", "ETIMEDOUT")),
    ],
    ids=["first", "each"],
)
def test_lost_syn_is_sent_again(which: str, ended: tuple[int, str, str | None]) -> None:
    """A lost SYN is sent again after a second, and is counted once the client is connected."""
    with wire() as hosts:
        hosts.server.block(f"INPUT --syn {which} --jump DROP")
        result = ask(hosts, CONNECT_TIMEOUT="1.5")
    assert ending(result) == ended
    connected = ended[0] == 0
    assert result["resent"] == (1 if connected else None)
    assert ((result["connect_ms"] or 0) > 1000) == connected


def test_largest_exchange_on_a_long_path() -> None:
    """The largest message and reply pass a path of 50 ms each way within REPLY_TIMEOUT."""
    largest = "x" * 65536
    with wire(delay=0.05) as hosts:
        result = ask(hosts, MESSAGE=largest, reply=largest, CONNECT_TIMEOUT="5", REPLY_TIMEOUT="5")
    assert ending(result) == (0, "ok", None)
    assert result["rtt_ms"] > 90
    assert result["reply_ms"] < 2500


@pytest.mark.parametrize("chain", ["INPUT", "OUTPUT"])
@pytest.mark.parametrize(
    ("rule", "ended"),
    [
        ("--jump DROP", (69, "unavailable", "ETIMEDOUT")),
        ("--jump REJECT", (69, "unavailable", "ECONNREFUSED")),
        (f"--jump REJECT {PROHIBITED}", (69, "unavailable", "EHOSTUNREACH")),
        (f"{DATA} --jump DROP", (75, "no-reply", "ETIMEDOUT")),
        # Once connected, TCP does not believe such a message: RFC 5927.
        (f"{DATA} --jump REJECT", (75, "no-reply", "ETIMEDOUT")),
        (f"{DATA} --jump REJECT --reject-with tcp-reset", (74, "closed", "ECONNRESET")),
    ],
    ids=["drop", "reject", "prohibit", "drop data", "reject data", "reset"],
)
def test_firewall_faults_differ_in_cause(
    chain: str, rule: str, ended: tuple[int, str, str]
) -> None:
    """A firewall that drops, rejects or resets gives another cause, on either host."""
    with wire() as hosts:
        host = hosts.server if chain == "INPUT" else hosts.client
        host.block(f"{chain} {rule}")
        result = ask(hosts)
    assert ending(result) == ended
    assert (result["connect_ms"] is not None) == (DATA in rule)
