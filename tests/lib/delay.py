"""Carry frames between two interfaces, with a delay: ``delay.py SECONDS INTERFACE INTERFACE``.

It stands in for netem, which not every kernel has.
"""

import select
import socket
import sys
import time
from collections import deque

ETH_P_ALL, SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 3, 263, 15, 23


def interface(name: str) -> socket.socket:
    """Open an interface; frames have a header that says which checksums are still to be made."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    sock.bind((name, 0))
    return sock


def main() -> None:
    seconds, *names = sys.argv[1:]
    one, other = map(interface, names)
    opposite = {one: other, other: one}
    waiting: deque[tuple[float, socket.socket, bytes]] = deque()
    print("up", flush=True)
    while True:
        pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for sock in select.select([one, other], [], [], pause)[0]:
            frame = sock.recv(2**17)
            waiting.append((time.monotonic() + float(seconds), opposite[sock], frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, sock, frame = waiting.popleft()
            sock.send(frame)


if __name__ == "__main__":
    main()
