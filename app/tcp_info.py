"""What the kernel knows about a TCP connection: getsockopt(TCP_INFO), tcp(7)."""

import socket
import sys


def tcp_info(sock: socket.socket) -> dict[str, float | None]:
    """Ask the kernel; what it does not tell is left out.

    ``rtt_ms`` is the smoothed round-trip time, None until there is one; ``mss`` is bytes in a
    segment that it sends; ``resent`` is segments sent again, the SYN included.
    """
    if sys.platform != "linux":
        return {}
    try:
        data = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    except OSError:
        return {}
    # Offsets in struct tcp_info, linux/tcp.h.
    rtt_us, mss, resent = (
        int.from_bytes(data[offset : offset + 4], sys.byteorder) for offset in (68, 16, 100)
    )
    return {"rtt_ms": rtt_us / 1000 or None, "mss": mss, "resent": resent}
