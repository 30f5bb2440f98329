"""The kind of each segment of a connection, and the states of both ends."""

import pytest

from packets.decode import decode
from packets.tcp import follow
from tests.lib.captures import client, server

OPEN = [(client(0, 0, "SYN"), "syn", "SYN-SENT", "SYN-RECEIVED")]
OPEN += [(server(0, 1, "SYN ACK"), "syn_ack", "", "ESTABLISHED")]
OPEN += [(client(1, 1, "ACK"), "established", "", "ESTABLISHED")]

# Each packet with its kind and the new states of its sender and its receiver.
CONNECTIONS = {
    "refused": [
        (client(0, 0, "SYN"), "syn", "SYN-SENT", ""),
        (server(0, 1, "RST ACK"), "refused", "CLOSED", "CLOSED"),
    ],
    "reset by the server": [
        *OPEN,
        (client(1, 1, "PSH ACK", b"hello"), "says", "", ""),
        (server(1, 6, "RST ACK"), "reset", "CLOSED", "CLOSED"),
    ],
    "SYN sent again": [
        (client(0, 0, "SYN"), "syn", "SYN-SENT", ""),
        (client(0, 0, "SYN"), "again", "", ""),
        (server(0, 1, "SYN ACK"), "syn_ack", "SYN-RECEIVED", "ESTABLISHED"),
        (client(1, 1, "ACK"), "established", "", "ESTABLISHED"),
    ],
    "SYN ACK sent again": [
        OPEN[0],
        (server(0, 1, "SYN ACK"), "syn_ack", "", ""),
        (server(0, 1, "SYN ACK"), "again", "", ""),
        (client(1, 1, "ACK"), "established", "ESTABLISHED", "ESTABLISHED"),
    ],
    "ACK of the handshake lost": [
        *OPEN[:2],
        (client(1, 1, "ACK"), "established", "", ""),
        (server(0, 1, "SYN ACK"), "again", "", ""),
        (client(1, 1, "ACK"), "established", "", "ESTABLISHED"),
    ],
    "half-close by the client, three closing packets": [
        *OPEN,
        (client(1, 1, "FIN ACK"), "fin", "FIN-WAIT-1", "CLOSE-WAIT"),
        (server(1, 2, "PSH FIN ACK", b"ok"), "says fin_three", "LAST-ACK", "TIME-WAIT"),
        (client(2, 4, "ACK"), "ack_fin", "", "CLOSED"),
    ],
    "half-close by the server, four closing packets": [
        *OPEN,
        (server(1, 1, "FIN ACK"), "fin", "FIN-WAIT-1", "CLOSE-WAIT"),
        (client(1, 2, "ACK"), "ack_fin", "", "FIN-WAIT-2"),
        (client(1, 2, "PSH ACK", b"more"), "says", "", ""),
        (server(2, 5, "ACK"), "ack", "", ""),
        (client(5, 2, "FIN ACK"), "fin_four", "LAST-ACK", "TIME-WAIT"),
        (server(2, 6, "ACK"), "ack_fin", "", "CLOSED"),
    ],
    "both close at once": [
        *OPEN,
        (client(1, 1, "FIN ACK"), "fin", "FIN-WAIT-1", ""),
        (server(1, 1, "FIN ACK"), "fin_both", "FIN-WAIT-1", "CLOSING"),
        (server(2, 2, "ACK"), "ack_fin", "CLOSING", "TIME-WAIT"),
        (client(2, 2, "ACK"), "ack_fin", "", "TIME-WAIT"),
    ],
    "last ACK lost": [
        *OPEN,
        (client(1, 1, "FIN ACK"), "fin", "FIN-WAIT-1", "CLOSE-WAIT"),
        (server(1, 2, "FIN ACK"), "fin_three", "LAST-ACK", "TIME-WAIT"),
        (client(2, 2, "ACK"), "ack_fin", "", ""),
        (server(1, 2, "FIN ACK"), "again", "", ""),
        (client(2, 2, "ACK"), "ack_fin", "", "CLOSED"),
    ],
    "data sent again": [
        *OPEN,
        (client(1, 1, "PSH ACK", b"one"), "says", "", ""),
        (client(4, 1, "PSH ACK", b"two"), "says", "", ""),
        (client(1, 1, "PSH ACK", b"one"), "says_again", "", ""),
        (server(1, 7, "ACK"), "ack", "", ""),
    ],
}


@pytest.mark.parametrize("name", CONNECTIONS)
def test_segment_has_its_kind_and_states(name: str) -> None:
    """Each segment has its kind, and each end has the states that the packets prove."""
    packets, *expected = zip(*CONNECTIONS[name], strict=True)
    segments = follow(decode(data, len(data)) for data in packets)

    found = [(" ".join(one.keys), *one.states) for one in segments]
    assert found == list(zip(*expected, strict=True))


def test_late_capture_counts_from_its_first_byte() -> None:
    """A capture without a SYN counts each side from that side's first captured number."""
    said, fin = client(7, 90, "PSH ACK", b"abc"), server(90, 10, "FIN ACK")
    segments = follow(decode(data, 99) for data in (said, fin, client(10, 91, "FIN ACK")))

    assert [" ".join(one.keys) for one in segments] == ["says", "fin", "fin_three"]
    assert [(one.seq, one.ack) for one in segments] == [(1, 1), (1, 4), (4, 2)]
    assert {one.states for one in segments} == {("", "")}
