"""The server: one thread, one selector, and every connection in one ordered map."""

from __future__ import annotations

import errno
import math
import os
import resource
import signal
import socket
import sys
import time
from collections import Counter, OrderedDict
from contextlib import closing, suppress
from itertools import count
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from socket import MSG_DONTWAIT  # sooner than setblocking(), by a system call per connection

from app.config import EXIT_CONFIG, HEALTH_ADDRESS, LONGEST_WAIT, ConfigError, ServerConfig, usage
from app.log import DEBUG, ERROR, INFO, WARNING, Log

EXIT_CANNOT_LISTEN = 71  # EX_OSERR of sysexits.h
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT)
BACKLOG = 4096  # clients not yet accepted; the kernel cuts it to net.core.somaxconn
ACCEPT_BATCH = 16  # accepted in one turn, so that a flood of clients leaves time for the others
RECEIVE_BYTES = 64 * 1024  # from 128 KiB on, malloc(3) maps and unmaps the buffer
OWN_DESCRIPTORS = 16  # standard streams, listener, selector, wake-up pair, and some to spare
ROOM_INTERVAL = 1.0  # seconds between warnings of no room, and without accepting for lack of it
# What accept(2) and epoll_ctl(2) say where there is no room for one more connection.
NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC}


class Connection:
    """One client; ``unsent`` is the rest of a reply, if there is one."""

    __slots__ = ("active_at", "is_health_check", "peer", "replies", "sock", "unsent")

    def __init__(self, sock: socket.socket, peer: tuple[str, int], now: float) -> None:
        self.sock = sock
        self.peer = peer
        self.is_health_check = peer[0] == HEALTH_ADDRESS
        self.active_at = now
        self.replies = 0
        self.unsent: memoryview | None = None

    def __str__(self) -> str:
        return f"{self.peer[0]}:{self.peer[1]}"


class Listener(socket.socket):
    """Its accept() need not look the kind up in enumerations: a sixth of a connection's cost."""

    family, type, proto = socket.AF_INET, socket.SOCK_STREAM, 0


class Server:
    """Answers every chunk that a client sends with the configured reply.

    Its life is four verbs: bind, serve_forever, shutdown, close. Its ``address`` is known from
    bind on; a byte written to its ``wakeup_fd`` asks for shutdown: signal.set_wakeup_fd().
    """

    def __init__(self, config: ServerConfig, log: Log) -> None:
        self._config = config
        self._log = log
        self._reply = memoryview(config.reply)
        self._buffer = memoryview(bytearray(RECEIVE_BYTES))
        # Least recently active first: in this order they become idle, and make room.
        self._connections: OrderedDict[Connection, None] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._now = self._warn_at = time.monotonic()
        self._accept_at = math.inf  # or when the listener, left alone for now, is watched again
        self._stops = 0
        self._draining = False
        self._listener = Listener()
        # A selector that waits sees no flag that a signal handler sets, but it sees a byte.
        self._wakened, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        self.wakeup_fd = self._waker.fileno()
        self._selector = DefaultSelector()
        self._selector.register(self._wakened, EVENT_READ)

    def bind(self) -> None:
        """Listen on the configured address. Raises OSError where that is not possible."""
        # The last server's connections may still be in TIME_WAIT.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by each connection: a reply does not wait for the ACK of the one before.
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._listener.setblocking(False)
        self._listener.bind((self._config.host, self._config.port))
        self._listener.listen(BACKLOG)
        self._selector.register(self._listener, EVENT_READ)
        self.address: tuple[str, int] = self._listener.getsockname()
        self._log(INFO, "listening on %s:%d", *self.address)

    def serve_forever(self) -> None:
        """Serve until shutdown is asked for, then stop in order: see _drain."""
        while not self._stops:
            self._turn(self._due())
        self._drain()
        counted = ("connections", "replies", "idle", "evicted", "failed")
        self._log(INFO, "stopped: %s", ", ".join(f"{self._counts[of]} {of}" for of in counted))

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

    def _turn(self, wait: float | None) -> None:
        """Do what the selector reports within so many seconds."""
        clients_wait = False
        events = self._selector.select(wait)
        self._now = time.monotonic()
        for key, _ in events:
            connection = key.data
            try:
                if connection:
                    self._answer(connection)
                elif key.fileobj is self._listener:
                    clients_wait = True
                else:
                    self._stops += len(self._wakened.recv(RECEIVE_BYTES))
            except BlockingIOError:
                pass  # what is reported may be gone: select(2), "BUGS"
            except OSError:
                # A client that resets after a whole exchange has what it came for.
                well = connection.replies and connection.unsent is None
                self._close(connection, "reset" if well else "failed")
        # Last: it may close a connection, and what this turn has found there is read by now.
        if clients_wait:
            self._accept()

    def _due(self) -> float | None:
        """Do what is due by the clock; seconds until something is again, None for never."""
        if self._accept_at <= self._now:
            self._accept_at = math.inf
            self._selector.register(self._listener, EVENT_READ)
        due = self._accept_at
        while self._config.idle_timeout and self._connections:
            oldest = next(iter(self._connections))
            idle_at = oldest.active_at + self._config.idle_timeout
            if idle_at > self._now:
                due = min(due, idle_at)
                break
            self._close(oldest, "idle")
        return None if due == math.inf else min(due - self._now, LONGEST_WAIT)

    def _accept(self) -> None:
        """Accept a few clients, or one in place of the connection that is silent longest."""
        room = self._config.max_connections - len(self._connections)
        if room <= 0:
            self._make_room()
        for position in range(min(max(room, 1), ACCEPT_BATCH)):
            try:
                sock, peer = self._listener.accept()
                connection = Connection(sock, peer, self._now)
                self._selector.register(sock, EVENT_READ, connection)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in NO_ROOM:
                    continue  # this one client's own failure, says accept(2)
                # Only in a turn's first place: the last accepted had no chance to speak.
                if position == 0 and not self._make_room():
                    self._selector.unregister(self._listener)
                    self._accept_at = self._now + ROOM_INTERVAL
                    self._log(WARNING, "not accepting for a while: %s", error.strerror)
                return
            self._connections[connection] = None
            self._log(DEBUG, "%s connected", connection)

    def _make_room(self) -> bool:
        """Close the connection that has been silent longest; False if there is none."""
        if not self._connections:
            return False
        self._close(next(iter(self._connections)), "evicted")
        if self._warn_at <= self._now:
            self._warn_at = self._now + ROOM_INTERVAL
            self._log(WARNING, "no room: %d silent connections evicted", self._counts["evicted"])
        return True

    def _answer(self, connection: Connection) -> None:
        """Read one chunk and send the reply, or send its rest; until then nothing more is read."""
        data = connection.unsent
        if data is None:
            size = connection.sock.recv_into(self._buffer, 0, MSG_DONTWAIT)
            if not size:
                self._close(connection, "closed by the peer")
            if not size or self._draining:
                return
            if not connection.replies:
                level = DEBUG if connection.is_health_check else INFO
                self._log(level, "%s: %s", connection, self._buffer[:size])
            data = self._reply
        try:
            sent = connection.sock.send(data, MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        connection.active_at = self._now
        self._connections.move_to_end(connection)
        if sent < len(data):
            if connection.unsent is None:
                self._selector.modify(connection.sock, EVENT_WRITE, connection)
            connection.unsent = data[sent:]
            return
        connection.replies += 1
        if connection.unsent is not None:
            connection.unsent = None
            self._selector.modify(connection.sock, EVENT_READ, connection)
            if self._draining:
                self._end(connection)

    def _drain(self) -> None:
        """Close the listener, answer what has come, and see the replies off for a while."""
        self._listener.close()
        self._turn(0)
        self._draining = True
        deadline = self._now + self._config.drain_timeout
        for connection in list(self._connections):
            if connection.unsent is None:
                # Sent longer ago than that, the last reply has had its time.
                if connection.active_at < self._now - self._config.drain_timeout:
                    self._close(connection, "stopped")
                else:
                    self._end(connection)
        while self._connections and self._stops < 2 and time.monotonic() < deadline:
            self._turn(min(deadline - time.monotonic(), LONGEST_WAIT))
        for connection in list(self._connections):
            self._close(connection, "stopped" if connection.unsent is None else "failed")

    def _end(self, connection: Connection) -> None:
        """Send no more, and discard what comes until the peer ends too.

        A socket closed with unread input resets the connection, and a reply on its way is lost:
        RFC 2525, section 2.17.
        """
        with suppress(OSError):  # reset already, which the next turn finds
            connection.sock.shutdown(socket.SHUT_WR)

    def _close(self, connection: Connection, why: str) -> None:
        del self._connections[connection]
        self._selector.unregister(connection.sock)
        connection.sock.close()
        if not connection.is_health_check:
            self._counts[why] += 1
            self._counts["connections"] += 1
            self._counts["replies"] += connection.replies
        self._log(DEBUG, "%s %s", connection, why)


def allow_descriptors(needed: int, log: Log) -> None:
    """Raise the soft limit of file descriptors to the hard one; warn where that is not enough."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # macOS does not grant the limit that it names
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    granted, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if granted != resource.RLIM_INFINITY and granted < needed:
        log(WARNING, "only %d file descriptors, %d may be needed", granted, needed)


def main() -> int:
    # First of all: to PID 1 of a container, a signal without a handler is lost, unless it waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
    if sys.argv[1:]:
        return usage("server", ServerConfig)
    try:
        config = ServerConfig(os.environ)
    except ConfigError as error:
        Log(ERROR)(ERROR, "%s", error)
        return EXIT_CONFIG
    log = Log(config.log_level)
    allow_descriptors(config.max_connections + OWN_DESCRIPTORS, log)
    try:
        server = Server(config, log)
        server.bind()
    except OSError as error:
        foreign = error.errno == errno.EADDRNOTAVAIL
        why = "not an address of this host" if foreign else error.strerror
        log(ERROR, "cannot listen on %s:%d: %s", config.host, config.port, why)
        return EXIT_CANNOT_LISTEN
    signals = count(1)
    for number in ENDING_SIGNALS:
        # Its byte wakes the selector; only a log that nobody reads can hold up what follows.
        signal.signal(number, lambda *_: next(signals) > 2 and os._exit(0))
    with closing(server):
        signal.set_wakeup_fd(server.wakeup_fd, warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)
        server.serve_forever()
        # The interpreter takes the handlers away before it is gone.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
