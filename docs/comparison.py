"""Let each program that waits for a service wait for one that never becomes ready.

``python3 docs/comparison.py`` runs the waiters that it finds on the PATH, and writes their exit
codes into the table of docs/comparison.md. Everything else on that page stays as it is.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).with_suffix(".md")
SECONDS = 5  # that each waiter is given
MESSAGE, REPLY = "Testando conexão", "SERVER OK - STATUS 200"
UNKNOWN_NAME = "no-such-host.invalid"
Peer = Callable[[socket.socket], object]


class Waiter(NamedTuple):
    """A program, and how it is called; ``interpreter`` tells two of the same name apart."""

    name: str
    program: str
    command: str  # for a shell, with the program as $P
    version: str = "--version"
    interpreter: bytes = b""

    def path(self) -> str | None:
        """Find the program on the PATH."""
        for folder in os.environ["PATH"].split(os.pathsep):
            found = shutil.which(self.program, path=folder)
            if found and self.interpreter in Path(found).read_bytes().split(b"\n")[0]:
                return found
        return None


def repeated(condition: str) -> str:
    """Return a command that tries once a second until a condition is true."""
    return f"timeout {SECONDS} sh -c 'until {condition}; do sleep 1; done'"


ASKED_BY_NC = 'printf %s "$M" | $P -N -w 1 $H $N | grep -qx "$R"'
WAITERS = (
    Waiter("this client", os.path.basename(sys.executable), "exec $P -m app.client"),
    Waiter("wait-for-it.sh", "wait-for-it", f"$P -q -t {SECONDS} $H:$N", interpreter=b"bash"),
    Waiter("wait-for-it (PyPI)", "wait-for-it", f"$P -q -t {SECONDS} -s $H:$N", "-v", b"python"),
    Waiter("wait4x tcp", "wait4x", f"$P tcp $H:$N -q -t {SECONDS}s", "version"),
    Waiter("dockerize", "dockerize", f"$P -wait tcp://$H:$N -timeout {SECONDS}s", "-version"),
    Waiter("wait-port", "wait-port", f"$P -t {SECONDS}000 $H:$N"),
    Waiter("nc -z, repeated", "nc", repeated("$P -z $H $N"), "-h"),
    Waiter("nc, grep, repeated", "nc", repeated(ASKED_BY_NC), "-h"),
    Waiter("check_tcp", "check_tcp", f'$P -H $H -p $N -t {SECONDS} -s "$M" -e "$R"'),
)


def answer(text: str) -> Peer:
    """Return a peer that reads once, sends this text, and closes."""

    def serve(sock: socket.socket) -> None:
        if sock.recv(1024):
            sock.sendall(text.encode())

    return serve


# The peers in the order of the columns; None: nothing listens.
CASES: Mapping[str, Peer | None] = {
    "accepts, closes": lambda _: None,
    "accepts, is silent": lambda sock: sock.recv(1024) and sock.recv(1024),
    "wrong reply": answer("SERVER KO - STATUS 500"),
    "part of a reply": answer(REPLY[:9]),
    "nothing listens": None,
    "unknown name": None,
}
COLUMNS = ("waiter", *CASES, "version", "measured")


@contextmanager
def served(serve: Peer | None) -> Iterator[int]:
    """Serve one connection after the other like this, or never listen; yield the port."""

    def accept(serve: Peer) -> None:
        with suppress(OSError):  # shut down
            while True:
                sock, _ = listener.accept()
                with sock, suppress(OSError):  # the waiter has left
                    serve(sock)

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if serve:
            listener.listen()
            threading.Thread(target=accept, args=(serve,), daemon=True).start()
        yield listener.getsockname()[1]
        if serve:
            listener.shutdown(socket.SHUT_RDWR)


def exit_code(waiter: Waiter, path: str, host: str, port: int) -> int:
    """Let a waiter wait to its end."""
    target = {"P": path, "H": host, "N": str(port), "M": MESSAGE, "R": REPLY}
    ours = {"SERVER_HOST": host, "SERVER_PORT": str(port), "DEADLINE": str(SECONDS)}
    ended = subprocess.run(
        ["sh", "-c", waiter.command],
        env={"PATH": os.environ["PATH"]} | target | ours,
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    return ended.returncode


def measured(waiter: Waiter, path: str) -> list[str]:
    """Return a waiter's row, with its exit code in every case."""
    with served(answer(REPLY)) as port:
        assert exit_code(waiter, path, "127.0.0.1", port) == 0, "does not know the expected reply"
    codes = []
    for case, serve in CASES.items():
        with served(serve) as port:
            host = UNKNOWN_NAME if case == "unknown name" else "127.0.0.1"
            codes.append(str(exit_code(waiter, path, host, port) or "**0**"))
    asked = subprocess.run([path, waiter.version], capture_output=True, text=True, check=False)
    found = re.search(r"(Python )?\d+\.\d[\w.]*", asked.stdout + asked.stderr)
    return [waiter.name, *codes, found[0] if found else "", time.strftime("%Y-%m-%d")]


def cells(line: str) -> tuple[str, ...]:
    """Return the cells of a row of a Markdown table."""
    return tuple(cell.strip() for cell in line.strip("|").split("|"))


def replaced(page: str, rows: Mapping[str, list[str]]) -> str:
    """Return the page with these rows, by waiter, in the table that has our columns."""
    lines = page.splitlines()
    heads = [number for number, line in enumerate(lines) if cells(line) == COLUMNS]
    if len(heads) != 1:
        raise SystemExit(f"{PAGE}: {len(heads)} tables have the columns {' | '.join(COLUMNS)}")
    first = end = heads[0] + 2
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    there = {cells(line)[0]: line for line in lines[first:end]}
    there |= {name: f"| {' | '.join(row)} |" for name, row in rows.items()}
    lines[first:end] = there.values()
    return "\n".join(lines) + "\n"


def main() -> None:
    rows = {}
    for waiter in WAITERS:
        if path := waiter.path():
            rows[waiter.name] = measured(waiter, path)
            print(*rows[waiter.name], sep="  ")
    PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), rows), encoding="utf-8")


if __name__ == "__main__":
    main()
