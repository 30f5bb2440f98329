"""The headers of packets, as tcpdump reads them too, and whatever else may come by."""

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from packets.decode import FLAGS, PCAP, Packet, decode, read_pcap, show
from tests.lib.captures import KEPT_PACKETS, segment, segments

LETTERS = {"FIN": "F", "SYN": "S", "RST": "R", "PSH": "P", "ACK": "."}
OPTIONS_OF_TCPDUMP = {"MSS": "mss", "SACK permitted": "sackOK", "window scale": "wscale"}
OPTIONS_OF_TCPDUMP[r"timestamps (\d+) (\d+)"] = r"TS val \1 ecr \2"
OK = segment((50000, 8888), (1, 1), 24, b"", b"ok")
ODD = segment((50000, 8888), (1, 1), 24, b"", b"odd")
RIGHT = ODD[:50] + b"[\xfa" + ODD[52:]  # with the checksum that tcpdump calls correct


def pcap(packets: list[bytes]) -> bytes:
    """Return a capture."""
    return PCAP + b"".join(
        struct.pack("<IIII", 0, 0, len(data), len(data)) + data for data in packets
    )


def tcpdump(capture: bytes) -> list[str]:
    """Return what tcpdump says of each packet, but for paddings and what a checksum should be."""
    if not shutil.which("tcpdump"):
        pytest.skip("there is no tcpdump to compare with")
    command = ["tcpdump", "-n", "-t", "-S", "-v", "-r", "-"]
    done = subprocess.run(command, input=capture, capture_output=True, check=True)
    text = done.stdout.decode(errors="replace").replace("\n    ", " ")
    left_out = r"nop,|,eol|, bad cksum .*?!|(?<=incorrect) -> 0x\w+| \[RST\+? .*\]$"
    return [re.sub(left_out, "", line) for line in text.splitlines()]


def as_tcpdump(packet: Packet) -> str:
    """Return what is decoded here in tcpdump's words."""
    said = {name: field.text for name, field in packet.fields.items()}
    if packet.kind == "ARP":
        target, sender = said["ARP target IP"], said["ARP sender IP"]
        line = f"Reply {sender} is-at {said['ARP sender MAC']}"
        if said["ARP operation"] == "0x1 request":
            line = f"Request who-has {target} tell {sender}"
        return f"ARP, Ethernet (len {said['ARP hardware size']}), IPv4 (len 4), {line}, length 28"
    line = f"IP (tos 0x{int(said['IPv4 service']):x}, ttl {said['IPv4 TTL']}, "
    fragment, offset = said["IPv4 fragment"].split()
    line += f"id {said['IPv4 identification']}, offset {offset}, flags [{fragment}], "
    line += f"proto TCP ({packet.fields['IPv4 protocol'].value}), length {said['IPv4 length']})"
    on = [name for name, bit in FLAGS.items() if packet.fields["TCP flags"].value & bit]
    seq, size = packet.fields["TCP sequence number"].value, len(packet.fields["data"].raw)
    line += f" {said['IPv4 source']}.{said['TCP source port']}"
    line += f" > {said['IPv4 destination']}.{said['TCP destination port']}"
    line += f": Flags [{''.join(LETTERS[name] for name in sorted(on, key=list(LETTERS).index))}]"
    line += f", cksum {said['TCP checksum']} ({'in' * packet.wrong}correct)"
    if size or set(on) & {"SYN", "FIN", "RST"}:
        line += f", seq {seq}" + f":{(seq + size) % 2**32}" * bool(size)
    line += f", ack {said['TCP acknowledgment number']}" * ("ACK" in on)
    line += f", win {said['TCP window']}"
    if options := said.get("TCP options", "").replace(", ", ","):
        for ours, theirs in OPTIONS_OF_TCPDUMP.items():
            options = re.sub(ours, theirs, options)
        line += f", options [{options}]"
    return f"{line}, length {size}"


@given(st.lists(segments, min_size=1, max_size=20))
@example([*KEPT_PACKETS, RIGHT])
@settings(max_examples=20)
def test_packets_are_read_as_by_tcpdump(packets: list[bytes]) -> None:
    """The kept packets, and packets with any numbers, flags and data, mean what tcpdump says."""
    assert tcpdump(pcap(packets)) == [as_tcpdump(decode(data, len(data))) for data in packets]


@given(segments, st.data())
def test_cut_header_is_named(data: bytes, more: st.DataObject) -> None:
    """A packet that ends in a header names that header; in its data, the data."""
    size = more.draw(st.integers(0, len(data) - 1))
    ends = {"Ethernet": 14, "IPv4": 34, "TCP": 34 + (data[46] >> 4) * 4, "data": len(data)}

    assert decode(data[:size], len(data)).cut == next(name for name in ends if size < ends[name])


def test_unknown_or_malformed_header_is_named() -> None:
    """A packet names the protocol that is not decoded, and the header that cannot be one."""
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
    """The padding of a frame is no data, and data that was not captured is reported."""
    padded = decode(OK + bytes(4), len(OK) + 4)

    assert (padded.fields["data"].raw, padded.cut) == (b"ok", "")
    assert decode(OK, len(OK) + 1).cut == "data"


def test_cut_capture_is_read_up_to_the_cut(tmp_path: Path) -> None:
    """A capture that was cut off yields each whole packet."""
    capture, path = pcap([b"one", b"two"]), tmp_path / "cut.pcap"
    for size in range(len(PCAP), len(capture)):
        path.write_bytes(capture[:size])
        assert [data for _, data, _ in read_pcap(path)] == [b"one"] * (size >= len(PCAP) + 19)


def test_parts_of_a_field_are_separate() -> None:
    """The two halves of a byte, flags and numbers with a name are shown separately."""
    texts = [field.text for field in decode(OK, len(OK)).fields.values()]

    assert {"0x800 IPv4", "4, 5 * 4 bytes", "5 * 4 bytes, PSH, ACK"} <= {*texts}
    assert show("IPv4 fragment", 0x2001) == "MF 8"
