"""Read a pcap and the headers in it: Ethernet, ARP, IPv4 and TCP, each a table of its fields."""

import re
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any, BinaryIO, NamedTuple

# Each header as its RFC draws it, 32 bits a row (Ethernet aside): B, H and I are numbers of 1, 2
# and 4 bytes, the most significant first, and 6s is six bytes as they are.
HEADERS = {
    "Ethernet": """
        6s destination MAC
        6s source MAC
        H type""",
    "ARP": """
        H hardware type                   | H protocol type
        B hardware size | B protocol size | H operation
        6s sender MAC
        4s sender IP
        6s target MAC
        4s target IP""",
    "IPv4": """
        B version       | B service       | H length
        H identification                  | H fragment
        B TTL           | B protocol      | H checksum
        4s source
        4s destination""",
    "TCP": """
        H source port                     | H destination port
        I sequence number
        I acknowledgment number
        H flags                           | H window
        H checksum                        | H urgent pointer""",
}
ETHERTYPES = {0x0800: "IPv4", 0x0806: "ARP", 0x86DD: "IPv6"}
PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP"}
NAMES = {
    "type": ETHERTYPES,
    "protocol type": ETHERTYPES,
    "protocol": PROTOCOLS,
    "operation": {1: "request", 2: "reply"},
}
FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32, "ECE": 64, "CWR": 128}
OPTIONS = {2: "MSS", 3: "window scale", 4: "SACK permitted", 5: "SACK", 8: "timestamps"}

GLOBAL, RECORD = struct.Struct("<IHHiIII"), struct.Struct("<IIII")
HEADER = GLOBAL.pack(0xA1B23C4D, 2, 4, 0, 0, 0x40000, 1)  # version 2.4, Ethernet


class Field(NamedTuple):
    """A field as it stands in a packet, and what it says."""

    raw: bytes
    value: Any
    text: str


class Packet(NamedTuple):
    """The headers that are there, what follows them, and its name where it is not read here.

    ``cut`` names the header that is not whole, or not one, or "data" where some was not captured.
    """

    data: bytes
    headers: dict[str, dict[str, Field]]
    payload: bytes
    unread: str
    cut: str


def options(raw: bytes) -> str:
    """Name TCP's options: a kind, and but for 0 (the end) and 1 (nothing) a length and numbers."""
    said = []
    while raw and raw[0]:
        size = 1 if raw[0] == 1 else min(max(int.from_bytes(raw[1:2]), 2), len(raw))
        numbers = (int.from_bytes(raw[at : min(at + 4, size)]) for at in range(2, size, 4))
        if raw[0] != 1:
            said.append(" ".join([OPTIONS.get(raw[0], f"option {raw[0]}"), *map(str, numbers)]))
        raw = raw[size:]
    return ", ".join(said)


def show(name: str, value: Any) -> str:
    """Return what a field says."""
    if isinstance(value, bytes):
        return value.hex(":") if len(value) == 6 else str(IPv4Address(value))
    if name in NAMES:
        return f"{value:#x} {NAMES[name].get(value, '?')}"
    if name == "version":
        return f"{value >> 4}, {value % 16} * 4 bytes"
    if name == "fragment":
        return f"{'DF ' * (value >> 14 & 1)}{'MF ' * (value >> 13 & 1)}{value % 8192 * 8}"
    if name == "flags":
        on = [f"{value >> 12} * 4 bytes", *(flag for flag, bit in FLAGS.items() if value & bit)]
        return ", ".join(on)
    return f"{value:#06x}" if name == "checksum" else str(value)


def read_header(kind: str, data: bytes) -> tuple[dict[str, Field], bool]:
    """Return a header's fields by name, options as the last, and whether that is all of it."""
    rows = re.findall(r"(\d?[sBHI]) ([^|\n]*[^|\s])", HEADERS[kind])
    form = struct.Struct("!" + "".join(code for code, _ in rows))
    if len(data) < form.size:
        return {}, False
    fields, at = {}, 0
    for (code, name), value in zip(rows, form.unpack_from(data), strict=True):
        end = at + struct.calcsize(code)
        fields[name] = Field(data[at:end], value, show(name, value))
        at = end
    if kind in {"Ethernet", "ARP"}:
        return fields, kind == "Ethernet" or data[4:6] == b"\6\4"  # of a MAC and an IPv4 address
    size = 4 * (data[0] % 16 if kind == "IPv4" else data[12] // 16)
    if more := data[at:size]:
        fields["options"] = Field(more, more, options(more) if kind == "TCP" else more.hex(" "))
    return fields, at <= size <= len(data) and (kind == "TCP" or data[0] // 16 == 4)


def decode(data: bytes, length: int) -> Packet:
    """Take a packet apart, of which so many bytes were on the network."""
    headers: dict[str, dict[str, Field]] = {}
    kind, rest, cut = "Ethernet", data, "data" * (len(data) < length)
    while kind in HEADERS:
        header, whole = read_header(kind, rest)
        size = sum(len(field.raw) for field in header.values())
        total = header["length"].value if whole and kind == "IPv4" else len(rest)
        headers |= {kind: header} if header else {}
        if not whole or total < size:
            return Packet(data, headers, rest[size:], "", kind)
        if kind == "Ethernet":
            kind = ETHERTYPES.get(header["type"].value, header["type"].text)
        elif kind == "IPv4":
            cut = "data" if total > len(rest) else cut
            kind = PROTOCOLS.get(header["protocol"].value, header["protocol"].text)
            kind = "fragment" if header["fragment"].value % 8192 else kind
        else:
            kind = ""
        rest = rest[size:total]  # what is beyond that Ethernet has added, to fill a frame
    return Packet(data, headers, rest, kind, cut)


def read_pcap(file: BinaryIO) -> Iterator[tuple[int, bytes, int]]:
    """Yield moments in nanoseconds, bytes, and how many the network had, until one is cut."""
    while len(record := file.read(RECORD.size)) == RECORD.size:
        seconds, nanoseconds, size, length = RECORD.unpack(record)
        if len(data := file.read(size)) == size:
            yield seconds * 10**9 + nanoseconds, data, length
