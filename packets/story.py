"""Say of each packet what it is and why, in the light of those before it."""

import os
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packets.decode import Packet
from packets.tcp import follow

SHOWN = 200  # bytes of what a packet carries
GAP = 0.5  # seconds without a packet that are shown
ENDS = {"ARP": ("ARP sender IP", "ARP target IP"), "TCP": ("IPv4 source", "IPv4 destination")}

# The call that sends a packet, if it is not the kernel alone, and the one that it completes at the
# other side. To "end" a connection first a side has several reasons.
SENDS = {"syn": "connect", "says": "send", "fin": "end", "fin_both": "end", "reset": "end"}
SENDS |= {"fin_three": "close", "fin_four": "close"}
COMPLETES = {"syn_ack": "connect", "established": "accept", "refused": "connect", "says": "recv"}
COMPLETES |= {"fin": "recv", "reset": "recv"}


def read_words() -> dict[str, str]:
    """Read the words in the language of LANGUAGE, or else of the locale: pt, or English."""
    names = (os.environ.get(name) for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"))
    portuguese = next(filter(None, names), "").startswith("pt")
    text = Path(__file__).with_name("words.toml").read_text(encoding="utf-8")
    return {key: both[portuguese] for key, both in tomllib.loads(text).items()}


@dataclass
class Row:
    """A line of a side's log, a packet that it sent, or, with neither, an explanation or a gap."""

    moment: int  # nanoseconds since 1970
    side: str = ""
    text: str = ""
    packet: Packet | None = None
    tag: str = ""  # the packet in a few words
    since: float = 0  # seconds since the packet before; or of a gap
    states: dict[str, str] = field(default_factory=dict)  # new ones, by side
    calls: dict[str, str] = field(default_factory=dict)  # by side; "" is the kernel alone
    questions: list[tuple[str, str]] = field(default_factory=list)  # and their answers

    def clock(self) -> str:
        """Return the time of day."""
        return datetime.fromtimestamp(self.moment / 1e9, UTC).strftime("%H:%M:%S.%f")


class Story:
    """What has happened so far. The first to speak is the client, whose network this is."""

    def __init__(self, words: dict[str, str]) -> None:
        self._words = words
        self._asked = 0  # times since there was an answer
        self._once = {name: text for name, text in words.items() if name[0] in "!?"}

    def tell(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Put rows into the order of time; explain packets, gaps, and why ARP found nobody."""
        rows = sorted(rows, key=lambda row: row.moment)
        packets = [row.packet for row in rows if row.packet and row.packet.is_read]
        self._segments = iter(follow(packet for packet in packets if packet.kind == "TCP"))
        ends = [packet.fields[end].text for packet in packets for end in ENDS[packet.kind]]
        self._sides = dict(zip(dict.fromkeys(ends), ("client", "server"), strict=False))
        last = rows[0].moment if rows else 0
        for row in rows:
            if row.packet:
                row.since, last = (row.moment - last) / 1e9, row.moment
                if row.since >= GAP:
                    gap = self._words["gap"].format(ms=round(row.since * 1000))
                    yield Row(row.moment, "", gap, since=row.since)
                yield from self._with_notes(row, *self._explain(row, row.packet))
                continue
            if self._asked and "No route to host" in row.text:
                text, self._asked = self._words["silence"].format(n=self._asked), 0
                silence = Row(row.moment, "", text, calls={"client": "client connect"})
                yield from self._with_notes(silence, ["silence"], {})
            if row.side == "server" and " listening on " in row.text:
                row.states["server"] = "LISTEN"
            yield row

    def _with_notes(self, row: Row, topics: list[str], values: dict[str, Any]) -> Iterator[Row]:
        """Yield a row; before it notes on topics that are new, and with it questions on them."""
        for name in [name for name in self._once if name.split()[1] in topics]:
            text = self._once.pop(name)
            if name.startswith("?"):
                question, mark, answer = text.format_map(values).partition("? ")
                row.questions.append((question + mark, answer))
            else:
                yield Row(row.moment, text=text)
        yield row

    def _explain(self, row: Row, packet: Packet) -> tuple[list[str], dict[str, Any]]:
        """Fill a packet's row; return its topics, and the values that the words on them name."""
        values: dict[str, Any] = {name: one.text for name, one in packet.fields.items()}
        values |= {"size": len(packet.fields["data"].raw), "cut": packet.cut}
        topics, row.tag = ["unread"], packet.kind
        if packet.is_read:
            me, peer = (values[name] for name in ENDS[packet.kind])
            row.side, other = self._sides.get(me, ""), self._sides.get(peer, "")
            values |= {"who": self._words.get(row.side, me), "other": self._words.get(other, peer)}
            is_tcp = packet.kind == "TCP"
            topics = self._tcp(row, other, values) if is_tcp else [self._arp(me == peer, values)]
        topics += ["cut"] * bool(packet.cut)
        words = [self._words[topic] for topic in topics if topic in self._words]
        row.text = " ".join(words).format_map(values)
        return topics, values

    def _arp(self, mine: bool, values: dict[str, Any]) -> str:
        if values["ARP operation"].endswith("reply"):
            self._asked = 0
            return "arp_reply"
        if mine or values["Ethernet destination MAC"] != "ff:ff:ff:ff:ff:ff":
            return "arp_mine" if mine else "arp_check"
        self._asked += 1
        return "arp_again" if self._asked > 1 else "arp_ask"

    def _tcp(self, row: Row, other: str, values: dict[str, Any]) -> list[str]:
        segment = next(self._segments)
        data, keys, seq, ack = segment.data, segment.keys, segment.seq, segment.ack
        text, shown = (part.decode(errors="backslashreplace") for part in (data, data[:SHOWN]))
        tag = f"{len(data)} bytes {segment.flag}".rstrip() if data else segment.flag or "ACK"
        row.tag = f"{tag}  seq {seq} ack {ack}" if ack else f"{tag}  seq {seq}"
        row.states = dict(zip((row.side, other), segment.states, strict=True))
        for key in keys:
            row.calls[row.side] = f"{row.side} {SENDS[key]}" if key in SENDS else ""
            if key in COMPLETES:
                row.calls[other] = f"{other} {COMPLETES[key]}"
        values |= {"seq": seq, "last": seq + len(data) - 1, "fin": segment.end - 1, "ack": ack}
        values |= {"had": ack - 1, "characters": len(text), "first": segment.sender.base}
        values["data"] = f'"{repr(shown)[1:-1]}"' + "…" * (len(data) > SHOWN)
        topics = keys + ["utf8"] * (len(text) < len(data)) + ["repeated"] * segment.again
        topics += ["reply"] * (bool(data) and row.side == "server")
        topics += ["counted"] * (keys == ["ack"] and ack > 1)
        waits = keys == ["ack_fin"] and segment.sender.state == "TIME-WAIT"
        return topics + ["time_wait"] * waits
