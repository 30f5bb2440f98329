"""Packets to read: those of the capture that the documents show, and some that are made up."""

import struct

from hypothesis import strategies as st

from packets.decode import read_pcap
from tests.lib.support import ROOT

KEPT = ROOT / "docs" / "packets.pcap"
MACS = bytes.fromhex("0242c0a80f0a 0242c0a80f14")
OPTIONS = bytes.fromhex("020405b4 0402080a 00000001 00000002 0103030a")


def segment(
    ports: tuple[int, int], numbers: tuple[int, int], flags: int, options: bytes, data: bytes
) -> bytes:
    """Return a whole packet of TCP; options fill words of four bytes."""
    words = 5 + len(options) // 4
    tcp = struct.pack("!HHIIBBHI", *ports, *numbers, words << 4, flags, 64240, 0) + options + data
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0x4000, 64, 6, 0)
    return MACS + b"\x08\x00" + ip + bytes([192, 168, 15, 20, 192, 168, 15, 10]) + tcp


number = st.integers(0, 2**32 - 1)
port = st.integers(50000, 60000)  # where tcpdump takes no packet for another protocol's
segments = st.builds(
    segment,
    st.tuples(port, port),
    st.tuples(number, number),
    # One that begins or ends a connection, or neither; with and without ACK and PSH.
    st.sampled_from([2, 18, 16, 24, 17, 25, 4, 20]),
    st.sampled_from([b"", OPTIONS]),
    st.binary(max_size=80),
)


@st.composite
def changed(draw: st.DrawFn) -> bytes:
    """Return a packet with bytes changed, and cut off anywhere."""
    kept = st.sampled_from([data for _, data, _ in read_pcap(KEPT)])
    data = bytearray(draw(segments | kept))
    for at in draw(st.lists(st.integers(0, len(data) - 1), max_size=4)):
        data[at] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))])


odd = changed() | st.binary(max_size=80)
