"""The headers of packets, as tcpdump reads them too, and whatever else may come by."""

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packets.decode import FLAGS, PCAP, Packet, decode, options, read_header, read_pcap, show
from tests.lib.captures import KEPT, OPTIONS, odd, segment, segments

LETTERS = {"FIN": "F", "SYN": "S", "RST": "R", "PSH": "P", "ACK": "."}
OK = segment((50000, 8888), (1, 1), 24, b"", b"ok")


def pcap(packets: list[bytes]) -> bytes:
    """Return a capture."""
    return PCAP + b"".join(
        struct.pack("<IIII", 0, 0, len(data), len(data)) + data for data in packets
    )


def tcpdump(capture: bytes) -> list[str]:
    """Return what tcpdump says of each packet, but for TCP's options."""
    if not shutil.which("tcpdump"):
        pytest.skip("there is no tcpdump to compare with")
    command = ["tcpdump", "-n", "-t", "-S", "-r", "-"]
    done = subprocess.run(command, input=capture, capture_output=True, check=True)
    return [re.sub(r", options \[.*?\]", "", line) for line in done.stdout.decode().splitlines()]


def as_tcpdump(packet: Packet) -> str:
    """Return what is decoded here in tcpdump's words."""
    said = {name: field.text for name, field in packet.fields.items()}
    if said.get("ARP operation") == "0x1 request":
        return (
            f"ARP, Request who-has {said['ARP target IP']} tell {said['ARP sender IP']}, length 28"
        )
    if "ARP operation" in said:
        return f"ARP, Reply {said['ARP sender IP']} is-at {said['ARP sender MAC']}, length 28"
    on = [name for name, bit in FLAGS.items() if packet.fields["TCP flags"].value & bit]
    seq, size = packet.fields["TCP sequence number"].value, len(packet.fields["data"].raw)
    line = f"IP {said['IPv4 source']}.{said['TCP source port']}"
    line += f" > {said['IPv4 destination']}.{said['TCP destination port']}"
    line += f": Flags [{''.join(LETTERS[name] for name in sorted(on, key=list(LETTERS).index))}]"
    if size or set(on) & {"SYN", "FIN", "RST"}:
        line += f", seq {seq}" + f":{(seq + size) % 2**32}" * bool(size)
    line += f", ack {said['TCP acknowledgment number']}" * ("ACK" in on)
    return f"{line}, win {said['TCP window']}, length {size}"


def test_the_kept_capture_as_tcpdump_reads_it() -> None:
    """Of the capture in docs/ both say the same, packet by packet."""
    ours = [as_tcpdump(decode(data, length)) for _, data, length in read_pcap(KEPT)]
    assert tcpdump(KEPT.read_bytes()) == ours


@given(st.lists(segments, min_size=1, max_size=20))
@settings(max_examples=20)
def test_made_up_packets_as_tcpdump_reads_them(packets: list[bytes]) -> None:
    """Of packets with any numbers, flags, options and data both say the same."""
    assert tcpdump(pcap(packets)) == [as_tcpdump(decode(data, len(data))) for data in packets]


@given(odd)
def test_no_byte_is_lost_or_made_up(data: bytes) -> None:
    """Whatever the bytes are, the fields have those from the first on, in their order."""
    fields = decode(data, len(data)).fields.values()

    assert data.startswith(b"".join(field.raw for field in fields))


@given(segments, st.data())
def test_what_is_cut_is_named(data: bytes, more: st.DataObject) -> None:
    """A packet that ends within a header names that header; within its data, the data."""
    size = more.draw(st.integers(0, len(data) - 1))
    ends = {"Ethernet": 14, "IPv4": 34, "TCP": 34 + (data[46] >> 4) * 4, "data": len(data)}

    assert decode(data[:size], len(data)).cut == next(name for name in ends if size < ends[name])


@pytest.mark.parametrize(
    ("at", "value", "unread", "cut"),
    [
        (12, b"\x86\xdd", "IPv6", ""),
        (12, b"\x12\x34", "0x1234", ""),
        (23, b"\x11", "UDP", ""),
        (23, b"\x7f", "0x7f", ""),
        (20, b"\x00\x01", "fragment", ""),
        (14, b"\x65", "", "IPv4"),
        (14, b"\x44", "", "IPv4"),
        (16, b"\x00\x13", "", "IPv4"),
        (46, b"\x40", "", "TCP"),
        (46, b"\xf0", "", "TCP"),
        (12, b"\x08\x06", "", "ARP"),
    ],
)
def test_what_is_unknown_or_malformed(at: int, value: bytes, unread: str, cut: str) -> None:
    """Another protocol is named, a header that cannot be one too."""
    packet = decode(OK[:at] + value + OK[at + len(value) :], len(OK))

    assert (packet.unread, packet.cut) == (unread, cut)


def test_options_are_named() -> None:
    """Each option of a SYN has its name and its number; one that lies about its length ends it."""
    assert options(OPTIONS) == "MSS 1460, SACK permitted, timestamps 1 2, window scale 10"
    assert options(b"\x02\xff\x05") == "MSS 5"
    assert options(b"\x63\x00") == "option 99"


def test_a_capture_that_is_cut(tmp_path: Path) -> None:
    """Whatever of a capture is there is read, up to the record that is cut."""
    capture, path = pcap([b"one", b"two"]), tmp_path / "cut.pcap"
    for size in range(len(PCAP), len(capture)):
        path.write_bytes(capture[:size])
        assert [data for _, data, _ in read_pcap(path)] == [b"one"] * (size >= len(PCAP) + 19)


@pytest.mark.parametrize(
    ("kind", "places"),
    [
        ("Ethernet", [0, 6, 12]),
        ("ARP", [0, 2, 4, 5, 6, 8, 14, 18, 24]),
        ("IPv4", [0, 1, 2, 4, 6, 8, 9, 10, 12, 16]),
        ("TCP", [0, 2, 4, 8, 12, 14, 16, 18]),
    ],
)
def test_each_field_is_where_its_standard_has_it(kind: str, places: list[int]) -> None:
    """The fields begin at these bytes; checksums are the tenth of IPv4, the sixteenth of TCP."""
    fields = read_header(kind, bytes(range(20 if kind != "ARP" else 28)))[0]

    assert [field.raw[0] for field in fields.values()] == places
    if checksum := fields.get(f"{kind} checksum"):
        assert checksum.raw[0] == {"IPv4": 10, "TCP": 16}[kind]


def test_where_the_data_ends() -> None:
    """What fills a frame behind the length that IPv4 gives is not data; what is missing is said."""
    filled = decode(OK + bytes(4), len(OK) + 4)

    assert (filled.fields["data"].raw, filled.cut) == (b"ok", "")
    assert decode(OK, len(OK) + 1).cut == "data"
    assert decode(OK[:-1], len(OK) - 1).cut == "data"


def test_what_a_field_says() -> None:
    """Parts of a field are told apart, and what a number means is said."""
    said = {name: field.text for name, field in decode(OK, len(OK)).fields.items()}

    assert said["Ethernet type"] == "0x800 IPv4"
    assert said["IPv4 version"] == "4, 5 * 4 bytes"
    assert said["IPv4 fragment"] == "DF 0"
    assert show("IPv4 fragment", 0x2001) == "MF 8"
    assert said["IPv4 checksum"] == "0x0000"
    assert said["TCP flags"] == "5 * 4 bytes, PSH, ACK"
