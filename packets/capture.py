"""Write the ARP and IPv4 packets of eth0 to stdout, as a pcap, until killed. Needs NET_RAW."""

import socket
import sys
from struct import pack, unpack

try:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sock.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS: when the kernel saw a packet
    sock.bind(("eth0", 3))  # ETH_P_ALL: of every protocol, and what this side sends too
except OSError as error:
    sys.exit(f"packet sockets: {error}")
out = sys.stdout.buffer
out.write(pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 0x40000, 1))
out.flush()
print("ready", file=sys.stderr)
while True:
    data, ancillary, *_ = sock.recvmsg(0x40000, 64)
    if data[12:14] in (b"\x08\x06", b"\x08\x00"):  # what the kernel says in IPv6 is in the way
        moment = unpack("@ll", ancillary[0][2])  # seconds and nanoseconds
        out.write(pack("<IIII", *moment, len(data), len(data)) + data)
        out.flush()
