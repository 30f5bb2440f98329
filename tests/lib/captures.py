"""Packets for tests: those of docs/packets.pcap, and generated packets."""

import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import strategies as st

from packets.decode import decode, read_pcap
from packets.story import Row, Story, read_words
from tests.lib.support import ROOT

KEPT = ROOT / "docs" / "packets.pcap"
KEPT_PACKETS = [data for _, data, _ in read_pcap(KEPT)]
with pytest.MonkeyPatch.context() as patch:
    patch.setenv("LANGUAGE", "en")
    ENGLISH = read_words()
MACS = bytes.fromhex("0242c0a80f0a 0242c0a80f14")
FIRST = 2**32 - 1  # each side's first sequence number; the next one wraps to 0
FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16}
OPTIONS = bytes.fromhex("020405b4 0402080a 00000001 00000002 0103030a")


def segment(
    ports: tuple[int, int], numbers: tuple[int, int], flags: int, options: bytes, data: bytes
) -> bytes:
    """Return a whole TCP packet; the options fill words of four bytes."""
    words = 5 + len(options) // 4
    tcp = struct.pack("!HHIIBBHI", *ports, *numbers, words << 4, flags, 64240, 0) + options + data
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0x4000, 64, 6, 0)
    return MACS + b"\x08\x00" + ip + bytes([192, 168, 15, 20, 192, 168, 15, 10]) + tcp


def client(seq: int, ack: int, flags: str, data: bytes = b"") -> bytes:
    """Return a packet from the client, with numbers relative to those of the SYNs."""
    numbers = (FIRST + seq) % 2**32, (FIRST + ack) % 2**32
    bits = sum(FLAGS[name] for name in flags.split())
    return segment((50000, 8888), numbers, bits, b"", data)


def server(seq: int, ack: int, flags: str, data: bytes = b"") -> bytes:
    """Return a packet from the server, with numbers relative to those of the SYNs."""
    made = client(seq, ack, flags, data)
    return made[:26] + made[30:34] + made[26:30] + made[36:38] + made[34:36] + made[38:]


def arp(operation: int, sender: int, target: int, to: bytes = b"\xff" * 6) -> bytes:
    """Return an ARP packet from one host of the network to another host."""
    start = to + bytes(6) + bytes.fromhex("0806 0001 0800 06 04 00") + bytes([operation])
    return start + bytes(6) + bytes([10, 0, 0, sender]) + bytes(6) + bytes([10, 0, 0, target])


def told(*packets: bytes) -> list[Row]:
    """Explain packets, the first of which is from the client; return their rows."""
    rows = [Row(0, packet=decode(data, len(data))) for data in packets]
    return [row for row in Story(ENGLISH).tell(rows) if row.packet]


def explained(pcap: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run the program of make packets on a saved capture."""
    command = [sys.executable, "-m", "packets.run", str(pcap)]
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, encoding="utf-8", check=False
    )


def copy_of_kept(folder: Path) -> Path:
    """Copy the capture in docs/ and its log to a folder; return the path of the copy."""
    for path in (KEPT, KEPT.with_suffix(".log")):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder / KEPT.name


number = st.integers(0, 2**32 - 1)
port = st.integers(0, 65535)
segments = st.builds(
    segment,
    st.tuples(port, port),
    st.tuples(number, number),
    # Flags that begin, continue or end a connection, with and without ACK and PSH.
    st.sampled_from([2, 18, 16, 24, 17, 25, 4, 20]),
    st.sampled_from([b"", OPTIONS, OPTIONS[:4] + bytes(4)]),
    st.binary(max_size=80),
)


# Any bytes, or a packet with some bytes changed that is cut off anywhere.
odd = st.binary(max_size=80) | st.builds(
    lambda data, at, new, size: (data[:at] + new + data[at + len(new) :])[:size],
    segments | st.sampled_from(KEPT_PACKETS),
    st.integers(0, 80),
    st.binary(max_size=4),
    st.integers(0, 150),
)
