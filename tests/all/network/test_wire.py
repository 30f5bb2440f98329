"""The client's result once it is connected, if the network loses or blocks data.

A client that cannot connect is in test_path.py.
"""

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


@pytest.mark.parametrize(
    ("message", "reply"), [(LARGE, SHORT), (SHORT, LARGE)], ids=["message", "reply"]
)
def test_lost_large_packets_are_no_reply(message: str, reply: str) -> None:
    """If only small packets pass, no reply comes, and the client's message is sent again."""
    with wire() as hosts:
        to = hosts.server if message == LARGE else hosts.client
        to.block("INPUT --match length --length 1301: --jump DROP")
        assert ending(ask(hosts)) == (0, "ok", None)
        result = ask(hosts, MESSAGE=message, reply=reply)
    assert ending(result) == (75, "no-reply", "ETIMEDOUT")
    assert f"after 0 of {len(reply)} bytes" in result["error"]
    assert (result["resent"] >= 1) == (message == LARGE)
    assert result["mss"] == 1448


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
        ("--jump DROP", (75, "no-reply", "ETIMEDOUT")),
        # Once connected, TCP does not believe such a message: RFC 5927.
        ("--jump REJECT", (75, "no-reply", "ETIMEDOUT")),
        ("--jump REJECT --reject-with tcp-reset", (74, "closed", "ECONNRESET")),
    ],
    ids=["drop", "reject", "reset"],
)
def test_firewall_that_blocks_data(chain: str, rule: str, ended: tuple[int, str, str]) -> None:
    """A connected client reports a reset as closed, and dropped or rejected data as no reply."""
    with wire() as hosts:
        host = hosts.server if chain == "INPUT" else hosts.client
        host.block(f"{chain} {DATA} {rule}")
        result = ask(hosts)
    assert ending(result) == ended
    assert result["connect_ms"] is not None
