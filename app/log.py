"""How both programs write: the log, each line by one write(2) on stderr, and the result.

Not ``logging``: importing it doubles the client's start, and one line of it costs the server
as much as the exchange that the line is about.
"""

import os
import sys
import time

from app.protocol import printable

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
DEBUG, INFO, WARNING, ERROR = range(4)
STDOUT, STDERR = 1, 2
SHOWN_CHARACTERS = 200  # of what a peer has sent


def write(stream: int, text: str) -> None:
    """Write to STDOUT or STDERR. Raises OSError, also where that was closed from the start."""
    # By now its number may belong to a socket.
    number = stream if (sys.stdin, sys.stdout, sys.stderr)[stream] else -1
    data = text.encode()
    while data:
        data = data[os.write(number, data) :]


class Log:
    """Writes the lines of at least one level: ``log(INFO, "%s: %s", peer, message)``.

    Values are formatted only if the line is wanted. A memoryview is what a peer has sent: that
    is made printable and cut.
    """

    def __init__(self, level: int) -> None:
        self._level = level

    def __call__(self, level: int, text: str, *values: object) -> None:
        if level < self._level:
            return
        shown = (printable(v, SHOWN_CHARACTERS) if type(v) is memoryview else v for v in values)
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        line = f"{stamp}.{int(now % 1 * 1000):03}Z {LEVELS[level]} {text % tuple(shown)}\n"
        try:
            write(STDERR, line)
        except OSError:
            pass  # nobody reads the log any more, and there is nowhere else to say so
