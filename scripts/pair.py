"""Play the pair, whatever it is made of: the client first, the server once the client waits."""

import queue
import signal
import subprocess
import threading
from collections.abc import Callable
from types import FrameType

from scripts.common import Problem, say

Processes = list["subprocess.Popen[str]"]
Commands = tuple[list[str], list[str]]

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
UNKNOWN = "see its log above"

# What the client logs while there is no server.
WAITS = " INFO waiting for "
# Seconds after which the server starts all the same: LOG_LEVEL may hide that the client waits.
PATIENCE = 4.0


class Abandoned(BaseException):
    """A second signal: whoever sends one does not want to wait for an orderly end."""


class Pair:
    """Client and server as two commands whose output is shown line by line.

    From its creation on the first signal is only noted, and ``play`` acts on it, so that nothing
    which is being set up or taken down is left half-done. The second one ends ``play`` at once;
    ``left`` says what that leaves behind, once the commands are killed.
    """

    def __init__(self, left: str) -> None:
        self._left = left
        # Who, and an exit code, the number of a signal, or None for a client that waits.
        self._events: queue.SimpleQueue[tuple[str, int | None]] = queue.SimpleQueue()
        self._signals: list[int] = []
        self._processes: Processes = []
        self._readers: list[threading.Thread] = []
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)
        self._events.put(("signal", number))
        if len(self._signals) == 2:
            raise Abandoned

    def play(self, create: Callable[[], Commands], stop: Callable[[Processes], object]) -> int:
        """Run both until one ends or a signal comes, stop the rest, say and return the result."""
        try:
            try:
                who, code = self._follow(*create())
            finally:
                if len(self._signals) < 2:
                    stop(self._processes)
                    self._join()
        except Problem:
            self._kill()
            raise
        except Abandoned:
            self._kill()
            say(f"interrupted; {self._left}")
            return 128 + self._signals[0]
        if who == "signal":
            say("interrupted; nothing is left running")
            return 128 + code
        if who == "client":
            say(f"the client ended with exit code {code}: {MEANINGS.get(code, UNKNOWN)}")
            return code
        meaning = MEANINGS.get(code, UNKNOWN) if code else "something else has stopped it"
        say(f"the server ended before the client with exit code {code}: {meaning}")
        return code or 1

    def _follow(self, client: list[str], server: list[str]) -> tuple[str, int]:
        say("starting the client; the server follows once the client waits")
        self._start("client", client)
        who, code = self._next_event(PATIENCE)
        if code is None:
            self._start("server", server)
        while code is None:
            who, code = self._next_event()
        return who, code

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

    def _kill(self) -> None:
        for process in self._processes:
            process.kill()
        self._join()

    def _join(self) -> None:
        for reader in self._readers:
            reader.join()

    def _read(self, name: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        for line in process.stdout:
            say(f"{name} | " + line.removesuffix("\n"))
            if name == "client" and WAITS in line:
                self._events.put((name, None))
        code = process.wait()
        # As Docker and shells count those that a signal has ended.
        self._events.put((name, code if code >= 0 else 128 - code))
