"""Say of each packet what it is and why, in the light of those before it."""

import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from packets.decode import FLAGS, Packet

SHOWN = 200  # bytes of what a packet carries
End = tuple[str, int]


def read_words(language: str) -> dict[str, str]:
    """Read the words of a language, en or pt."""
    text = Path(__file__).with_name("words.toml").read_text(encoding="utf-8")
    return {key: both[language == "pt"] for key, both in tomllib.loads(text).items()}


def clock(moment: int) -> str:
    """Return the time of day."""
    return datetime.fromtimestamp(moment / 1e9, UTC).strftime("%H:%M:%S.%f")


class Row(NamedTuple):
    """A line of a side's log, a packet that it has sent, or, with neither, an explanation."""

    moment: int  # in nanoseconds since 1970
    side: str
    text: str
    tag: str = ""  # the packet in a word or two
    packet: Packet | None = None


@dataclass
class Sent:
    """What one end of a connection has sent: its first number, the next one, whether all."""

    first: int
    next: int
    ended: bool = False


class Story:
    """What has happened so far. The first to speak is the client, whose network this is."""

    def __init__(self, words: dict[str, str]) -> None:
        self.rows: list[Row] = []
        self._words = words
        self._sides: dict[str, str] = {}  # by address
        self._asked = 0  # times since there was an answer
        self._sent: dict[tuple[End, End], Sent] = {}

    def tell(self, moment: int, side: str, thing: str | Packet) -> None:
        """Add what has happened next: a line of a side's log, or a packet."""
        if isinstance(thing, Packet):
            self.rows.append(Row(moment, *self._explain(thing), thing))
            return
        if self._asked and "No route to host" in thing:
            self.rows.append(Row(moment, "", self._words["silence"].format(n=self._asked)))
            self._asked = 0
        self.rows.append(Row(moment, side, thing))

    def _side(self, address: str) -> str:
        if len(self._sides) < 2:
            self._sides.setdefault(address, ("client", "server")[len(self._sides)])
        return self._sides.get(address, "")

    def _explain(self, packet: Packet) -> tuple[str, str, str]:
        kind = next(reversed(packet.headers), "")
        if kind not in {"ARP", "TCP"} or kind == packet.cut:
            text = self._words["unread"].format(n=len(packet.data))
            side, tag = "", packet.unread or packet.cut
        else:
            side, text, tag = (self._arp if kind == "ARP" else self._tcp)(packet)
        if packet.cut:
            text += " " + self._words["cut"].format(what=packet.cut)
        return side, text, tag

    def _arp(self, packet: Packet) -> tuple[str, str, str]:
        arp = packet.headers["ARP"]
        sender, target, mac = (arp[name].text for name in ("sender IP", "target IP", "sender MAC"))
        side = self._side(sender)
        if arp["operation"].value == 2:
            key, self._asked = "arp_reply", 0
        elif sender == target:
            key = "arp_mine"
        elif packet.headers["Ethernet"]["destination MAC"].raw != b"\xff" * 6:
            key = "arp_check"
        else:
            key, self._asked = "arp_again" if self._asked else "arp_ask", self._asked + 1
        self._side(target if key != "arp_mine" else sender)
        return side, self._words[key].format(ip=sender, target=target, mac=mac), "ARP"

    def _tcp(self, packet: Packet) -> tuple[str, str, str]:
        ip, tcp, data = packet.headers["IPv4"], packet.headers["TCP"], packet.payload
        me, peer = ((ip[way].text, tcp[f"{way} port"].value) for way in ("source", "destination"))
        side, other = self._side(me[0]), self._side(peer[0])
        sent, back = self._sent.get((me, peer)), self._sent.get((peer, me))
        on = [name for name, bit in FLAGS.items() if tcp["flags"].value & bit]
        seq, ack = tcp["sequence number"].value, tcp["acknowledgment number"].value
        after = (seq + len(data) + ("SYN" in on) + ("FIN" in on)) % 2**32
        again = bool(sent and after != seq and (sent.next - after) % 2**32 < 2**31)
        if "RST" in on:
            keys = ["reset" if sent else "refused"]
        elif "SYN" in on:
            keys = ["syn_again" if again else "syn_ack" if "ACK" in on else "syn"]
        elif data or "FIN" in on:
            keys = ["says_again" if again else "says"] * bool(data)
            keys += ["fin_last" if back and back.ended else "fin"] * ("FIN" in on)
        elif back and (back.ended or back.next == (back.first + 1) % 2**32):
            keys = ["ack_fin" if back.ended else "established"]
        else:
            keys = ["ack"]
        if not sent or ("SYN" in on and not again):  # if it was not seen, the SYN came just before
            sent = self._sent[me, peer] = Sent(seq if "SYN" in on else (seq - 1) % 2**32, after)
        elif not again:
            sent.next = after
        sent.ended |= "FIN" in on
        shown = repr(data[:SHOWN].decode(errors="backslashreplace"))[1:-1]
        values = {
            "who": self._words.get(side, me[0]),
            "other": self._words.get(other, peer[0]),
            "kernel": self._words.get(f"{side} kernel", me[0]),
            "port": (me if "RST" in on else peer)[1],
            "seq": seq,
            "had": (ack - back.first - 1) % 2**32 if back else "?",
            "data": f'"{shown}"' + "…" * (len(data) > SHOWN),
        }
        tag = [f"{len(data)} bytes"] * bool(data) + [f for f in ("SYN", "FIN", "RST") if f in on]
        tag += ["ACK"] * (tag in ([], ["SYN"]) and "ACK" in on)
        return side, " ".join(self._words[key].format(**values) for key in keys), " ".join(tag)
