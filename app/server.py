"""The server: one thread, one epoll, and every connection in one ordered map."""

import errno
import math
import os
import select
import signal
import socket
import sys
import time
from collections import OrderedDict
from contextlib import ExitStack, closing, suppress
from logging import INFO

from .config import EXIT_CONFIG, HEALTH_ADDRESS, ConfigError, Environment, ServerConfig
from .log import log, set_up_logging
from .process import allow_descriptors, block_ending_signals, close, handle_ending_signals
from .protocol import RECEIVE_BYTES, printable
from .usage import usage

EXIT_DENIED = 71  # EX_OSERR of sysexits.h: the system denies what the server cannot do without
BACKLOG = 4096  # clients not yet accepted; the kernel cuts it to net.core.somaxconn
ACCEPT_BATCH = 16  # accepted at once, so that a flood of clients leaves time for the others
QUEUE_BYTES = 10 * 1024  # of the kernel for each direction; it doubles them, socket(7)
OWN_DESCRIPTORS = 16  # standard streams, listener, epoll, wake-up pair, and some to spare
PAUSE = 1.0  # seconds without accepting after accept(2) failed, and between warnings of evictions
SHOWN_CHARACTERS = 200  # of a client's first message


class Listener(socket.socket):
    """A listening socket; accept() asks for these two, and the properties build an enum each."""

    family = socket.AF_INET
    type = socket.SOCK_STREAM


class Connection:
    """One client, or a health check; ``unsent`` is what is left to send of a reply, if anything."""

    __slots__ = ("active_at", "is_check", "number", "peer", "replies", "sock", "unsent")

    def __init__(self, sock: socket.socket, peer: tuple[str, int], now: float) -> None:
        self.sock = sock
        self.number = sock.fileno()
        self.peer = peer
        self.is_check = peer[0] == HEALTH_ADDRESS
        self.active_at = now
        self.replies = 0
        self.unsent: memoryview | None = None

    def __str__(self) -> str:
        return f"{self.peer[0]}:{self.peer[1]}"


class Server:
    """Answers every chunk that a client sends with the configured reply.

    Its life is four verbs: bind, serve_forever, shutdown, close. bind sets ``address``. A signal
    handler asks for a stop by an item in ``stops``, and wakes ``waker``: signal.set_wakeup_fd().
    Raises OSError if the system denies a socket.
    """

    def __init__(self, config: ServerConfig, stops: list[int] | None = None) -> None:
        self._config = config
        self._reply = memoryview(config.reply)
        self._buffer = memoryview(bytearray(RECEIVE_BYTES))
        # By descriptor, the one that has been silent longest first.
        self._connections: OrderedDict[int, Connection] = OrderedDict()
        self._health_checks = 0  # of these
        self._counts = dict.fromkeys(("connections", "replies", "idle", "evicted", "failed"), 0)
        self._now = self._warn_at = time.monotonic()
        self._accept_at = math.inf  # while accepting is paused: when it goes on
        self._is_draining = False
        has_epoll = hasattr(select, "epoll")  # macOS has not
        self._poller = select.epoll() if has_epoll else select.poll()
        self._second = 1 if has_epoll else 1000
        self._listener = Listener()
        # epoll_wait(2) sees no flag that a signal handler sets, but it sees a byte.
        self._wakened, self.waker = socket.socketpair()
        for sock in (self._listener, self._wakened, self.waker):
            sock.setblocking(False)
        self.stops = [] if stops is None else stops
        self._poller.register(self._wakened, select.POLLIN)

    def bind(self) -> None:
        """Listen on the configured address. Raises OSError if that is not possible."""
        allowed = allow_descriptors()
        self._room = min(self._config.max_connections, max(1, allowed - OWN_DESCRIPTORS))
        if self._room < self._config.max_connections:
            log.warning("only %d file descriptors: at most %d connections", allowed, self._room)
        # The last server's connections may still be in TIME_WAIT.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by each connection: a reply does not wait for the ACK of the one before, and
        # the kernel keeps little of what either side does not read, tcp(7).
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, QUEUE_BYTES)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE_BYTES)
        self._listener.bind((self._config.host, self._config.port))
        self._listener.listen(BACKLOG)
        self._poller.register(self._listener, select.POLLIN)
        self.address: tuple[str, int] = self._listener.getsockname()
        log.info("listening on %s:%d", *self.address)

    def serve_forever(self) -> None:
        """Serve until a stop is requested, then stop in order: see _drain."""
        while not self.stops:
            self._run_once(self._expire())
        self._drain()
        log.info("stopped: %s", " ".join(f"{of}={count}" for of, count in self._counts.items()))

    def shutdown(self) -> None:
        """Ask serve_forever to stop, from any thread; asked twice, it waits for no client."""
        self.stops.append(0)
        self.waker.send(b"\0")

    def close(self) -> None:
        """Close every socket."""
        for sock in (self._listener, self._wakened, self.waker):
            close(sock)

    def _run_once(self, wait: float) -> None:
        """Do what is reported within so many seconds; a negative number waits without end."""
        clients_wait = False
        connection_of = self._connections.get
        events = self._poller.poll(wait * self._second)
        self._now = time.monotonic()
        for number, _ in events:
            if (connection := connection_of(number)) is not None:
                self._answer(connection)
            elif number == self._listener.fileno():
                clients_wait = True
            elif number == self._wakened.fileno():
                with suppress(OSError):  # what has not been read is reported again
                    self._wakened.recv(RECEIVE_BYTES)
            else:  # closed: epoll(7) forgets it by itself, poll(2) does not
                self._poller.unregister(number)
        # Last: it may close a connection, whose message has been read by now.
        if clients_wait:
            self._accept()

    def _accept(self) -> None:
        """Accept a few clients."""
        for _ in range(ACCEPT_BATCH):
            try:
                sock, peer = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._poller.modify(self._listener, 0)  # or it would be reported all the time
                self._accept_at = self._now + PAUSE
                log.warning("accepting paused for %d s: %s", PAUSE, error.strerror)
                return
            connection = Connection(sock, peer, self._now)
            self._health_checks += connection.is_check
            self._make_room()
            self._connections[connection.number] = connection
            log.debug("%s connected", connection)
            try:
                sock.setblocking(False)
                self._poller.register(sock, select.POLLIN)
            except OSError:
                self._close(connection, "failed")

    def _make_room(self) -> None:
        """Close connections until there is room for one more: the one silent longest first."""
        looks = len(self._connections)
        # One more than MAX_CONNECTIONS, if one is a health check: it costs no client its place.
        while len(self._connections) >= self._room + bool(self._health_checks):
            oldest = next(iter(self._connections.values()))
            # If all have spoken, the one served longest ago goes.
            if looks and self._has_spoken(oldest):
                looks -= 1
                continue
            self._close(oldest, "evicted")
            if self._warn_at <= self._now:
                self._warn_at = self._now + PAUSE
                log.warning("connection limit reached; evicted so far: %d", self._counts["evicted"])

    def _expire(self) -> float:
        """Close what is idle; return the seconds until something is due again, or -1."""
        if self._accept_at <= self._now:
            self._accept_at = math.inf
            self._poller.modify(self._listener, select.POLLIN)
        due = self._accept_at
        while self._config.idle_timeout and self._connections:
            oldest = next(iter(self._connections.values()))
            idle_at = oldest.active_at + self._config.idle_timeout
            if idle_at > self._now:
                due = min(due, idle_at)
                break
            if not self._has_spoken(oldest):
                self._close(oldest, "idle")
        return due - self._now if due < math.inf else -1

    def _has_spoken(self, connection: Connection) -> bool:
        """Look before closing: answer bytes that have arrived meanwhile, if there are any."""
        return not connection.unsent and self._answer(connection)

    def _answer(self, connection: Connection) -> bool:
        """Answer a chunk, or send more of a reply: until that is sent, nothing more is read.

        Returns False if nothing has come, or the kernel takes nothing.
        """
        sock, pending = connection.sock, connection.unsent
        unsent = pending or self._reply
        size = 0
        try:
            if pending is None:
                size = sock.recv_into(self._buffer)
                if not size:
                    self._close(connection, "closed by the peer")
                    return True
                if self._is_draining:
                    return True
                if not connection.replies and not connection.is_check and log.isEnabledFor(INFO):
                    said = printable(self._buffer[:size], SHOWN_CHARACTERS)
                    log.info("%s: %s", connection, said)
            sent = sock.send(unsent)
        except BlockingIOError:
            if not size:
                return False
            sent = 0
        except OSError:
            # A client that resets after a whole exchange has what it came for.
            is_whole = connection.replies and not (pending or size)
            self._close(connection, "reset" if is_whole else "failed")
            return True
        connection.active_at = self._now
        self._connections.move_to_end(connection.number)
        if sent < len(unsent):
            connection.unsent = unsent[sent:]
        else:
            connection.unsent = None
            connection.replies += 1
        if connection.unsent is not pending:
            self._wait_for_next(connection)
        return True

    def _wait_for_next(self, connection: Connection) -> None:
        """Wait for room for the rest of a reply, or for the next chunk; in a stop for the end.

        A socket closed with unread input resets the connection, and a reply on its way is lost,
        RFC 2525 section 2.17: so send no more, and discard what comes until the peer ends too.
        """
        try:
            event = select.POLLOUT if connection.unsent else select.POLLIN
            self._poller.modify(connection.sock, event)
            if self._is_draining and not connection.unsent:
                connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(connection, "failed" if connection.unsent else "reset")

    def _drain(self) -> None:
        """Close the listener, answer one chunk of each client, and send what is pending."""
        close(self._listener)
        self._now = time.monotonic()
        for connection in [*self._connections.values()]:
            if not connection.unsent:
                self._answer(connection)
        self._is_draining = True
        for connection in [*self._connections.values()]:
            if connection.unsent:
                continue
            # Sent longer ago than DRAIN_TIMEOUT, the last reply has had its time.
            is_recent = connection.active_at >= self._now - self._config.drain_timeout
            if connection.replies and is_recent:
                self._wait_for_next(connection)
            else:
                self._close(connection, "stopped")
        deadline = self._now + self._config.drain_timeout
        while self._connections and len(self.stops) < 2 and self._now < deadline:
            self._run_once(deadline - self._now)
        for connection in [*self._connections.values()]:
            self._close(connection, "failed" if connection.unsent else "stopped")

    def _close(self, connection: Connection, why: str) -> None:
        del self._connections[connection.number]
        close(connection.sock)
        if connection.is_check:
            self._health_checks -= 1
        else:
            self._counts["connections"] += 1
            self._counts["replies"] += connection.replies
            if why in self._counts:
                self._counts[why] += 1
        log.debug("%s %s", connection, why)


def run(stops: list[int]) -> int:
    """Serve until signals end it, each an item of this list; return the exit code."""
    try:
        config = ServerConfig(Environment(os.environ))
    except ConfigError as error:
        set_up_logging("ERROR")
        log.error("%s", error)
        return EXIT_CONFIG
    set_up_logging(config.log_level)
    try:
        with closing(Server(config, stops)) as server, ExitStack() as stack:
            signal.set_wakeup_fd(server.waker.fileno(), warn_on_full_buffer=False)
            stack.callback(signal.set_wakeup_fd, -1)
            server.bind()
            server.serve_forever()
    except OSError as error:
        foreign = error.errno == errno.EADDRNOTAVAIL
        why = "not an address of this host" if foreign else error.strerror
        log.error("cannot listen on %s:%d: %s", config.host, config.port, why)
        return EXIT_DENIED
    return 0


def main() -> int:
    stops: list[int] = []

    def stop(number: int, _: object) -> None:
        stops.append(number)
        if len(stops) > 2:
            os._exit(0)  # a log that nobody reads holds the process up

    # First of all: to PID 1 of a container, a signal without a handler is lost.
    handle_ending_signals(stop)
    code = usage("server", ServerConfig) if sys.argv[1:] else run(stops)
    block_ending_signals()  # the interpreter removes the handlers before it ends
    return code


if __name__ == "__main__":
    sys.exit(main())
