"""One exchange: look a name up, connect, send, compare the reply; and why it failed."""

import errno
import socket
import sys
import threading
import time

from .config import ANY_ADDRESS, is_address
from .process import close
from .protocol import RECEIVE_BYTES, matches, printable

Status = tuple[str, int]  # a word and an exit code
# EX_NOHOST, EX_UNAVAILABLE, EX_IOERR, EX_TEMPFAIL and EX_PROTOCOL of sysexits.h
UNRESOLVED, UNAVAILABLE, CLOSED = ("unresolved", 68), ("unavailable", 69), ("closed", 74)
NO_REPLY, WRONG_REPLY = ("no-reply", 75), ("wrong-reply", 76)

SHOWN_BYTES = 200  # of a wrong reply, in the result


class Failed(Exception):
    """Why the expected reply did not come.

    ``cause`` is the system's error, such as ECONNREFUSED; ``received`` begins a wrong reply.
    """

    def __init__(self, status: Status, why: str, cause: str = "", received: bytes = b"") -> None:
        super().__init__(why)
        self.status, self.cause, self.received = status, cause, received


class Lookup:
    """Looks names up in a thread, because getaddrinfo(3) heeds neither deadline nor signal.

    There is one thread at a time: an attempt joins a look-up that is still running.
    """

    def __init__(self) -> None:
        self._thread = threading.Thread()
        self._outcome: list[str] | OSError = []

    def addresses(self, host: str, until: float) -> list[str]:
        """Return a host's IPv4 addresses, before ``until`` (monotonic seconds). Raises OSError."""
        if is_address(host):
            return [host]
        if not self._thread.is_alive():
            self._thread = threading.Thread(target=self._look_up, args=(host,), daemon=True)
            try:
                self._thread.start()
            except RuntimeError as error:
                raise OSError(errno.EAGAIN, str(error)) from error  # pthread_create(3)
        self._thread.join(remaining(until))
        if self._thread.is_alive():
            raise TimeoutError("No answer from the name server")
        if isinstance(self._outcome, OSError):
            raise self._outcome
        return self._outcome

    def _look_up(self, host: str) -> None:
        try:
            # As bytes, since text would go through IDNA, whose import is slow.
            found = socket.getaddrinfo(host.encode(), None, socket.AF_INET, socket.SOCK_STREAM)
            self._outcome = list(dict.fromkeys(str(address[0]) for *_, address in found))
        except OSError as error:
            self._outcome = error


def connect(host: str, port: int, until: float, lookup: Lookup, source: str = "") -> socket.socket:
    """Connect to the first address of a host that accepts, before ``until`` (monotonic seconds).

    Addresses that do not answer share the time; ``source`` is the local one. Raises Failed.
    """
    try:
        addresses = lookup.addresses(host, until)
    except OSError as error:
        raise _failure(error, UNRESOLVED) from error
    for position, address in enumerate(addresses):
        sock = None
        try:
            if address == ANY_ADDRESS:
                raise OSError(errno.EADDRNOTAVAIL, f"{host} is {address}, which is any host")
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.settimeout(remaining(until) / (len(addresses) - position))
            if source:
                sock.bind((source, 0))
            sock.connect((address, port))
            # The system may give the client the very port that it connects to, if that is closed:
            # the two ends of a simultaneous open are then one, RFC 9293, section 3.5.
            if sock.getsockname() == (address, port):
                raise ConnectionRefusedError(errno.ECONNREFUSED, "Connected to itself")
            return sock
        except OSError as error:
            failure = _failure(error, UNAVAILABLE)
            if sock:
                close(sock)
    raise failure


def exchange(
    sock: socket.socket, message: bytes, reply: list[bytes], until: float, *, prefix: bool = False
) -> bytes:
    """Send the message, unless it is empty; return what comes once it is the reply.

    ``reply`` and ``prefix`` as matches() has them, ``until`` in monotonic seconds. Raises Failed.
    """
    received = b""
    progress = f" after %d of {len(b'?'.join(reply))} bytes of the reply"
    try:
        if message:
            sock.settimeout(remaining(until))
            sock.sendall(message)
        while (right := matches(received, reply, prefix=prefix)) is None:
            sock.settimeout(remaining(until))
            chunk = sock.recv(RECEIVE_BYTES)
            if not chunk:
                raise Failed(CLOSED, "Closed by the server" + progress % len(received))
            received += chunk
    except OSError as error:
        status = NO_REPLY if isinstance(error, TimeoutError) else UNAVAILABLE
        raise _failure(error, status, progress % len(received)) from error
    if not right:
        shown = received[:SHOWN_BYTES]
        raise Failed(WRONG_REPLY, f"unexpected reply: {printable(shown)}", received=shown)
    return received


def tcp_info(sock: socket.socket) -> dict[str, float | None]:
    """Ask the kernel about a connection, tcp(7); what it does not tell is left out.

    ``rtt_ms`` is the smoothed round-trip time, None until there is one; ``mss`` is bytes in a
    segment that it sends; ``resent`` is segments sent again, the SYN included.
    """
    try:
        data = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    except (OSError, AttributeError):  # macOS has no TCP_INFO
        return {}
    # Offsets in struct tcp_info, linux/tcp.h.
    mss, rtt, resent = (int.from_bytes(data[at : at + 4], sys.byteorder) for at in (16, 68, 100))
    return {"rtt_ms": rtt / 1000 or None, "mss": mss, "resent": resent}


def remaining(until: float) -> float:
    """Return the seconds until a moment of the monotonic clock. Raises TimeoutError."""
    seconds = until - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("timed out")  # as the socket says it
    return seconds


def _failure(error: OSError, status: Status, progress: str = "") -> Failed:
    """Name what the system said; the status is the one given, unless the peer closed."""
    names = errno.errorcode
    if isinstance(error, socket.gaierror):
        names = {getattr(socket, name): name for name in dir(socket) if name.startswith("EAI_")}
    cause = "ETIMEDOUT" if isinstance(error, TimeoutError) else names.get(error.errno or 0, "")
    if cause in ("ECONNRESET", "EPIPE", "ECONNABORTED"):
        status = CLOSED
    why = error.strerror or str(error)
    if cause in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY"):
        why += " (no IPv4 address)"  # it may have an IPv6 address
    return Failed(status, why + progress, cause)
