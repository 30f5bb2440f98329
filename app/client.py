"""The client: try to get the right reply, and try again until it has come.

stdout carries the result and nothing else; the log goes to stderr.
"""

import logging
import math
import os
import select
import signal
import sys
import time
from contextlib import suppress
from types import FrameType

from .config import EXIT_CONFIG, ClientConfig, ConfigError, Environment
from .exchange import UNAVAILABLE, WRONG_REPLY, Failed, Lookup, connect, exchange
from .log import STDOUT, set_up_logging
from .result import Result
from .signals import block_ending_signals, handle_ending_signals
from .tcp_info import tcp_info
from .usage import usage

REPORT_INTERVAL = 9.5  # seconds between lines that say that it waits; 10 are promised
PATIENCE = 0.1  # seconds that a reader of stdout may take before a signal gives it up

log = logging.getLogger(__name__)


def connect_to_server(config: ClientConfig, result: Result) -> bytes:
    """Try to get the right reply, wait, and try again until it has come; return it.

    Raises Failed for a wrong reply that is final, or when DEADLINE leaves no time to try again.
    """
    deadline = time.monotonic() + (config.deadline or math.inf)
    lookup = Lookup()
    with Waiting(config, result) as waiting:
        while True:
            try:
                return attempt(config, lookup, deadline, result)
            except Failed as failure:
                if failure.status == WRONG_REPLY and config.wrong_reply == "fail":
                    raise
                # One that the deadline has cut short says less than the one before.
                if result.attempts == 1 or time.monotonic() < deadline:
                    waiting.note(failure)
            if time.monotonic() + config.retry_delay >= deadline:
                raise waiting.failure
            time.sleep(config.retry_delay)


def attempt(config: ClientConfig, lookup: Lookup, deadline: float, result: Result) -> bytes:
    """Connect once and exchange once; note in the result what is measured. Raises Failed."""
    measured = result.begin_attempt()
    began = time.monotonic()
    until = min(began + config.connect_timeout, deadline)
    try:
        sock = connect(config.server_host, config.server_port, until, lookup)
    except Failed as failure:
        measured.resent = failure.resent
        raise
    with sock:
        connected = time.monotonic()
        measured.connect_ms = round((connected - began) * 1000, 3)
        with suppress(OSError):  # reset already, which the exchange is going to find
            measured.peer = "{}:{}".format(*sock.getpeername())
            measured.local = "{}:{}".format(*sock.getsockname())
        until = min(connected + config.reply_timeout, deadline)
        prefix = config.reply_match == "prefix"
        try:
            reply = exchange(sock, config.message, config.reply, until, prefix=prefix)
        finally:
            ended = time.monotonic()
            measured.note(tcp_info(sock))
        measured.reply_ms = round((ended - connected) * 1000, 3)
        return reply


class Waiting:
    """While it is open, says that the client waits: for each new reason, and every 10 s."""

    def __init__(self, config: ClientConfig, result: Result) -> None:
        self._target = f"{config.server_host}:{config.server_port}"
        self._result = result
        self._reporting = False
        self.failure = Failed(UNAVAILABLE, "No answer yet")

    def __enter__(self) -> "Waiting":
        # By a timer, which reports in the midst of a long attempt too.
        signal.signal(signal.SIGALRM, self._report)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        signal.setitimer(signal.ITIMER_REAL, REPORT_INTERVAL, REPORT_INTERVAL)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def note(self, failure: Failed) -> None:
        """Wait because of this failure from now on, and say so if the reason is another."""
        before, self.failure = self.failure, failure
        if (before.status, before.why) != (failure.status, failure.why):
            self._report()

    def _report(self, *_: object) -> None:
        # The timer goes on while a log or a stdout that nobody reads holds the client up.
        if not self._reporting and not self._result.is_decided:
            self._reporting = True
            log.info("waiting for %s: %s (%s)", self._target, self.failure, self._result)
            self._reporting = False


def handle_signals(result: Result) -> None:
    """Have SIGTERM and SIGINT write the result and end the process, wherever it is."""
    ending = False

    def end(number: int, _: FrameType | None) -> None:
        nonlocal ending
        if ending:
            return  # signals that come faster than this runs would nest without end
        ending = True
        # What a signal interrupts goes on, unless nobody reads it.
        goes_on = result.is_being_written and select.select([], [STDOUT], [], PATIENCE)[1]
        if not goes_on and not result.is_decided:
            why = f"Interrupted by {signal.Signals(number).name}"
            result.decide(Failed(("interrupted", 128 + number), why))
        ending = False
        if not goes_on:
            result.write()
            os._exit(result.exit_code)

    handle_ending_signals(end)


def run(result: Result) -> int:
    """Wait for the right reply, and write the result; return the exit code."""
    try:
        config = ClientConfig(Environment(os.environ))
        set_up_logging(config.log_level)
        result.decide(connect_to_server(config, result))
        log.info("right reply from %s (%s)", result.measured.peer, result.in_full())
    except ConfigError as error:
        set_up_logging("ERROR")
        result.decide(Failed(("config", EXIT_CONFIG), str(error)))
        log.error("%s", error)
    except Failed as failure:
        result.decide(failure)
        log.error("no right reply: %s (%s)", failure, result.in_full())
    result.write()
    return result.exit_code


def main() -> int:
    # A bad value, too, is told in the form that OUTPUT asks for; usage has no result.
    result = Result(as_json=os.environ.get("OUTPUT") == "json" and not sys.argv[1:])
    # Before anything else: to PID 1 of a container, a signal without a handler is lost.
    handle_signals(result)
    code = usage("client", ClientConfig) if sys.argv[1:] else run(result)
    block_ending_signals()
    return code


if __name__ == "__main__":
    sys.exit(main())
