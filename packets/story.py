"""Say of each packet what it is and why, in the light of those before it."""

import os
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from packets.decode import FLAGS, HEADERS, Field, Packet

SHOWN = 200  # bytes of what a packet carries
End = tuple[str, str]  # address and port


def read_words() -> dict[str, str]:
    """Read what is said in the language of LANGUAGE, or else of the locale: pt, or English."""
    names = (os.environ.get(name) for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"))
    portuguese = next(filter(None, names), "").startswith("pt")
    text = Path(__file__).with_name("words.toml").read_text(encoding="utf-8")
    words = {key: both[portuguese] for key, both in tomllib.loads(text).items()}
    for kind, fields in HEADERS.items():
        words |= {f"{kind} {name}": both[portuguese] for name, (_, *both) in fields.items()}
    return words


class Row(NamedTuple):
    """A line of a side's log, a packet that it has sent, or, with neither, an explanation."""

    moment: int  # in nanoseconds since 1970
    side: str = ""
    text: str = ""
    tag: str = ""  # the packet in a word or two
    packet: Packet | None = None

    def clock(self) -> str:
        """Return the time of day."""
        return datetime.fromtimestamp(self.moment / 1e9, UTC).strftime("%H:%M:%S.%f")


@dataclass
class Sent:
    """What one end of a connection has sent: its first byte's number, the next's, whether all."""

    first: int
    next: int
    ended: bool = False


class Story:
    """What has happened so far. The first to speak is the client, whose network this is."""

    def __init__(self, words: dict[str, str]) -> None:
        self._words = words
        self._sides: dict[str, str] = {}  # by address
        self._asked = 0  # times since there was an answer
        self._sent: dict[tuple[End, End], Sent] = {}

    def tell(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Put them into the order of time, explain packets, and the silence before a log's line."""
        for row in sorted(rows, key=lambda row: row.moment):
            if self._asked and "No route to host" in row.text:
                yield Row(row.moment, text=self._words["silence"].format(n=self._asked))
                self._asked = 0
            yield Row(row.moment, *self._explain(row.packet), row.packet) if row.packet else row

    def _side(self, address: str) -> str:
        if len(self._sides) < 2:
            self._sides.setdefault(address, ("client", "server")[len(self._sides)])
        return self._sides.get(address, "")

    def _explain(self, packet: Packet) -> tuple[str, str, str]:
        values = {name: field.text for name, field in packet.fields.items()}
        values |= {"size": str(len(packet.fields["data"].raw)), "cut": packet.cut}
        if packet.unread or packet.cut in HEADERS:
            side, keys, tag = "", ["unread"], packet.unread or packet.cut
        elif "ARP operation" in packet.fields:
            side, keys, tag = self._arp(values)
        else:
            side, keys, tag = self._tcp(packet.fields, values)
        keys += ["cut"] * bool(packet.cut)
        return side, " ".join(self._words[key].format_map(values) for key in keys), tag

    def _arp(self, values: dict[str, str]) -> tuple[str, list[str], str]:
        sender, target = values["ARP sender IP"], values["ARP target IP"]
        side, _ = self._side(sender), self._side(target)
        if values["ARP operation"].endswith("reply"):
            key, self._asked = "arp_reply", 0
        elif sender == target:
            key = "arp_mine"
        elif values["Ethernet destination MAC"] != "ff:ff:ff:ff:ff:ff":
            key = "arp_check"
        else:
            key, self._asked = "arp_again" if self._asked else "arp_ask", self._asked + 1
        return side, [key], "ARP"

    def _tcp(self, fields: dict[str, Field], values: dict[str, str]) -> tuple[str, list[str], str]:
        data = fields["data"].raw
        me = values["IPv4 source"], values["TCP source port"]
        peer = values["IPv4 destination"], values["TCP destination port"]
        side, other = self._side(me[0]), self._side(peer[0])
        on = [name for name, bit in FLAGS.items() if fields["TCP flags"].value & bit]
        seq, ack = (fields[f"TCP {name} number"].value for name in ("sequence", "acknowledgment"))
        begin = seq + ("SYN" in on)  # which takes a number too
        end = begin + len(data)
        known, back = (me, peer) in self._sent, self._sent.get((peer, me))
        sent = self._sent.setdefault((me, peer), Sent(begin, seq))
        again = (sent.next - end) % 2**32 < 2**31
        if "RST" in on:
            keys = ["reset" if known else "refused"]
        elif "SYN" in on:
            keys = ["syn_again" if again else "syn_ack" if "ACK" in on else "syn"]
        elif data or "FIN" in on:
            keys = ["says_again" if again else "says"] * bool(data)
            keys += ["fin_last" if back and back.ended else "fin"] * ("FIN" in on)
        elif back and (back.ended or back.next == back.first):
            keys = ["ack_fin" if back.ended else "established"]
        else:
            keys = ["ack"]
        sent.next = sent.next if again else end
        sent.ended |= "FIN" in on
        shown = repr(data[:SHOWN].decode(errors="backslashreplace"))[1:-1]
        values |= {  # of which the words speak beside the fields
            "who": self._words.get(side, me[0]),
            "other": self._words.get(other, peer[0]),
            "kernel": self._words.get(f"{side} kernel", me[0]),
            "had": str((ack - back.first) % 2**32) if back else "?",
            "data": f'"{shown}"' + "…" * (len(data) > SHOWN),
        }
        tag = [f"{len(data)} bytes"] * bool(data) + [f for f in ("SYN", "FIN", "RST") if f in on]
        tag += ["ACK"] * (tag in ([], ["SYN"]) and "ACK" in on)
        return side, keys, " ".join(tag)
