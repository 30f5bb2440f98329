"""The client: try to get the expected reply, and try again until it comes.

stdout carries the result and nothing else; the log goes to stderr.
"""

import logging
import math
import os
import sys
import time
from contextlib import suppress

from .config import EXIT_CONFIG, ClientConfig, ConfigError, Environment
from .exchange import WRONG_REPLY, Failed, Lookup, connect, exchange
from .log import set_up_logging
from .process import block_ending_signals, handle_ending_signals
from .result import PATIENCE, Attempt, Verdict, as_json, as_text
from .tcp_info import tcp_info
from .usage import usage

REPORT_INTERVAL = 10.0  # seconds after which a line says again that the client waits

log = logging.getLogger(__name__)


def connect_to_server(config: ClientConfig, verdict: Verdict) -> Attempt:
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
        time.sleep(config.retry_delay)


def try_once(config: ClientConfig, lookup: Lookup, deadline: float) -> Attempt:
    """Connect once and exchange once, before the deadline (monotonic seconds)."""
    attempt = Attempt()
    began = time.monotonic()
    until = min(began + config.connect_timeout, deadline)
    try:
        with connect(config.server_host, config.server_port, until, lookup) as sock:
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
    except Failed as failure:
        attempt.failure = failure
    return attempt


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
    if resent := attempt.measured["resent"]:
        how += f", segments sent again: {resent}"
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
    if "SERVER_PROTOCOL" in os.environ or sys.argv[1:]:
        from . import services  # noqa: F401 - for the same reason
    verdict = Verdict(as_json if in_json else as_text)
    # Before anything that can wait: to PID 1 of a container, a signal without a handler is lost.
    handle_ending_signals(verdict.interrupt)
    code = usage("client", ClientConfig) if sys.argv[1:] else run(verdict)
    block_ending_signals()
    return code


if __name__ == "__main__":
    sys.exit(main())
