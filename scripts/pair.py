"""Play the pair, whatever it is made of: the client first, the server once the client waits."""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from types import FrameType

MEANINGS = {
    0: "all went well",
    64: "unknown argument",
    68: "the server's name did not resolve",
    69: "no connection could be made in time",
    71: "it cannot listen at its address",
    74: "the server closed the connection before its reply was whole",
    75: "the reply did not come in time",
    76: "something else than the expected reply came",
    78: "a value is not valid",
    130: "interrupted",
    137: "killed; out of memory?",
    143: "interrupted",
}

# Seconds after which the server starts all the same: LOG_LEVEL may hide that the client waits.
PATIENCE = 4.0


def show(line: str) -> None:
    """Print a line; where nobody reads any more (``| head``), the rest goes on all the same."""
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Pair:
    """Client and server as two commands whose output is shown line by line.

    From its creation on signals are only noted, and ``play`` acts on them, so that nothing which
    is being set up or taken down is left half-done.
    """

    def __init__(self) -> None:
        # Who, and an exit code, the number of a signal, or None for a client that waits.
        self._events: queue.SimpleQueue[tuple[str, int | None]] = queue.SimpleQueue()
        self._processes: list[subprocess.Popen[str]] = []
        self._readers: list[threading.Thread] = []
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._events.put(("signal", number))

    def play(
        self,
        client: list[str],
        server: list[str],
        stop: Callable[[list[subprocess.Popen[str]]], object],
    ) -> int:
        """Run both until one ends or a signal comes, stop the rest, say and return the result."""
        show("starting the client; the server follows once the client waits")
        try:
            self._start("client", client)
            who, code = self._next_event(PATIENCE)
            if code is None:
                self._start("server", server)
            while code is None:
                who, code = self._next_event()
        finally:
            stop(self._processes)
            for reader in self._readers:
                reader.join()
        if who == "signal":
            show("interrupted; nothing is left running")
            return 128 + code
        first = " before the client" if who == "server" else ""
        meaning = MEANINGS.get(code, "see its log above")
        if who == "server" and not code:
            meaning = "something else has stopped it"
        show(f"the {who} ended{first} with exit code {code}: {meaning}")
        return code if who == "client" else code or 1

    def _next_event(self, timeout: float | None = None) -> tuple[str, int | None]:
        try:
            return self._events.get(timeout=timeout)
        except queue.Empty:
            return "client", None

    def _start(self, name: str, command: list[str]) -> None:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
            # Ctrl-C goes to this program alone, which stops the two in its own way.
            start_new_session=True,
        )
        reader = threading.Thread(target=self._read, args=(name, process))
        reader.start()
        self._processes.append(process)
        self._readers.append(reader)

    def _read(self, name: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        for line in process.stdout:
            show(f"{name} | " + line.removesuffix("\n"))
            if name == "client" and "waiting" in line:
                self._events.put((name, None))
        code = process.wait()
        # As Docker and shells count those that a signal has ended.
        self._events.put((name, code if code >= 0 else 128 - code))
