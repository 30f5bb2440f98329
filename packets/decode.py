"""Read a pcap and the headers in it: Ethernet, ARP, IPv4 and TCP."""

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, NamedTuple

# The fields of each header, as struct names their form, in the order of its RFC.
HEADERS = {
    "Ethernet": "6s destination MAC, 6s source MAC, H type",
    "ARP": "H hardware type, H protocol type, B hardware size, B protocol size, H operation, "
    "6s sender MAC, 4s sender IP, 6s target MAC, 4s target IP",
    "IPv4": "B version, B service, H length, H identification, H fragment, B TTL, B protocol, "
    "H checksum, 4s source, 4s destination",
    "TCP": "H source port, H destination port, I sequence number, I acknowledgment number, "
    "H flags, H window, H checksum, H urgent pointer",
}
NAMES = {"Ethernet type": {0x0800: "IPv4", 0x0806: "ARP", 0x86DD: "IPv6"}}
NAMES["ARP protocol type"] = NAMES["Ethernet type"]
NAMES["ARP operation"] = {1: "request", 2: "reply"}
NAMES["IPv4 protocol"] = {1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP"}
FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32, "ECE": 64, "CWR": 128}
OPTIONS = {2: "MSS", 3: "window scale", 4: "SACK permitted", 5: "SACK", 8: "timestamps"}

# How a pcap with nanoseconds begins: version 2.4, UTC, nothing, the longest packet, Ethernet.
PCAP = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 0x40000, 1)


class Field(NamedTuple):
    """A field as it stands in a packet, and what it means."""

    raw: bytes
    value: Any
    text: str


class Packet(NamedTuple):
    """The content of a packet."""

    fields: dict[str, Field]  # by header and name; then "data", the payload
    kind: str  # the protocol of the last header, or of the payload if that is not decoded
    is_read: bool  # the last header is ARP or TCP, and whole
    cut: str  # the header that is cut off or malformed, or "data" if some was not captured
    wrong: bool  # the TCP checksum does not match


def options(raw: bytes) -> str:
    """Name a header's options: a kind and, but for 0 (the end) and 1 (no-op), length and data."""
    said = []
    while (raw := raw.lstrip(b"\1")) and raw[0]:
        size = max(int.from_bytes(raw[1:2]), 2)
        body, name = raw[2:size], OPTIONS.get(raw[0], f"option {raw[0]}")
        numbers = [str(int.from_bytes(body[at : at + 4])) for at in range(0, len(body), 4)]
        said.append(" ".join([name, *numbers]))
        raw = raw[size:]
    return ", ".join(said)


def show(name: str, value: Any) -> str:
    """Return what a field means."""
    if name in NAMES:
        return f"{value:#x} {NAMES[name].get(value, '')}".strip()
    if name == "IPv4 version":
        return f"{value >> 4}, {value % 16} * 4 bytes"
    if name == "IPv4 fragment":
        return f"{'DF ' * (value >> 14 & 1)}{'MF ' * (value >> 13 & 1)}{value % 8192 * 8}"
    if name == "TCP flags":
        on = (name for name, bit in FLAGS.items() if value & bit)
        return ", ".join([f"{value >> 12} * 4 bytes", *on])
    if isinstance(value, bytes):
        return value.hex(":") if len(value) == 6 else str(IPv4Address(value))
    return f"{value:#06x}" if name.endswith("checksum") else str(value)


def read_header(kind: str, data: bytes) -> tuple[dict[str, Field], bool]:
    """Return a header's fields, options as the last, and whether that is all of it."""
    fields: dict[str, Field] = {}
    at = 0
    for form, name in (field.split(" ", 1) for field in HEADERS[kind].split(", ")):
        raw = data[at : at + struct.calcsize(form)]
        if len(raw) < struct.calcsize(form):
            return fields, False
        (value,) = struct.unpack("!" + form, raw)
        fields[f"{kind} {name}"] = Field(raw, value, show(f"{kind} {name}", value))
        at += len(raw)
    if kind in {"Ethernet", "ARP"}:
        return fields, kind == "Ethernet" or data[4:6] == b"\6\4"  # of a MAC and an IPv4 address
    size = 4 * (data[0] % 16 if kind == "IPv4" else data[12] // 16)
    if raw := data[at:size]:
        fields[f"{kind} options"] = Field(raw, raw, options(raw))
    if kind == "IPv4" and (data[0] // 16 != 4 or fields["IPv4 length"].value < size):
        return fields, False
    return fields, at <= size <= len(data)


def decode(data: bytes, length: int) -> Packet:
    """Take a packet apart; ``length`` is its length on the network."""
    found: dict[str, Field] = {}
    kind, is_read, cut, wrong = "Ethernet", False, "data" * (len(data) < length), False
    while kind in HEADERS and not is_read and cut != kind:
        fields, whole = read_header(kind, data)
        found |= fields
        size = sum(len(field.raw) for field in fields.values())
        if whole and kind == "IPv4":
            total = fields["IPv4 length"].value
            cut = "data" if total > len(data) else cut
            data = data[:total]  # the rest is Ethernet's padding
            summed = data[12:20] + struct.pack("!HH", 6, len(data) - size) + data[size:]
            wrong = not cut and (sum(summed[::2]) * 256 + sum(summed[1::2])) % 0xFFFF != 0
        data = data[size:]
        is_read = whole and kind in {"ARP", "TCP"}
        if not whole:
            cut = kind
        elif not is_read:
            following = fields["Ethernet type" if kind == "Ethernet" else "IPv4 protocol"]
            fragment = kind == "IPv4" and fields["IPv4 fragment"].value % 8192
            kind = "fragment" if fragment else following.text.split()[-1]
    return Packet(found | {"data": Field(data, data, "")}, kind, is_read, cut, wrong)


def read_pcap(path: Path) -> Iterator[tuple[int, bytes, int]]:
    """Yield nanoseconds since 1970, bytes and length on the network. Raises OSError, ValueError."""
    with path.open("rb") as file:
        if file.read(len(PCAP)) != PCAP:
            raise ValueError(path)
        while len(record := file.read(16)) == 16:
            seconds, nanoseconds, size, length = struct.unpack("<IIII", record)
            if len(data := file.read(size)) == size:
                yield seconds * 10**9 + nanoseconds, data, length
