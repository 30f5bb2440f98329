"""What all scripts share: how they speak, and how they end."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

# How output is read, in any locale; docker and the programs write UTF-8.
TEXT: dict[str, Any] = {
    "stdin": subprocess.DEVNULL,
    "encoding": "utf-8",
    "errors": "backslashreplace",
}


class Problem(Exception):
    """Something that the user has to change or to know; the text says what."""


def say(line: str) -> None:
    """Print a line at once. If nobody reads any more (``| head``), the script goes on."""
    try:
        print(f"{line}\n", end="", flush=True)  # whole, if several threads print
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def start(*command: str, **options: Any) -> "subprocess.Popen[str]":
    """Start a command whose output, that on stderr too, can be read as lines."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, **TEXT | pipes | options)


def end_with(main: Callable[[], int]) -> NoReturn:
    """Exit with what main returns. An error goes to stderr; Ctrl-C shows no traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if isinstance(sys.stdout, TextIOWrapper):  # None, if it was closed from the start
        sys.stdout.reconfigure(errors="backslashreplace")  # a locale may lack what logs contain
    try:
        sys.exit(main())
    except (Problem, OSError) as error:
        sys.exit(str(error))


def from_debian(*arguments: str) -> None:
    """Run from_debian.sh. Raises Problem with what it says on stderr."""
    command = [str(Path(__file__).parent / "from_debian.sh"), *arguments]
    done = subprocess.run(command, stderr=subprocess.PIPE, check=False, **TEXT)
    if done.returncode:
        raise Problem(done.stderr.strip())
