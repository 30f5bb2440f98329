"""The server: one thread, one selector, and every connection in one ordered map."""

import errno
import logging
import math
import os
import resource
import signal
import socket
import sys
import time
from collections import Counter, OrderedDict
from contextlib import closing, suppress
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from types import FrameType

from .config import (
    EXIT_CONFIG,
    HEALTH_ADDRESS,
    LONGEST,
    ConfigError,
    Environment,
    ServerConfig,
)
from .log import set_up_logging
from .protocol import printable
from .signals import block_ending_signals, handle_ending_signals
from .tcp_info import tcp_info
from .usage import usage

EXIT_DENIED = 71  # EX_OSERR of sysexits.h: the system denies what the server cannot do without
BACKLOG = 4096  # clients not yet accepted; the kernel cuts it to net.core.somaxconn
ACCEPT_BATCH = 16  # accepted in one turn, so that a flood of clients leaves time for the others
RECEIVE_BYTES = 64 * 1024  # a chunk
UNSENT_BYTES = 64 * 1024  # of replies that the kernel takes before the peer has room for them
QUEUE_BYTES = 128 * 1024  # of the kernel for each direction; it doubles them, socket(7)
OWN_DESCRIPTORS = 16  # standard streams, listener, selector, wake-up pair, and some to spare
ROOM_INTERVAL = 1.0  # seconds between warnings of no room, and without accepting for lack of it
SHOWN_CHARACTERS = 200  # of a client's first message
# What accept(2) says where there is no room for one more connection.
NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
NOTHING = memoryview(b"")

log = logging.getLogger(__name__)


class Connection:
    """One client; ``unsent`` is what is left to send of a reply."""

    __slots__ = ("active_at", "is_health_check", "peer", "replies", "sock", "unsent")

    def __init__(self, sock: socket.socket, peer: tuple[str, int], now: float) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.peer = peer
        self.is_health_check = peer[0] == HEALTH_ADDRESS
        self.active_at = now
        self.replies = 0
        self.unsent = NOTHING

    def __str__(self) -> str:
        return f"{self.peer[0]}:{self.peer[1]}"


class Server:
    """Answers every chunk that a client sends with the configured reply.

    Its life is four verbs: bind, serve_forever, shutdown, close. Its ``address`` is known from
    bind on; a byte written to its ``wakeup_fd`` asks for shutdown: signal.set_wakeup_fd().
    Raises OSError where the system denies a socket or the selector.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._reply = memoryview(config.reply)
        self._buffer = memoryview(bytearray(RECEIVE_BYTES))
        # Least recently active first: in this order they become idle, and make room.
        self._connections: OrderedDict[Connection, None] = OrderedDict()
        self._health_checks = 0  # of these, beside MAX_CONNECTIONS
        self._counts: Counter[str] = Counter()
        self._now = self._warn_at = time.monotonic()
        self._accept_at = math.inf  # or when the listener, left alone for now, is watched again
        self._stops = 0
        self._draining = False
        self._selector = DefaultSelector()
        self._listener = socket.socket()
        # A selector that waits sees no flag that a signal handler sets, but it sees a byte.
        self._wakened, self._waker = socket.socketpair()
        for sock in (self._listener, self._wakened, self._waker):
            sock.setblocking(False)
        self.wakeup_fd = self._waker.fileno()
        self._selector.register(self._wakened, EVENT_READ)

    def bind(self) -> None:
        """Listen on the configured address. Raises OSError where that is not possible."""
        # The last server's connections may still be in TIME_WAIT.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by each connection: a reply does not wait for the ACK of the one before, and
        # of what either side does not read the kernel keeps little, tcp(7).
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, QUEUE_BYTES)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE_BYTES)
        self._listener.bind((self._config.host, self._config.port))
        self._listener.listen(BACKLOG)
        self._selector.register(self._listener, EVENT_READ)
        self.address: tuple[str, int] = self._listener.getsockname()
        log.info("listening on %s:%d", *self.address)

    def serve_forever(self) -> None:
        """Serve until shutdown is asked for, then stop in order: see _drain."""
        while not self._stops:
            self._turn(self._due())
        self._drain()
        counted = ("connections", "replies", "idle", "evicted", "failed")
        log.info("stopped: %s", ", ".join(f"{self._counts[of]} {of}" for of in counted))

    def shutdown(self) -> None:
        """Ask serve_forever to stop, from any thread; asked twice, it waits for nobody."""
        self._waker.send(b"\0")

    def close(self) -> None:
        """Close every socket."""
        self._selector.close()
        for sock in (self._listener, self._wakened, self._waker):
            sock.close()
        for connection in self._connections:
            connection.sock.close()

    def _turn(self, wait: float) -> None:
        """Do what the selector reports within so many seconds."""
        clients_wait = False
        # Twice, since epoll_wait(2) reports nothing when SIGSTOP has outlasted its time.
        events = self._selector.select(min(wait, LONGEST)) or self._selector.select(0)
        self._now = time.monotonic()
        for key, _ in events:
            if key.data:
                self._serve(key.data)
            elif key.fileobj is self._listener:
                clients_wait = True
            else:
                with suppress(OSError):  # what has not been read is reported again
                    self._stops += len(self._wakened.recv(RECEIVE_BYTES))
        # Last: it may close a connection, and what this turn has found there is read by now.
        if clients_wait:
            self._accept()

    def _due(self) -> float:
        """Do what is due by the clock; return the seconds until something is again."""
        if self._accept_at <= self._now:
            watched = self._watch(self._listener)
            self._accept_at = math.inf if watched else self._now + ROOM_INTERVAL
        due = self._accept_at
        while self._config.idle_timeout and self._connections:
            oldest = next(iter(self._connections))
            idle_at = oldest.active_at + self._config.idle_timeout
            if idle_at > self._now:
                due = min(due, idle_at)
                break
            info = tcp_info(oldest.sock)
            if info and info.is_sending and info.quiet_s < self._config.idle_timeout:
                self._touch(oldest)  # it reads what the kernel has of a reply, if slowly
            else:
                self._close(oldest, "idle")
        return due - self._now

    def _touch(self, connection: Connection) -> None:
        connection.active_at = self._now
        self._connections.move_to_end(connection)

    def _accept(self) -> None:
        """Accept a few clients, or one in place of the connection that is silent longest."""
        clients = len(self._connections) - self._health_checks
        room = self._config.max_connections - clients
        for position in range(min(max(room, 1), ACCEPT_BATCH)):
            try:
                sock, peer = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in NO_ROOM:
                    continue  # this one client's own failure, says accept(2)
                # Only in a turn's first place: the last accepted had no chance to speak.
                if position == 0 and not self._make_room():
                    # Watched, it would be reported all the time.
                    self._selector.unregister(self._listener)
                    self._accept_at = self._now + ROOM_INTERVAL
                    log.warning("not accepting for a while: %s", error.strerror)
                return
            new = Connection(sock, peer, self._now)
            if room <= 0 and not new.is_health_check:
                self._make_room()
            watched = self._watch(sock, new) or (self._make_room() and self._watch(sock, new))
            self._connections[new] = None
            self._health_checks += new.is_health_check
            log.debug("%s connected", new)
            if not watched:
                self._close(new, "failed")

    def _watch(self, sock: socket.socket, connection: Connection | None = None) -> bool:
        """Have the selector report what comes; False where epoll_ctl(2) has no room."""
        try:
            self._selector.register(sock, EVENT_READ, connection)
        except OSError:
            return False
        return True

    def _make_room(self) -> bool:
        """Close the client that has been silent longest; False if there is none."""
        oldest = next((one for one in self._connections if not one.is_health_check), None)
        if not oldest:
            return False
        self._close(oldest, "evicted")
        if self._warn_at <= self._now:
            self._warn_at = self._now + ROOM_INTERVAL
            log.warning("no room: %d silent connections evicted", self._counts["evicted"])
        return True

    def _serve(self, connection: Connection) -> None:
        """Answer a client, or send it the rest of a reply: until then nothing more is read."""
        try:
            if connection.unsent:
                self._send(connection)
                if not connection.unsent:
                    self._selector.modify(connection.sock, EVENT_READ, connection)
                    if self._draining:
                        self._end(connection)
            elif self._read(connection):
                connection.unsent = self._reply
                self._send(connection)
                if connection.unsent:
                    self._selector.modify(connection.sock, EVENT_WRITE, connection)
        except BlockingIOError:
            pass  # what is reported may be gone: select(2), "BUGS"
        except OSError:
            # A client that resets after a whole exchange has what it came for.
            had_its_reply = connection.replies and not connection.unsent
            self._close(connection, "reset" if had_its_reply else "failed")

    def _read(self, connection: Connection) -> bool:
        """Read one chunk; tell whether it is to be answered."""
        size = connection.sock.recv_into(self._buffer)
        if not size:
            self._close(connection, "closed by the peer")
        if not size or self._draining:
            return False
        if not connection.replies:
            level = logging.DEBUG if connection.is_health_check else logging.INFO
            if log.isEnabledFor(level):
                said = printable(self._buffer[:size], SHOWN_CHARACTERS)
                log.log(level, "%s: %s", connection, said)
        return True

    def _send(self, connection: Connection) -> None:
        """Send what the kernel takes now of a reply."""
        try:
            sent = connection.sock.send(connection.unsent)
        except BlockingIOError:
            sent = 0
        if sent < len(connection.unsent):
            connection.unsent = connection.unsent[sent:]
        else:
            connection.unsent = NOTHING
            connection.replies += 1
        self._touch(connection)

    def _drain(self) -> None:
        """Close the listener, answer one chunk each of what has come, and see the replies off."""
        self._listener.close()
        self._turn(0)
        self._draining = True
        deadline = self._now + self._config.drain_timeout
        for connection in list(self._connections):
            if not connection.unsent:
                # Sent longer ago than that, the last reply has had its time.
                old = connection.active_at < self._now - self._config.drain_timeout
                info = tcp_info(connection.sock) if old else None
                if not connection.replies or (old and not (info and info.is_sending)):
                    self._close(connection, "stopped")
                else:
                    self._end(connection)
        while self._connections and self._stops < 2 and time.monotonic() < deadline:
            self._turn(deadline - time.monotonic())
        for connection in list(self._connections):
            self._close(connection, "failed" if connection.unsent else "stopped")

    def _end(self, connection: Connection) -> None:
        """Send no more, and discard what comes until the peer ends too.

        A socket closed with unread input resets the connection, and a reply on its way is lost:
        RFC 2525, section 2.17.
        """
        with suppress(OSError):  # reset already, which the next turn finds
            connection.sock.shutdown(socket.SHUT_WR)

    def _close(self, connection: Connection, why: str) -> None:
        del self._connections[connection]
        with suppress(KeyError):  # what epoll_ctl(2) has refused to watch
            self._selector.unregister(connection.sock)
        connection.sock.close()
        self._health_checks -= connection.is_health_check
        if not connection.is_health_check:
            self._counts[why] += 1
            self._counts["connections"] += 1
            self._counts["replies"] += connection.replies
        log.debug("%s %s", connection, why)


def handle_signals() -> list[int]:
    """Return a list to which each signal that asks for a stop is added; the third ends at once."""
    seen: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        seen.append(number)
        if len(seen) > 2:
            os._exit(0)

    handle_ending_signals(note)
    return seen


def allow_descriptors(needed: int) -> None:
    """Raise the soft limit of file descriptors to the hard one; warn where that is not enough."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # macOS does not grant the limit that it names
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    granted, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if granted != resource.RLIM_INFINITY and granted < needed:
        log.warning("only %d file descriptors, %d may be needed", granted, needed)


def run(signals: list[int]) -> int:
    """Serve until the signals end it; return the exit code."""
    try:
        config = ServerConfig(Environment(os.environ))
    except ConfigError as error:
        set_up_logging("ERROR")
        log.error("%s", error)
        return EXIT_CONFIG
    set_up_logging(config.log_level)
    allow_descriptors(config.max_connections + OWN_DESCRIPTORS)
    doing = f"listen on {config.host}:{config.port}"
    try:
        with closing(Server(config)) as server:
            # Each signal wakes the selector by a byte, or has come before there was one.
            signal.set_wakeup_fd(server.wakeup_fd, warn_on_full_buffer=False)
            if signals:
                server.shutdown()
            try:
                server.bind()
                doing = "serve"
                server.serve_forever()
            finally:
                signal.set_wakeup_fd(-1)
    except OSError as error:
        foreign = error.errno == errno.EADDRNOTAVAIL
        why = "not an address of this host" if foreign else error.strerror
        log.error("cannot %s: %s", doing, why)
        return EXIT_DENIED
    return 0


def main() -> int:
    # First of all: to PID 1 of a container, a signal without a handler is lost.
    signals = handle_signals()
    code = usage("server", ServerConfig) if sys.argv[1:] else run(signals)
    block_ending_signals()
    return code


if __name__ == "__main__":
    sys.exit(main())
