"""The pair as two commands, whatever it is made of: the client first, the server once it waits."""

import queue
import signal
import subprocess
import threading
from collections.abc import Callable

from scripts.common import say, start

Processes = list["subprocess.Popen[str]"]
Commands = tuple[list[str], list[str]]

# What the client logs while there is no server.
WAITS = " INFO waiting for "
# Seconds after which the server starts anyway: LOG_LEVEL may hide that the client waits.
PATIENCE = 4.0


class Pair:
    """Client and server, whose output is shown line by line.

    From its creation on the first signal is only noted, and ``play`` acts on it, so that nothing is
    left half-done. A second Ctrl-C ends the program at once.
    """

    def __init__(self) -> None:
        # "client", "server" and an exit code; "signal" and its number; WAITS.
        self._events: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        self._processes: Processes = []
        self._readers: list[threading.Thread] = []
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: object) -> None:
        self._events.put(("signal", number))
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def play(self, create: Callable[[], Commands], stop: Callable[[Processes], object]) -> int:
        """Run both until one ends or a signal comes, stop the rest, say and return the result."""
        try:
            who, code = self._run(*create())
        finally:
            stop(self._processes)
        for reader in self._readers:
            reader.join()
        if who == "signal":
            say("interrupted; nothing is left running")
            return 128 + code
        if who == "server":
            say(f"the server ended before the client with exit code {code}: see its log above")
            return code or 1
        meaning = "see its log above" if code else "all went well"
        say(f"the client ended with exit code {code}: {meaning}")
        return code

    def _run(self, client: list[str], server: list[str]) -> tuple[str, int]:
        say("starting the client; the server follows once the client waits")
        self._start("client", client)
        try:
            who, code = self._events.get(timeout=PATIENCE)
        except queue.Empty:
            who, code = WAITS, 0
        if who == WAITS:
            self._start("server", server)
            while who == WAITS:
                who, code = self._events.get()
        return who, code

    def _start(self, name: str, command: list[str]) -> None:
        # Ctrl-C goes to this program alone, which stops the two in its own way.
        process = start(*command, start_new_session=True)
        self._processes.append(process)
        reader = threading.Thread(target=self._read, args=(name, process), daemon=True)
        self._readers.append(reader)
        reader.start()

    def _read(self, name: str, process: "subprocess.Popen[str]") -> None:
        for line in process.stdout or ():
            say(f"{name} | {line.rstrip()}")
            if WAITS in line:
                self._events.put((WAITS, 0))
        code = process.wait()
        # Counted as Docker and shells do if a signal ended it.
        self._events.put((name, code if code >= 0 else 128 - code))
