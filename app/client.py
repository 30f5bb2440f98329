"""The client: connect, send, compare the reply, and try again until it is the right one.

stdout carries the result and nothing else; the log goes to stderr.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import sys
import threading
import time

from app.config import EXIT_CONFIG, LONGEST_WAIT, ClientConfig, ConfigError, is_address, usage
from app.log import ERROR, INFO, STDOUT, Log, write
from app.protocol import matches, printable

# EX_NOHOST, EX_UNAVAILABLE, EX_IOERR, EX_TEMPFAIL, EX_PROTOCOL and EX_CONFIG of sysexits.h
UNRESOLVED, UNAVAILABLE, CLOSED = ("unresolved", 68), ("unavailable", 69), ("closed", 74)
NO_REPLY, WRONG_REPLY, BAD_CONFIG = ("no-reply", 75), ("wrong-reply", 76), ("config", EXIT_CONFIG)

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT)
RECEIVE_BYTES = 64 * 1024
SHOWN_BYTES = 200  # of a wrong reply, in the result
REPORT_INTERVAL = 9.5  # seconds between lines that say that it waits; 10 are promised
Measured = dict[str, object]  # those fields of the result that are known as they come


class Failed(Exception):
    """Why there is no right reply: word and exit code, cause and its detail, what came instead."""

    def __init__(
        self, status: tuple[str, int], cause: str, received: bytes = b"", detail: str = ""
    ) -> None:
        super().__init__(cause + detail)
        self.cause = cause
        self.status = status
        self.received = received


class Lookup:
    """Looks names up in a thread, because getaddrinfo(3) heeds neither deadline nor signal.

    There is one thread at a time: an attempt joins the look-up that the last one left behind.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._outcome: list[str] | OSError = []

    def addresses(self, host: str, until: float) -> list[str]:
        """Return a host's IPv4 addresses. Raises OSError, and RuntimeError for lack of threads."""
        if is_address(host):
            return [host]
        if not self._thread:
            thread = threading.Thread(target=self._look_up, args=(host,), daemon=True)
            thread.start()
            self._thread = thread
        self._thread.join(_left(until))
        if self._thread.is_alive():
            raise TimeoutError("No answer from the name server")
        self._thread = None
        if isinstance(self._outcome, OSError):
            raise self._outcome
        return self._outcome

    def _look_up(self, host: str) -> None:
        try:
            # As bytes, since text would go through IDNA, whose import is slow.
            found = socket.getaddrinfo(host.encode(), None, socket.AF_INET, socket.SOCK_STREAM)
            self._outcome = [str(address[0]) for *_, address in found]
        except OSError as error:
            self._outcome = error


def connect_to_server(
    host: str, port: int, until: float, lookup: Lookup, source: str = ""
) -> socket.socket:
    """Connect to the first address of the host that can be, before ``until`` (monotonic seconds).

    Addresses that do not answer share the time; ``source`` is the local address, if it matters.
    Raises Failed.
    """
    try:
        addresses = lookup.addresses(host, until)
    except (OSError, RuntimeError) as error:
        raise Failed(UNRESOLVED, getattr(error, "strerror", None) or str(error)) from error
    for position, address in enumerate(addresses):
        sock = None
        try:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.settimeout(_left(until) / (len(addresses) - position))
            if source:
                sock.bind((source, 0))
            sock.connect((address, port))
            # A port that nobody listens on may be the one that the system gives this client:
            # the two ends of a simultaneous open are then one, RFC 9293, section 3.5.
            if sock.getsockname() == (address, port):
                raise ConnectionRefusedError("Connected to itself")
            return sock
        except OSError as error:
            if sock:
                sock.close()
            status = CLOSED if isinstance(error, ConnectionResetError) else UNAVAILABLE
            failure = Failed(status, error.strerror or str(error))
    raise failure


def exchange(
    sock: socket.socket, message: bytes, reply: bytes, until: float, *, prefix: bool = False
) -> bytes:
    """Send the message, unless it is empty, and return what comes once it is the reply.

    ``until`` is in monotonic seconds; with ``prefix`` more may follow. Raises Failed.
    """
    received = b""
    try:
        if message:
            sock.settimeout(_left(until))
            sock.sendall(message)
        while (right := matches(received, reply, prefix=prefix)) is None:
            sock.settimeout(_left(until))
            chunk = sock.recv(RECEIVE_BYTES)
            if not chunk:
                raise ConnectionResetError("Closed by the server")
            received += chunk
    except OSError as error:
        status = NO_REPLY if isinstance(error, TimeoutError) else CLOSED
        detail = f" after {len(received)} of {len(reply)} bytes of the reply"
        raise Failed(status, error.strerror or str(error), detail=detail) from error
    if not right:
        shown = received[:SHOWN_BYTES]
        raise Failed(WRONG_REPLY, f"Wrong reply: {printable(shown)}", shown)
    return received


def attempt(config: ClientConfig, lookup: Lookup, deadline: float, measured: Measured) -> bytes:
    """Connect once and exchange once; note what was measured. Raises Failed."""
    began = time.monotonic()
    until = min(began + config.connect_timeout, deadline)
    with connect_to_server(config.server_host, config.server_port, until, lookup) as sock:
        connected = time.monotonic()
        measured["connect_ms"] = round((connected - began) * 1000, 3)
        measured["local"] = "{}:{}".format(*sock.getsockname())
        try:
            measured["peer"] = "{}:{}".format(*sock.getpeername())
        except OSError as error:  # reset already
            raise Failed(CLOSED, str(error.strerror)) from error
        until = min(connected + config.reply_timeout, deadline)
        prefix = config.reply_match == "prefix"
        reply = exchange(sock, config.message, config.reply, until, prefix=prefix)
        measured["reply_ms"] = round((time.monotonic() - connected) * 1000, 3)
        return reply


def wait_for_reply(config: ClientConfig, log: Log, measured: Measured) -> bytes:
    """Attempt until the right reply has come, and return it.

    Raises Failed, at the latest when the deadline leaves no time for another attempt.
    """
    started = time.monotonic()
    deadline = started + config.deadline if config.deadline else math.inf
    lookup, attempts = Lookup(), 0
    failure: Failed | None = None

    def report(*_: object) -> None:
        told = (config.server_host, config.server_port, failure or "No answer yet", attempts)
        waited = time.monotonic() - started
        log(INFO, "waiting for %s:%d: %s (attempt %d, %.1f s)", *told, waited)

    # By a timer, which reports in the midst of a long attempt too.
    signal.signal(signal.SIGALRM, report)
    signal.setitimer(signal.ITIMER_REAL, REPORT_INTERVAL, REPORT_INTERVAL)
    while True:
        measured["attempts"] = attempts = attempts + 1
        try:
            return attempt(config, lookup, deadline, measured)
        except Failed as latest:
            if latest.status == WRONG_REPLY and config.wrong_reply == "fail":
                raise
            # One that the deadline has cut short says less than one that ended by itself.
            if failure is None or time.monotonic() < deadline:
                before, failure = failure, latest
                if before is None or before.cause != failure.cause:
                    report()
        if time.monotonic() + config.retry_delay >= deadline:
            raise failure
        time.sleep(config.retry_delay)


def finish(outcome: bytes | Failed, waited: float, measured: Measured) -> int:
    """Write the result, which no signal changes any more; return the exit code."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (*ENDING_SIGNALS, signal.SIGALRM))
    if isinstance(outcome, Failed):
        status, text, error, reply = outcome.status, "", str(outcome), outcome.received
    else:
        status, text, error, reply = ("ok", 0), printable(outcome), None, outcome
    if os.environ.get("OUTPUT") == "json":
        import json  # here, because it is slow to import and seldom asked for

        shown = reply.decode(errors="backslashreplace") if reply else None
        result = {"status": status[0], "exit_code": status[1], "reply": shown, "error": error}
        measured["waited_s"] = round(waited, 3)
        text = json.dumps(result | measured)
    if text:
        try:
            write(STDOUT, text + "\n")
        except OSError as failure:
            Log(ERROR)(ERROR, "cannot write the result: %s", failure.strerror)
    return status[1]


def main() -> int:
    began = time.monotonic()
    measured: Measured = {"attempts": 0, "waited_s": 0.0}
    measured |= dict.fromkeys(("connect_ms", "reply_ms", "local", "peer"))

    def interrupt(number: int, _: object) -> None:
        why = f"Interrupted by {signal.Signals(number).name}"
        waited = time.monotonic() - began
        os._exit(finish(Failed(("interrupted", 128 + number), why), waited, measured))

    # First of all: to PID 1 of a container, a signal without a handler is lost.
    for number in ENDING_SIGNALS:
        signal.signal(number, interrupt)
    if sys.argv[1:]:
        return usage("client", ClientConfig)
    try:
        config = ClientConfig(os.environ)
    except ConfigError as error:
        Log(ERROR)(ERROR, "%s", error)
        return finish(Failed(BAD_CONFIG, str(error)), 0, measured)
    log = Log(config.log_level)
    try:
        outcome: bytes | Failed = wait_for_reply(config, log, measured)
        level, told = INFO, f"right reply from {measured['peer']}"
    except Failed as failure:
        outcome, level, told = failure, ERROR, f"no right reply: {failure}"
    waited = time.monotonic() - began
    log(level, "%s (attempt %d, %.1f s)", told, measured["attempts"], waited)
    return finish(outcome, waited, measured)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")  # as the socket says it
    return min(left, LONGEST_WAIT)


if __name__ == "__main__":
    sys.exit(main())
