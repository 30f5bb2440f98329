"""What the kernel knows of a TCP connection: getsockopt(TCP_INFO), tcp(7)."""

import socket
import sys


class TcpInfo:
    """Some fields of struct tcp_info, linux/tcp.h; what an older kernel lacks is 0.

    ``rtt_ms`` is the smoothed round-trip time, None until there is one; ``mss`` is bytes in a
    segment that it sends; ``resent`` is segments sent again, the SYN included; ``quiet_s`` is
    seconds in which no data went out or no ACK came; ``is_sending``: there is more, or on its way.
    """

    def __init__(self, data: bytes) -> None:
        def number(offset: int) -> int:
            return int.from_bytes(data[offset : offset + 4], sys.byteorder)

        self.rtt_ms = number(68) / 1000 or None
        self.mss = number(16)
        self.resent = number(100)
        self.quiet_s = max(number(44), number(56)) / 1000
        self.is_sending = number(24) > 0 or number(144) > 0


def tcp_info(sock: socket.socket) -> TcpInfo | None:
    """Ask the kernel; None where it does not say."""
    if sys.platform != "linux":
        return None
    try:
        return TcpInfo(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 148))
    except OSError:
        return None
