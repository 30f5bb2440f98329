"""The pair as two commands, whatever it is made of: the client first, the server once it waits."""

import queue
import signal
import subprocess
import threading
from collections.abc import Callable

from scripts.common import Problem, say, start

Processes = list["subprocess.Popen[str]"]
Commands = tuple[list[str], list[str]]

# What the client logs while there is no server.
WAITS = " INFO waiting for "
# Seconds of silence after which the server starts anyway: LOG_LEVEL may hide that the client waits.
PATIENCE = 4.0


class Abandoned(BaseException):
    """A second signal: whoever sends one does not want to wait for an orderly end."""


class Pair:
    """Client and server, whose output is shown line by line.

    From its creation on the first signal is only noted, and ``play`` acts on it, so that nothing is
    left half-done. The second signal ends ``play`` at once; ``left`` says what that leaves behind.
    """

    def __init__(self, left: str) -> None:
        self._left = left
        # Who, and a line of its output, its exit code, or the number of a signal.
        self._events: queue.SimpleQueue[tuple[str, str | int]] = queue.SimpleQueue()
        self._signals: list[int] = []
        self._processes: Processes = []
        self._running = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: object) -> None:
        self._signals.append(number)
        self._events.put(("signal", number))
        if len(self._signals) == 2:
            raise Abandoned

    def play(self, create: Callable[[], Commands], stop: Callable[[Processes], object]) -> int:
        """Run both until one ends or a signal comes, stop the rest, say and return the result."""
        try:
            try:
                client, server = create()
                say("starting the client; the server follows once the client waits")
                self._start("client", client)
                who, code = self._show(PATIENCE)
                if code is None:
                    self._start("server", server)
                    who, code = self._show()
            finally:
                if len(self._signals) < 2:
                    stop(self._processes)
                    self._show_rest()
        except (Problem, Abandoned) as error:
            for process in self._processes:
                process.kill()
            self._show_rest()
            if isinstance(error, Problem):
                raise
            say(f"interrupted; {self._left}")
            return 128 + self._signals[0]
        if code is None or who == "signal":
            say("interrupted; nothing is left running")
            return 128 + self._signals[0]
        if who == "server":
            say(f"the server ended before the client with exit code {code}: see its log above")
            return code or 1
        meaning = "see its log above" if code else "all went well"
        say(f"the client ended with exit code {code}: {meaning}")
        return code

    def _start(self, name: str, command: list[str]) -> None:
        # Ctrl-C goes to this program alone, which stops the two in its own way.
        process = start(*command, start_new_session=True)
        self._processes.append(process)
        self._running += 1
        threading.Thread(target=self._read, args=(name, process)).start()

    def _read(self, name: str, process: "subprocess.Popen[str]") -> None:
        for line in process.stdout or ():
            self._events.put((name, line.removesuffix("\n")))
        code = process.wait()
        # Counted as Docker and shells do if a signal ended it.
        self._events.put((name, code if code >= 0 else 128 - code))

    def _show(self, patience: float | None = None) -> tuple[str, int | None]:
        """Show lines until one ends or a signal comes; with patience, until the client waits."""
        while True:
            try:
                who, what = self._events.get(timeout=patience)
            except queue.Empty:
                return "client", None
            if isinstance(what, int):
                self._running -= who != "signal"
                return who, what
            say(f"{who} | {what}")
            if patience and WAITS in what:
                return "client", None

    def _show_rest(self) -> None:
        while self._running:
            self._show()
