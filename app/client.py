"""The client: try to get the expected reply, and try again until it comes.

stdout carries the result and nothing else; the log goes to stderr.
"""

import math
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from signal import Signals, sigpending, sigwait

from .config import EXIT_CONFIG, ClientConfig, ConfigError, Environment
from .exchange import WRONG_REPLY, Failed, Lookup, connect, exchange, tcp_info
from .log import STDOUT, is_stuck, log, set_up_logging, write
from .process import ENDING_SIGNALS, close, wait_for_ending_signals
from .result import Attempt, as_json, as_text
from .services import HELP
from .usage import usage

REPORT_INTERVAL = 10.0  # seconds after which a line says again that the client waits
PATIENCE = 0.1  # seconds that a reader of stdout or stderr may take before it is given up


def connect_to_server(config: ClientConfig, verdict: "Verdict") -> Attempt:
    """Try to get the reply, wait, and try again until it comes; return the last attempt.

    A wrong reply may be final; otherwise it ends when DEADLINE leaves no time to try again.
    """
    deadline = time.monotonic() + (config.deadline or math.inf)
    lookup = Lookup()
    previous = reported = None
    report_at = -math.inf
    while True:
        verdict.attempts += 1
        attempt = try_once(config, lookup, deadline)
        failure = attempt.failure
        if not failure or (failure.status == WRONG_REPLY and config.wrong_reply == "fail"):
            return attempt
        now = time.monotonic()
        if previous and now >= deadline:
            attempt.failure = previous  # what the deadline cuts short tells less than that
        if now + config.retry_delay >= deadline:
            return attempt
        previous, reason = failure, (failure.status, failure.cause)
        if reason != reported or now >= report_at:
            reported, report_at = reason, now + REPORT_INTERVAL
            target = config.server_host, config.server_port
            log.info("waiting for %s:%d: %s (%s)", *target, failure, verdict)
        with suppress(OSError):  # a seccomp profile may deny clock_nanosleep(2)
            time.sleep(config.retry_delay)


def try_once(config: ClientConfig, lookup: Lookup, deadline: float) -> Attempt:
    """Connect once and exchange once, before the deadline (monotonic seconds)."""
    attempt = Attempt()
    began = time.monotonic()
    until = min(began + config.connect_timeout, deadline)
    try:
        sock = connect(config.server_host, config.server_port, until, lookup)
        connected = time.monotonic()
        attempt.measured["connect_ms"] = round((connected - began) * 1000, 3)
        with suppress(OSError):  # reset already, which the exchange is going to find
            attempt.measured["peer"] = "{}:{}".format(*sock.getpeername())
            attempt.measured["local"] = "{}:{}".format(*sock.getsockname())
        until = min(connected + config.reply_timeout, deadline)
        prefix = config.reply_match == "prefix"
        try:
            attempt.reply = exchange(sock, config.message, config.reply, until, prefix=prefix)
            attempt.measured["reply_ms"] = round((time.monotonic() - connected) * 1000, 3)
        finally:
            attempt.measured |= tcp_info(sock)
            close(sock)
    except Failed as failure:
        attempt.failure = failure
    return attempt


class Verdict:
    """The end of a client: decided once, by main or by a signal, and written once."""

    def __init__(self, form: Callable[[Attempt, int, float], str]) -> None:
        self._form = form
        self._began = time.monotonic()
        self._undecided = threading.Lock()  # main or a signal takes it, and decides
        self._exit_code = 71  # EX_OSERR of sysexits.h: sigwait(3) is denied
        self.attempts = 0

    @property
    def waited_s(self) -> float:
        """The seconds that attempts and pauses took so far."""
        return time.monotonic() - self._began if self.attempts else 0.0

    def __str__(self) -> str:
        return f"attempt {self.attempts}, {self.waited_s:.1f} s"

    def give(self, attempt: Attempt) -> int:
        """End with this attempt: write the result on stdout; return the exit code."""
        self._undecided.acquire()  # if a signal was first, until the process has ended
        self._write(attempt)
        return self._exit_code

    def wait_for_signal(self) -> None:
        """Wait for a signal; end the process with the result, whatever the main thread does."""
        try:
            number = sigwait(ENDING_SIGNALS)
            if self._undecided.acquire(blocking=False):
                why = f"Interrupted by {Signals(number).name}"
                self._write(Attempt(Failed(("interrupted", 128 + number), why)))
            else:  # what is being written goes on, unless nobody takes it
                while not is_stuck(STDOUT, PATIENCE):
                    sigwait(ENDING_SIGNALS)
        finally:
            os._exit(self._exit_code)

    def _write(self, attempt: Attempt) -> None:
        self._exit_code = attempt.failure.status[1] if attempt.failure else 0
        text = self._form(attempt, self.attempts, self.waited_s)
        try:
            while text and is_stuck(STDOUT, PATIENCE):
                if sigpending() & {*ENDING_SIGNALS}:  # another one: nobody takes it
                    return
            write(STDOUT, text)
        except OSError as error:
            log.error("cannot write the result: %s", error.strerror)


def run(verdict: Verdict) -> int:
    """Wait for the expected reply, write the result and then log it; return the exit code."""
    try:
        config = ClientConfig(Environment(os.environ))
    except ConfigError as error:
        set_up_logging("ERROR", PATIENCE)
        code = verdict.give(Attempt(Failed(("config", EXIT_CONFIG), str(error))))
        log.error("%s", error)
        return code
    set_up_logging(config.log_level, PATIENCE)
    attempt = connect_to_server(config, verdict)
    how = str(verdict)
    code = verdict.give(attempt)
    if rtt_ms := attempt.measured["rtt_ms"]:
        how += f", round trip {rtt_ms:.2f} ms"
    if attempt.failure:
        log.error("failed: %s (%s)", attempt.failure, how)
    else:
        log.info("expected reply from %s (%s)", attempt.measured["peer"], how)
    return code


def main() -> int:
    # A bad value, too, is reported in the form that OUTPUT selects; usage has no result.
    in_json = os.environ.get("OUTPUT") == "json" and not sys.argv[1:]
    if in_json:
        import json  # noqa: F401 - now, since later there may be no file descriptor for it
    verdict = Verdict(as_json if in_json else as_text)
    # Before anything that can wait: to PID 1 of a container, a signal with no handler is lost.
    wait_for_ending_signals(verdict.wait_for_signal)
    return usage("client", ClientConfig, HELP) if sys.argv[1:] else run(verdict)


if __name__ == "__main__":
    sys.exit(main())
