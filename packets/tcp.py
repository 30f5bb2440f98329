"""Follow TCP connections: relative numbers, what each segment is, and the states of both ends."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from packets.decode import FLAGS, Packet

WAY = ("IPv4 source", "TCP source port", "IPv4 destination", "TCP destination port")
CHANGING = ("RST", "SYN ACK", "SYN", "FIN")  # the flags that change states
NUMBERS = ("TCP flags", "TCP sequence number", "TCP acknowledgment number")
NEVER = 2**32  # where the numbers start over

# RFC 9293, 3.3.2: the state of an end once it sends or receives a segment, by the state before.
STATES = {
    "sends SYN": {"": "SYN-SENT"},
    "sends FIN": {"ESTABLISHED": "FIN-WAIT-1", "CLOSE-WAIT": "LAST-ACK"},
    "SYN": {"": "SYN-RECEIVED", "SYN-SENT": "SYN-RECEIVED"},
    "SYN ACK": {"SYN-SENT": "ESTABLISHED"},
    "ACK": {"SYN-RECEIVED": "ESTABLISHED"},
    "ACK of FIN": {"FIN-WAIT-1": "FIN-WAIT-2", "CLOSING": "TIME-WAIT", "LAST-ACK": "CLOSED"},
    "FIN": {"ESTABLISHED": "CLOSE-WAIT", "FIN-WAIT-1": "CLOSING", "FIN-WAIT-2": "TIME-WAIT"},
}


@dataclass(eq=False)
class End:
    """One end of a connection."""

    base: int = -1  # the number of its SYN, from which the others are counted; unknown
    next: int = 0  # the number after all that it has sent
    acked: int = 0  # the highest acknowledgment number that it has sent
    fin: int = NEVER  # the number after its FIN
    state: str = ""  # unknown
    waiting: list["Segment"] = field(default_factory=list)  # sent to it, not known to arrive

    def change(self, event: str) -> None:
        """Change the state."""
        new = "CLOSED" if event.endswith("RST") else STATES.get(event, {}).get(self.state)
        self.state = new or self.state

    def receive(self, segment: "Segment") -> None:
        """Change the state by a segment of the other end."""
        acks = "ACK" * (segment.ack > 0), "ACK of FIN" * (segment.ack >= self.fin)
        for event in (*acks, segment.flag):
            self.change(event)


class Segment:
    """A packet of a connection, with relative numbers."""

    def __init__(self, packet: Packet, sender: End, receiver: End) -> None:
        flags, seq, ack = (packet.fields[name].value for name in NUMBERS)
        on = {name for name, bit in FLAGS.items() if flags & bit}
        self.flag = next((flag for flag in CHANGING if {*flag.split()} <= on), "")
        if sender.base < 0:  # a capture that began later counts from the first byte in it
            sender.base = (seq - ("SYN" not in on)) % NEVER
        if receiver.base < 0 and "ACK" in on:
            receiver.base = (ack - 1) % NEVER
        self.sender, self.receiver, self.data = sender, receiver, packet.fields["data"].raw
        self.seq = (seq - sender.base) % NEVER
        self.ack = (ack - receiver.base) % NEVER if "ACK" in on else 0
        self.end = self.seq + len(self.data) + len(on & {"SYN", "FIN"})  # the number after it
        self.again = self.seq < self.end <= sender.next
        sender.next = max(sender.next, self.end)
        sums = {NUMBERS[1]: f"{seq} = {sender.base} + {self.seq}"}
        sums |= {NUMBERS[2]: f"{ack} = {receiver.base} + {self.ack}"} if self.ack else {}
        for name, text in sums.items():
            packet.fields[name] = packet.fields[name]._replace(text=text)
        self.keys: list[str] = []  # what it is, by the names of the words for it
        self.states = "", ""  # the new ones of sender and receiver


def follow(packets: Iterable[Packet]) -> list[Segment]:
    """Return the segments of TCP packets, in the same order."""
    ends: defaultdict[tuple[str, ...], End] = defaultdict(End)
    segments = []
    for packet in packets:
        way = [packet.fields[name].text for name in WAY]
        me, peer = (*way,), (*way[2:], *way[:2])
        segments.append(Segment(packet, ends[me], ends[peer]))
    for position, segment in enumerate(segments):
        segment.keys = _keys(segment)
        segment.states = _change(segment, segments[position + 1 :])
    return segments


def _keys(segment: Segment) -> list[str]:
    peer, confirms = segment.receiver, segment.ack >= segment.receiver.fin
    if segment.flag == "RST":
        return ["refused" if peer.state == "SYN-SENT" else "reset"]
    if segment.again:
        return ["says_again" if segment.data else "again"]
    if segment.flag.startswith("SYN"):
        return [segment.flag.lower().replace(" ", "_")]
    keys = ["says"] * bool(segment.data)
    if segment.flag and confirms:  # in the same packet, or before
        keys.append("fin_three" if segment.sender.acked < peer.fin else "fin_four")
    elif segment.flag:
        keys.append("fin" if peer.fin == NEVER else "fin_both")
    elif not keys:
        ack = "established" if peer.state == "SYN-RECEIVED" else "ack"
        keys.append("ack_fin" if confirms else ack)
    return keys


def _change(segment: Segment, later: list[Segment]) -> tuple[str, str]:
    """Change the states of both ends; return the new ones."""
    sender, receiver, flag = segment.sender, segment.receiver, segment.flag
    before = sender.state, receiver.state
    # A segment that was perhaps lost had arrived if this one confirms it.
    while sender.waiting and segment.ack >= sender.waiting[0].end:
        sender.receive(sender.waiting.pop(0))
    sender.change(f"sends {flag}")
    sender.acked = max(sender.acked, segment.ack)
    sender.fin = segment.end if flag == "FIN" else sender.fin
    arrives = _arrives(segment, later)
    if arrives and not receiver.waiting:
        receiver.receive(segment)
    elif arrives or segment.end > segment.seq:
        receiver.waiting.append(segment)
    mine, theirs = sender.state, receiver.state
    return mine * (mine != before[0]), theirs * (theirs != before[1])


def _arrives(segment: Segment, later: list[Segment]) -> bool:
    """Tell whether the receiver's next segment shows that this one has arrived before."""
    numbered = segment.end > segment.seq  # to be confirmed; after an ACK nothing is sent again
    for one in later:
        if one.sender is segment.receiver:
            confirms = one.ack >= segment.end and one.flag != "RST"
            return confirms if numbered else not one.again
        if one.sender is segment.sender and one.again and numbered:
            break
    return not numbered
