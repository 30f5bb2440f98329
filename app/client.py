"""The client: connect, send, compare the reply, and try again until it is the right one.

stdout carries the result and nothing else; the log goes to stderr.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import sys
import time
from types import FrameType

from app.config import EXIT_CONFIG, LONGEST_WAIT, ClientConfig, ConfigError, is_address, usage
from app.log import ERROR, INFO, Log
from app.protocol import matches, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# EX_NOHOST, EX_UNAVAILABLE, EX_IOERR, EX_TEMPFAIL, EX_PROTOCOL and EX_CONFIG of sysexits.h
UNRESOLVED, UNAVAILABLE, CLOSED = ("unresolved", 68), ("unavailable", 69), ("closed", 74)
NO_REPLY, WRONG_REPLY, BAD_CONFIG = ("no-reply", 75), ("wrong-reply", 76), ("config", EXIT_CONFIG)

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT)
RECEIVE_BYTES = 64 * 1024
SHOWN_BYTES = 200  # of a wrong reply, in the result
REPORT_INTERVAL = 9.5  # seconds between lines that say that it waits; 10 are promised


class AttemptFailed(Exception):
    """An attempt came to nothing: the word and exit code for it, why, and what was received."""

    def __init__(self, status: tuple[str, int], why: str, received: bytes = b"") -> None:
        super().__init__(why)
        self.status = status
        self.received = received


class Interrupted(BaseException):
    """A signal asks the client to end. No Exception: nothing may take it for a failure."""


class Lookup:
    """Looks names up in a thread, because getaddrinfo(3) heeds neither deadline nor signal.

    There is one thread at a time: an attempt joins the look-up that the last one left behind.
    """

    def __init__(self) -> None:
        self._thread: Any = None
        self._outcome: list[str] | OSError = []

    def addresses(self, host: str, until: float) -> list[str]:
        """Return the IPv4 addresses of a host. Raises OSError, TimeoutError among them."""
        if is_address(host):
            return [host]
        if self._thread is None:
            import threading  # here, since it takes as long as an exchange with an address

            self._thread = threading.Thread(target=self._look_up, args=(host,), daemon=True)
            self._thread.start()
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
    Raises AttemptFailed.
    """
    try:
        addresses = lookup.addresses(host, until)
    except OSError as error:
        raise AttemptFailed(UNRESOLVED, _reason(error)) from error
    for position, address in enumerate(addresses):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
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
            sock.close()
            status = CLOSED if isinstance(error, ConnectionResetError) else UNAVAILABLE
            failure = AttemptFailed(status, _reason(error))
    raise failure


def exchange(
    sock: socket.socket, message: bytes, reply: bytes, until: float, *, prefix: bool = False
) -> bytes:
    """Send the message, unless it is empty, and return what comes once it is the reply.

    ``until`` is in monotonic seconds; with ``prefix`` more may follow. Raises AttemptFailed.
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
        why = f"{_reason(error)} after {len(received)} of {len(reply)} bytes of the reply"
        raise AttemptFailed(status, why) from error
    if not right:
        shown = received[:SHOWN_BYTES]
        raise AttemptFailed(WRONG_REPLY, f"Wrong reply: {printable(shown)}", shown)
    return received


def attempt(config: ClientConfig, lookup: Lookup, deadline: float, result: dict[str, Any]) -> bytes:
    """Connect once and exchange once; note what was measured. Raises AttemptFailed."""
    began = time.monotonic()
    until = min(began + config.connect_timeout, deadline)
    with connect_to_server(config.server_host, config.server_port, until, lookup) as sock:
        connected = time.monotonic()
        result["connect_ms"] = round((connected - began) * 1000, 3)
        result["local"] = "{}:{}".format(*sock.getsockname())
        try:
            result["peer"] = "{}:{}".format(*sock.getpeername())
        except OSError as error:  # reset already
            raise AttemptFailed(CLOSED, _reason(error)) from error
        until = min(connected + config.reply_timeout, deadline)
        prefix = config.reply_match == "prefix"
        reply = exchange(sock, config.message, config.reply, until, prefix=prefix)
        result["reply_ms"] = round((time.monotonic() - connected) * 1000, 3)
        return reply


def wait_for_reply(config: ClientConfig, log: Log, result: dict[str, Any]) -> bytes:
    """Attempt until the right reply has come, and return it.

    Raises AttemptFailed, at the latest when the deadline leaves no time for another attempt.
    """
    started = time.monotonic()
    deadline = started + config.deadline if config.deadline else math.inf
    target = f"{config.server_host}:{config.server_port}"
    lookup, failure, why = Lookup(), None, "No answer yet"

    def report(*_: object) -> None:
        waited = time.monotonic() - started
        told = (target, why, result["attempts"], waited)
        log(INFO, "waiting for %s: %s (attempt %d, %.1f s)", *told)
        signal.setitimer(signal.ITIMER_REAL, REPORT_INTERVAL)

    # By a timer, which reports in the midst of a long attempt too.
    signal.signal(signal.SIGALRM, report)
    signal.setitimer(signal.ITIMER_REAL, REPORT_INTERVAL)
    try:
        while True:
            result["attempts"] += 1
            try:
                return attempt(config, lookup, deadline, result)
            except AttemptFailed as latest:
                if latest.status == WRONG_REPLY and config.wrong_reply == "fail":
                    raise
                # One that the deadline has cut short says less than one that ended by itself.
                if failure is None or time.monotonic() < deadline:
                    failure = latest
            if why != str(failure):
                why = str(failure)
                report()
            if time.monotonic() + config.retry_delay >= deadline:
                raise failure
            time.sleep(config.retry_delay)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        result["waited_s"] = round(time.monotonic() - started, 3)


def check(result: dict[str, Any]) -> str:
    """Wait as the environment says; fill in the result, and return what text output shows."""
    try:
        config = ClientConfig.from_env(os.environ)
    except ConfigError as error:
        Log(ERROR)(ERROR, "%s", error)
        _fail(result, BAD_CONFIG, str(error))
        return ""
    log = Log(config.log_level)
    try:
        reply = wait_for_reply(config, log, result)
    except AttemptFailed as failure:
        told = (result["attempts"], result["waited_s"], failure)
        log(ERROR, "no right reply (attempt %d, %.1f s): %s", *told)
        _fail(result, failure.status, str(failure))
        if failure.status == WRONG_REPLY:
            result["reply"] = failure.received.decode(errors="backslashreplace")
        return ""
    told = (result["peer"], result["attempts"], result["waited_s"])
    log(INFO, "right reply from %s (attempt %d, %.1f s)", *told)
    result["reply"] = reply.decode(errors="backslashreplace")
    return printable(reply)


def main() -> int:
    # First of all: to PID 1 of a container, a signal without a handler is lost.
    def interrupt(number: int, _: FrameType | None) -> None:
        for other in ENDING_SIGNALS:  # one that has come meanwhile must not raise too
            signal.signal(other, lambda *_: None)
        raise Interrupted(signal.Signals(number))

    # In the order of JSON.
    result: dict[str, Any] = {"status": "ok", "exit_code": 0, "reply": None, "error": None}
    result |= {"attempts": 0, "waited_s": 0.0, "connect_ms": None, "reply_ms": None}
    result |= {"local": None, "peer": None}
    text = ""
    try:
        for number in ENDING_SIGNALS:
            signal.signal(number, interrupt)
        if sys.argv[1:]:
            return usage("client", ClientConfig)
        text = check(result)
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)  # the result is final
    except Interrupted as interruption:
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
        text, number = "", interruption.args[0]
        _fail(result, ("interrupted", 128 + number), f"Interrupted by {number.name}")
    if os.environ.get("OUTPUT") == "json":
        import json  # here, because it is slow to import and seldom asked for

        text = json.dumps(result)
    if text:
        try:
            with open(1, "w", encoding="utf-8", closefd=False) as stdout:
                print(text, file=stdout)
        except OSError as error:
            Log(ERROR)(ERROR, "cannot write the result: %s", error.strerror)
    return int(result["exit_code"])


def _fail(result: dict[str, Any], status: tuple[str, int], error: str) -> None:
    result["status"], result["exit_code"] = status
    result["error"] = error


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("Timed out")
    return min(left, LONGEST_WAIT)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


if __name__ == "__main__":
    sys.exit(main())
