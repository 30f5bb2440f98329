"""How both programs write: log lines on stderr and the result on stdout, one write(2) each."""

import logging
import os
import select
import sys
import time

STDOUT, STDERR = 1, 2


class LineHandler(logging.Handler):
    """Writes each line at once and whole, and says nothing where nobody can read it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            write(STDERR, self.format(record) + "\n")
        except OSError:
            pass  # closed, or its disk is full: there is nowhere else to say so


def set_up_logging(level: str) -> None:
    """Log lines of at least this level, as ``2026-11-23T12:30:23.619Z INFO listening on …``."""
    form = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    form.converter = time.gmtime
    handler = LineHandler()
    handler.setFormatter(form)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # The lines do not say who wrote them: see "Optimization" in the HOWTO of logging.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def write(stream: int, text: str) -> None:
    """Write to STDOUT or STDERR. Raises OSError, also where that was closed from the start."""
    # By now its number may belong to a socket.
    number = stream if {STDOUT: sys.stdout, STDERR: sys.stderr}[stream] else -1
    data = text.encode(errors="surrogateescape")
    while data:
        try:
            data = data[os.write(number, data) :]
        except BlockingIOError:  # full, and another process that has it set O_NONBLOCK
            select.select([], [number], [])
