"""What a client has found out: measured attempt by attempt, decided once, written once."""

import logging
import time

from .exchange import Failed
from .log import STDOUT, write
from .protocol import printable
from .tcp_info import TcpInfo

log = logging.getLogger(__name__)


class Measured:
    """What one attempt has measured, in the order of the JSON; None is not known.

    ``connect_ms`` and ``reply_ms`` are milliseconds, ``local`` and ``peer`` are ``ip:port``; see
    TcpInfo for the rest.
    """

    def __init__(self) -> None:
        self.connect_ms: float | None = None
        self.reply_ms: float | None = None
        self.rtt_ms: float | None = None
        self.mss: int | None = None
        self.resent: int | None = None
        self.local: str | None = None
        self.peer: str | None = None

    def note(self, info: TcpInfo | None) -> None:
        """Take what the kernel knows of a connection."""
        if info:
            self.rtt_ms, self.mss, self.resent = info.rtt_ms, info.mss, info.resent


class Result:
    """The one result of a client: what the last attempt has measured, and how it all ended."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._began = self._ended = 0.0
        self._outcome: bytes | Failed | None = None
        self._write_begun = False
        self.is_being_written = False
        self.attempts = 0
        self.measured = Measured()

    @property
    def is_decided(self) -> bool:
        return self._outcome is not None

    @property
    def exit_code(self) -> int:
        return self._outcome.status[1] if isinstance(self._outcome, Failed) else 0

    @property
    def waited_s(self) -> float:
        """The seconds since the first attempt began, until it was decided."""
        return round((self._ended or time.monotonic()) - self._began, 3) if self._began else 0.0

    def begin_attempt(self) -> Measured:
        """Count an attempt, and return where to put what it measures."""
        self._began = self._began or time.monotonic()
        self.attempts += 1
        self.measured = Measured()
        return self.measured

    def decide(self, outcome: bytes | Failed) -> None:
        """End with the reply, or with the reason why there is none."""
        self._ended = time.monotonic()
        self._outcome = outcome

    def write(self) -> None:
        """Write the result on stdout, once."""
        if self._write_begun:
            return
        self._write_begun = self.is_being_written = True
        try:
            if text := self._json() if self._as_json else self._text():
                write(STDOUT, text + "\n")
        except OSError as error:
            self.is_being_written = False  # from here on only the log can hold this up
            log.error("cannot write the result: %s", error.strerror)
        self.is_being_written = False

    def _text(self) -> str:
        return printable(self._outcome) if isinstance(self._outcome, bytes) else ""

    def _json(self) -> str:
        import json  # here, because it is slow to import and seldom asked for

        failed = self._outcome if isinstance(self._outcome, Failed) else None
        reply = self._outcome.received if isinstance(self._outcome, Failed) else self._outcome
        decided = {
            "status": failed.status[0] if failed else "ok",
            "exit_code": self.exit_code,
            "reply": reply.decode(errors="backslashreplace") if reply else None,
            "error": str(failed) if failed else None,
            "cause": failed.cause if failed else None,
            "attempts": self.attempts,
            "waited_s": self.waited_s,
        }
        return json.dumps(decided | vars(self.measured))

    def __str__(self) -> str:
        return f"attempt {self.attempts}, {self.waited_s:.1f} s"

    def in_full(self) -> str:
        """Return the same with what the kernel has to add."""
        text, rtt_ms, resent = str(self), self.measured.rtt_ms, self.measured.resent
        if rtt_ms:
            text += f", round trip {rtt_ms:.2f} ms"
        if resent:
            text += f", {resent} segment{'s' if resent > 1 else ''} sent again"
        return text
