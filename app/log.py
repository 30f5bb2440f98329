"""How the programs write: log lines on stderr and the result on stdout, one write(2) each."""

import logging
import os
import select
import sys
import time
from contextlib import suppress

# Not 1 and 2 if they were closed from the start: those numbers may by now belong to sockets.
STDOUT = 1 if sys.stdout else -1
STDERR = 2 if sys.stderr else -1

log = logging.getLogger(__package__)


class LineHandler(logging.Handler):
    """Writes each line at once and whole; drops it if stderr is closed or its disk is full.

    A full pipe blocks it, for ``patience`` seconds at most if that is set.
    """

    patience: float | None = None

    def emit(self, record: logging.LogRecord) -> None:
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        what = f"{record.levelname} {record.getMessage()}"
        with suppress(OSError):  # there is nowhere else to report it
            if self.patience is None or not is_stuck(STDERR, self.patience):
                write(STDERR, f"{when}.{int(record.msecs):03}Z {what}\n")


def set_up_logging(level: str, patience: float | None = None) -> None:
    """Log lines of at least this level, as ``2026-11-23T12:30:23.619Z INFO listening on …``."""
    handler = LineHandler()
    handler.patience = patience
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # The lines do not name their origin: see "Optimization" in the HOWTO of logging.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def is_stuck(stream: int, patience: float) -> bool:
    """Tell whether STDOUT or STDERR is open, but takes nothing for so many seconds."""
    with suppress(OSError):  # a seccomp profile may deny select(2)
        return stream >= 0 and not select.select([], [stream], [], patience)[1]
    return False


def write(stream: int, text: str) -> None:
    """Write to STDOUT or STDERR. Raises OSError, also if that was closed from the start."""
    data = text.encode(errors="surrogateescape")
    while data:
        try:
            data = data[os.write(stream, data) :]
        except BlockingIOError:  # full, and another process that shares it set O_NONBLOCK
            select.select([], [stream], [])
