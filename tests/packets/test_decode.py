"""The decoding of packet headers, valid and malformed."""

import struct
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from packets.decode import PCAP, decode, read_pcap, show
from tests.lib.captures import ENGLISH, KEPT_PACKETS, segment, segments

# Values of an ARP reply and of a SYN ACK in docs/packets.pcap, which tcpdump shows too.
FIELDS = {
    9: "e6:a5:48:61:88:5e | fa:58:8b:d9:45:5e | 0x806 ARP | 1 | 0x800 IPv4 | 6 | 4 | 0x2 reply"
    " | fa:58:8b:d9:45:5e | 192.168.15.20 | e6:a5:48:61:88:5e | 192.168.15.10",
    10: "fa:58:8b:d9:45:5e | e6:a5:48:61:88:5e | 0x800 IPv4 | 4, 5 * 4 bytes | 0 | 60 | 0 | DF 0"
    " | 64 | 0x6 TCP | 0x9b4d | 192.168.15.10 | 192.168.15.20 | 8888 | 59498 | 865914604"
    " | 2798728376 | 10 * 4 bytes, SYN, ACK | 65160 | 0x9f9d | 0"
    " | MSS 1460, SACK permitted, timestamps 1721487422 3233538053, window scale 10",
}
OK = segment((50000, 8888), (1, 1), 24, b"", b"ok")
ODD = segment((50000, 8888), (1, 1), 24, b"", b"odd")
RIGHT = ODD[:50] + b"[\xfa" + ODD[52:]  # with the checksum that tcpdump calls correct


def pcap(packets: list[bytes]) -> bytes:
    """Return a capture of these packets."""
    return PCAP + b"".join(
        struct.pack("<IIII", 0, 0, len(data), len(data)) + data for data in packets
    )


def test_fields_are_read() -> None:
    """Each field has its value, and its name has an explanation."""
    for number, expected in FIELDS.items():
        *fields, _ = decode(KEPT_PACKETS[number], 0).fields.items()
        assert " | ".join(field.text for _, field in fields) == expected
        assert {name for name, _ in fields} <= ENGLISH.keys()


def test_wrong_checksum_is_reported() -> None:
    """A TCP checksum that the kernel left to the network card is reported as wrong."""
    assert decode(KEPT_PACKETS[10], len(KEPT_PACKETS[10])).wrong
    assert not decode(RIGHT, len(RIGHT)).wrong


@given(segments, st.data())
def test_cut_header_is_named(data: bytes, more: st.DataObject) -> None:
    """A truncated packet names the header, or the data, in which it ends."""
    size = more.draw(st.integers(0, len(data) - 1))
    ends = {"Ethernet": 14, "IPv4": 34, "TCP": 34 + (data[46] >> 4) * 4, "data": len(data)}

    assert decode(data[:size], len(data)).cut == next(name for name in ends if size < ends[name])


def test_unknown_or_malformed_header_is_named() -> None:
    """A packet names its unknown protocol or its malformed header."""
    for at, value, kind, cut in (
        (12, b"\x86\xdd", "IPv6", ""),
        (12, b"\x12\x34", "0x1234", ""),
        (23, b"\x11", "UDP", ""),
        (23, b"\x7f", "0x7f", ""),
        (20, b"\x00\x01", "fragment", ""),
        (14, b"\x65", "IPv4", "IPv4"),
        (14, b"\x44", "IPv4", "IPv4"),
        (16, b"\x00\x13", "IPv4", "IPv4"),
        (16, b"\x00\x2b", "TCP", "data"),
        (46, b"\x40", "TCP", "TCP"),
        (46, b"\xf0", "TCP", "TCP"),
        (12, b"\x08\x06", "ARP", "ARP"),
    ):
        packet = decode(OK[:at] + value + OK[at + len(value) :], len(OK))
        assert (packet.kind, packet.cut) == (kind, cut), value


def test_data_ends_where_ipv4_says() -> None:
    """The data of a packet has no padding, and data that was not captured is reported."""
    padded = decode(OK + bytes(4), len(OK) + 4)

    assert (padded.fields["data"].raw, padded.cut) == (b"ok", "")
    assert decode(OK, len(OK) + 1).cut == "data"


def test_cut_capture_is_read_up_to_the_cut(tmp_path: Path) -> None:
    """A truncated capture yields each whole packet."""
    capture, path = pcap([b"one", b"two"]), tmp_path / "cut.pcap"
    for size in range(len(PCAP), len(capture)):
        path.write_bytes(capture[:size])
        assert [data for _, data, _ in read_pcap(path)] == [b"one"] * (size >= len(PCAP) + 19)


def test_position_of_a_fragment_is_in_bytes() -> None:
    """The position of a fragment is shown in bytes, after its flags."""
    assert show("IPv4 fragment", 0x2001) == "MF 8"
