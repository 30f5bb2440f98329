"""What a client reports: an attempt, its form on stdout, and the one verdict."""

import logging
import os
import time
from collections.abc import Callable
from signal import Signals

from .exchange import Failed
from .log import STDOUT, takes, write
from .protocol import printable

PATIENCE = 0.1  # seconds that a reader of stdout or stderr may take before it is given up
# In the order of the JSON.
MEASURED = ("connect_ms", "reply_ms", "rtt_ms", "mss", "resent", "local", "peer")

log = logging.getLogger(__name__)


class Attempt:
    """What one attempt came to: the reply, or why it failed; and what it measured.

    Measured are ``connect_ms``, ``reply_ms``, ``local`` and ``peer`` (``ip:port``), and what
    tcp_info has; None is not known.
    """

    def __init__(self, failure: Failed | None = None) -> None:
        self.reply = b""
        self.failure = failure
        self.measured: dict[str, float | str | None] = dict.fromkeys(MEASURED)


def as_text(attempt: Attempt, *_: object) -> str:
    """Return the reply on one line; nothing after a failure."""
    return "" if attempt.failure else printable(attempt.reply) + "\n"


def as_json(attempt: Attempt, attempts: int, waited_s: float) -> str:
    """Return one object on one line."""
    import json  # main has imported it if it is wanted: it is slow to import

    failure = attempt.failure
    status, exit_code = failure.status if failure else ("ok", 0)
    reply = failure.received if failure else attempt.reply
    decided = {
        "status": status,
        "exit_code": exit_code,
        "reply": reply.decode(errors="backslashreplace") if reply else None,
        "error": str(failure) if failure else None,
        "cause": failure.cause if failure else None,
        "attempts": attempts,
        "waited_s": round(waited_s, 3),
    }
    return json.dumps(decided | attempt.measured) + "\n"


class Verdict:
    """The end of a client: decided once, by main or by a signal, and written once."""

    def __init__(self, form: Callable[[Attempt, int, float], str]) -> None:
        self._form = form
        self._began = time.monotonic()
        self._text = ""
        self._exit_code: int | None = None  # until it is decided
        self._is_handling = False
        self.attempts = 0

    @property
    def waited_s(self) -> float:
        """The seconds that attempts and pauses took so far."""
        return time.monotonic() - self._began if self.attempts else 0.0

    def __str__(self) -> str:
        return f"attempt {self.attempts}, {self.waited_s:.1f} s"

    def give(self, attempt: Attempt) -> int:
        """End with this attempt: write the result on stdout; return the exit code."""
        # A signal that comes before this has decided does not return here.
        exit_code = self._decide(attempt)
        self._write()
        return exit_code

    def interrupt(self, number: int, _: object) -> None:
        """Handle a signal: end the process with the result, wherever it is."""
        if self._is_handling:
            return  # signals that come faster than this runs would nest without end
        self._is_handling = True
        if is_first := self._exit_code is None:
            why = f"Interrupted by {Signals(number).name}"
            self._decide(Attempt(Failed(("interrupted", 128 + number), why)))
        # What is being written goes on, unless nobody takes it.
        goes_on = not is_first and takes(STDOUT, PATIENCE)
        self._is_handling = False
        if is_first:
            self._write()
        if not goes_on:
            os._exit(self._exit_code or 0)

    def _decide(self, attempt: Attempt) -> int:
        self._text = self._form(attempt, self.attempts, self.waited_s)
        self._exit_code = attempt.failure.status[1] if attempt.failure else 0
        return self._exit_code

    def _write(self) -> None:
        try:
            write(STDOUT, self._text)
        except OSError as error:
            log.error("cannot write the result: %s", error.strerror)
