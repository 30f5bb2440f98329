"""Read a pcap and the headers in it, Ethernet, ARP, IPv4 and TCP, by the tables in headers.toml."""

import struct
import tomllib
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, NamedTuple

from scripts.common import Problem

HEADERS = tomllib.loads(Path(__file__).with_name("headers.toml").read_text(encoding="utf-8"))
ETHERTYPES = {0x0800: "IPv4", 0x0806: "ARP", 0x86DD: "IPv6"}
NAMES = {
    "Ethernet type": ETHERTYPES,
    "ARP protocol type": ETHERTYPES,
    "ARP operation": {1: "request", 2: "reply"},
    "IPv4 protocol": {1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP"},
}
FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32, "ECE": 64, "CWR": 128}
OPTIONS = {2: "MSS", 3: "window scale", 4: "SACK permitted", 5: "SACK", 8: "timestamps"}

# How a pcap with nanoseconds begins: version 2.4, UTC, nothing, the longest packet, Ethernet.
PCAP = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 0x40000, 1)


class Field(NamedTuple):
    """A field as it stands in a packet, and what it says."""

    raw: bytes
    value: Any
    text: str


class Packet(NamedTuple):
    """What is in a packet."""

    fields: dict[str, Field]  # by header and name; behind them "data", what is carried
    unread: str  # the protocol of the data, where it is not read here
    cut: str  # the header that is not whole, or not one, or "data" where some was not captured


def options(raw: bytes) -> str:
    """Name a header's options: a kind, and but for 0 (the end) and 1 (nothing) length and data."""
    said = []
    while (raw := raw.lstrip(b"\1")) and raw[0]:
        size = max(int.from_bytes(raw[1:2]), 2)
        body, name = raw[2:size], OPTIONS.get(raw[0], f"option {raw[0]}")
        numbers = [str(int.from_bytes(body[at : at + 4])) for at in range(0, len(body), 4)]
        said.append(" ".join([name, *numbers]))
        raw = raw[size:]
    return ", ".join(said)


def show(name: str, value: Any) -> str:
    """Return what a field says."""
    if name in NAMES:
        return f"{value:#x} {NAMES[name].get(value, '')}".strip()
    if name == "IPv4 version":
        return f"{value >> 4}, {value % 16} * 4 bytes"
    if name == "IPv4 fragment":
        return f"{'DF ' * (value >> 14 & 1)}{'MF ' * (value >> 13 & 1)}{value % 8192 * 8}"
    if name == "TCP flags":
        on = [f"{value >> 12} * 4 bytes", *(flag for flag, bit in FLAGS.items() if value & bit)]
        return ", ".join(on)
    if isinstance(value, bytes):
        return value.hex(":") if len(value) == 6 else str(IPv4Address(value))
    return f"{value:#06x}" if name.endswith("checksum") else str(value)


def read_header(kind: str, data: bytes) -> tuple[dict[str, Field], bool]:
    """Return a header's fields, options as the last, and whether that is all of it."""
    fields: dict[str, Field] = {}
    at = 0
    for name, (form, *_) in HEADERS[kind].items():
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
    """Take a packet apart, of which so many bytes were on the network."""
    found: dict[str, Field] = {}
    kind, cut = "Ethernet", "data" * (len(data) < length)
    while kind in HEADERS:
        fields, whole = read_header(kind, data)
        if not whole:
            kind, cut = "", kind
        elif kind == "Ethernet":
            kind = fields["Ethernet type"].text.split()[-1]
        elif kind == "IPv4":
            total = fields["IPv4 length"].value
            cut = "data" if total > len(data) else cut
            data = data[:total]  # what is beyond that Ethernet has added, to fill a frame
            kind = fields["IPv4 protocol"].text.split()[-1]
            kind = "fragment" if fields["IPv4 fragment"].value % 8192 else kind
        else:
            kind = ""
        data = data[sum(len(field.raw) for field in fields.values()) :]
        found |= fields
    return Packet(found | {"data": Field(data, data, "")}, kind, cut)


def read_pcap(path: Path) -> Iterator[tuple[int, bytes, int]]:
    """Yield moments in nanoseconds, bytes, and how many the network had, until one is cut."""
    with path.open("rb") as file:
        if file.read(len(PCAP)) != PCAP:
            raise Problem(f"{path} is not a capture of make packets.")
        while len(record := file.read(16)) == 16:
            seconds, nanoseconds, size, length = struct.unpack("<IIII", record)
            if len(data := file.read(size)) == size:
                yield seconds * 10**9 + nanoseconds, data, length
