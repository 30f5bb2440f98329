"""What an attempt came to, and the forms in which stdout shows it."""

from .exchange import Failed
from .protocol import printable

MEASURED = ("connect_ms", "reply_ms", "rtt_ms", "mss", "resent", "local", "peer")  # as in JSON


class Attempt:
    """What one attempt came to: the reply, or why it failed; and what it measured.

    ``local`` and ``peer`` are ``ip:port``, ``rtt_ms`` and so on are of tcp_info; None: not known.
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
        "cause": failure.cause or None if failure else None,
        "attempts": attempts,
        "waited_s": round(waited_s, 3),
    }
    return json.dumps(decided | attempt.measured) + "\n"
