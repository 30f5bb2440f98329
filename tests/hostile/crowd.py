"""Silent clients by the thousand, in processes of their own: one alone has too few descriptors.

``python3 -m tests.hostile.crowd HOST PORT SOURCE`` reads a number from each line of its stdin,
opens so many connections from the source address, and answers with a line. They stay until stdin
ends.
"""

import selectors
import socket
import subprocess
import sys
from collections.abc import Callable
from types import TracebackType
from typing import IO, Self

from tests.support import PATIENCE, ROOT

PROCESSES = 4  # each with an address of its own, and so with ephemeral ports of its own
WAVE = 2000  # at once: well within the backlog, beyond which the kernel lets clients wait


class Crowd:
    """Connections that say nothing, until ``leave`` or the end of the context."""

    def __init__(self, address: tuple[str, int]) -> None:
        command = [sys.executable, "-m", "tests.hostile.crowd", address[0], str(address[1])]
        self._processes = [
            subprocess.Popen(
                [*command, f"127.0.{number}.1"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
            )
            for number in range(1, PROCESSES + 1)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()

    def come(self, size: int, meanwhile: Callable[[], None]) -> None:
        """Open so many, in waves; call ``meanwhile`` again and again until all are connected."""
        for _ in range(0, size, WAVE):
            for process in self._processes:
                _pipe(process.stdin).write(b"%d\n" % (WAVE // PROCESSES))
            with selectors.DefaultSelector() as coming:
                for process in self._processes:
                    coming.register(_pipe(process.stdout), selectors.EVENT_READ)
                while coming.get_map():
                    meanwhile()
                    for key, _ in coming.select(0):
                        assert key.fileobj.readline()  # type: ignore[union-attr] # it is a pipe
                        coming.unregister(key.fileobj)
            # Accepted in turn: once this one is served, the backlog is empty again.
            meanwhile()

    def leave(self) -> None:
        """Close them all at once."""
        for process in self._processes:
            _pipe(process.stdin).close()
        for process in self._processes:
            assert process.wait(PATIENCE) == 0
            _pipe(process.stdout).close()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream
    return stream


def main() -> None:
    host, port, source = sys.argv[1:]
    silent: list[socket.socket] = []
    for line in sys.stdin:
        silent += [
            socket.create_connection((host, int(port)), PATIENCE, (source, 0))
            for _ in range(int(line))
        ]
        print("connected", flush=True)


if __name__ == "__main__":
    main()
