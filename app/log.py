"""The log of both programs: one line, one write(2), on stderr.

Not ``logging``: importing it doubles the client's start, and one line of it costs the server
as much as the exchange that the line is about.
"""

import os
import sys
import time

from app.protocol import printable

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
DEBUG, INFO, WARNING, ERROR = range(4)
SHOWN_CHARACTERS = 200  # of what a peer has sent


class Log:
    """Writes the lines of at least one level: ``log(INFO, "%s: %s", peer, message)``.

    Values are formatted only if the line is wanted. A memoryview is what a peer has sent: that
    is made printable and cut.
    """

    def __init__(self, level: int) -> None:
        self._level = level
        # Where stderr was closed from the start, its number may belong to a socket by now.
        self._fd = 2 if sys.stderr else -1

    def __call__(self, level: int, text: str, *values: object) -> None:
        if level < self._level:
            return
        shown = (printable(v, SHOWN_CHARACTERS) if type(v) is memoryview else v for v in values)
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        line = f"{stamp}.{int(now % 1 * 1000):03}Z {LEVELS[level]} {text % tuple(shown)}\n"
        try:
            os.write(self._fd, line.encode())
        except OSError:
            pass  # nobody reads the log any more, and there is nowhere else to say so
