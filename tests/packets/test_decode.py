"""The headers of packets, as tcpdump reads them too, and whatever else may come by."""

import re
import shutil
import subprocess
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packets.decode import FLAGS, HEADER, Packet, decode, options, read_header, read_pcap
from tests.packets.captures import KEPT, kept, odd, pcap, segment, segments

# What tcpdump says of a packet; of one that has neither data nor SYN, FIN, RST it says no seq.
TCP = re.compile(
    r"IP (\S+)\.(\d+) > (\S+)\.(\d+): Flags \[(.*?)\]"
    r"(?:, seq (\d+)(?::\d+)?)?(?:, ack (\d+))?, win (\d+).*, length (\d+).*"
)
ARP = re.compile(r"ARP, (?:Request who-has (\S+) tell|Reply) (\S+?)(?: is-at (\S+))?, length 28")
LETTERS = {"FIN": "F", "SYN": "S", "RST": "R", "PSH": "P", "ACK": "."}


def by_tcpdump(capture: bytes) -> list[tuple[str | None, ...]]:
    """Return what tcpdump finds in each packet."""
    if not shutil.which("tcpdump"):
        pytest.skip("there is no tcpdump to compare with")
    command = ["tcpdump", "-n", "-t", "-S", "-r", "-"]
    done = subprocess.run(command, input=capture, capture_output=True, check=True)
    found = []
    for line in done.stdout.decode().splitlines():
        match = TCP.fullmatch(line) or ARP.fullmatch(line)
        assert match, line
        found.append(match.groups())
    return found


def by_us(packet: Packet) -> tuple[str | None, ...]:
    """Return the same of what is decoded here."""
    if arp := packet.headers.get("ARP"):
        asks = arp["operation"].value == 1
        target, mac = arp["target IP"].text, arp["sender MAC"].text
        return target if asks else None, arp["sender IP"].text, None if asks else mac
    ip, tcp = packet.headers["IPv4"], packet.headers["TCP"]
    on = {name for name, bit in FLAGS.items() if tcp["flags"].value & bit}
    numbered = packet.payload or on & {"SYN", "FIN", "RST"}
    return (
        ip["source"].text,
        tcp["source port"].text,
        ip["destination"].text,
        tcp["destination port"].text,
        "".join(letter for name, letter in LETTERS.items() if name in on),
        tcp["sequence number"].text if numbered else None,
        tcp["acknowledgment number"].text if "ACK" in on else None,
        tcp["window"].text,
        str(len(packet.payload)),
    )


def test_the_kept_capture_as_tcpdump_reads_it() -> None:
    """Of the capture in docs/ both say the same, packet by packet."""
    assert by_tcpdump(KEPT.read_bytes()) == [by_us(decode(data, size)) for _, data, size in kept()]


@given(st.lists(segments, min_size=1, max_size=20))
@settings(max_examples=20)
def test_made_up_packets_as_tcpdump_reads_them(packets: list[bytes]) -> None:
    """Of packets with any numbers, flags, options and data both say the same."""
    assert by_tcpdump(pcap(packets)) == [by_us(decode(data, len(data))) for data in packets]


@given(odd)
def test_no_byte_is_lost_or_made_up(data: bytes) -> None:
    """Whatever the bytes are, fields and payload are those from the first on, in their order."""
    packet = decode(data, len(data))

    fields = [field.raw for header in packet.headers.values() for field in header.values()]
    assert data.startswith(b"".join([*fields, packet.payload]))


@given(segments, st.data())
def test_what_is_cut_is_named(data: bytes, more: st.DataObject) -> None:
    """A packet that ends within a header names that header; within its data, the data."""
    size = more.draw(st.integers(0, len(data) - 1))
    tcp = 34 + (data[46] >> 4) * 4

    cut = decode(data[:size], len(data)).cut

    assert cut == (
        "Ethernet" if size < 14 else "IPv4" if size < 34 else "TCP" if size < tcp else "data"
    )


@pytest.mark.parametrize(
    ("change", "unread", "cut"),
    [
        ((12, b"\x86\xdd"), "IPv6", ""),
        ((12, b"\x12\x34"), "0x1234 ?", ""),
        ((23, b"\x11"), "UDP", ""),
        ((23, b"\x7f"), "0x7f ?", ""),
        ((20, b"\x00\x01"), "fragment", ""),
        ((14, b"\x65"), "", "IPv4"),
        ((14, b"\x44"), "", "IPv4"),
        ((16, b"\x00\x13"), "", "IPv4"),
        ((46, b"\x40"), "", "TCP"),
        ((46, b"\xf0"), "", "TCP"),
    ],
    ids=lambda value: str(value) if value else "-",
)
def test_what_is_unknown_or_malformed(change: tuple[int, bytes], unread: str, cut: str) -> None:
    """Another protocol is named, a header that cannot be one too."""
    at, value = change
    data = segment((50000, 8888), (1, 1), 16, b"", b"")
    data = data[:at] + value + data[at + len(value) :]

    packet = decode(data, len(data))

    assert (packet.unread, packet.cut) == (unread, cut)


def test_options_are_named() -> None:
    """Each option of a SYN has its name and its number; one that lies about its length ends it."""
    assert options(bytes.fromhex("020405b4 0402080a 00000001 00000002 0103030a")) == (
        "MSS 1460, SACK permitted, timestamps 1 2, window scale 10"
    )
    assert options(b"\x02\xff\x05") == "MSS 5"
    assert options(b"\x63\x00") == "option 99"


def test_a_capture_that_is_cut() -> None:
    """Whatever of a capture is there is read, up to the record that is cut."""
    capture = pcap([b"one", b"two"])
    for size in range(len(HEADER), len(capture)):
        found = [data for _, data, _ in read_pcap(BytesIO(capture[len(HEADER) : size]))]
        assert found == [b"one"] * (size >= len(HEADER) + 19)


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

    assert [field.raw[0] for name, field in fields.items() if name != "options"] == places
    for name, place in {"IPv4": {"checksum": 10}, "TCP": {"checksum": 16}}.get(kind, {}).items():
        assert fields[name].raw[0] == place


def test_what_fills_a_frame_is_no_data() -> None:
    """Behind the length that IPv4 gives, a packet has nothing of the program's."""
    data = segment((50000, 8888), (1, 1), 24, b"", b"ok")

    assert decode(data + bytes(4), len(data) + 4).payload == b"ok"


def test_what_was_not_captured_is_said() -> None:
    """Where the network had more bytes than the capture has, the data is cut."""
    data = segment((50000, 8888), (1, 1), 24, b"", b"ok")

    assert decode(data, len(data)).cut == ""
    assert decode(data, len(data) + 1).cut == "data"
