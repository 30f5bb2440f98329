"""What all scripts share: how they speak, and how they end."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn


class Problem(Exception):
    """Something that the user has to change or to know; the text says what."""


def say(line: str) -> None:
    """Print a line at once; where nobody reads any more (``| head``), the rest goes on."""
    try:
        print(line, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def end_with(main: Callable[[], int]) -> NoReturn:
    """Exit with what main returns; a problem is told on stderr, and Ctrl-C has no traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        sys.exit(main())
    except Problem as problem:
        sys.exit(str(problem))


def take_from_debian(script: str, *arguments: str) -> None:
    """Run a script of without_registry. Raises Problem with what it says on stderr."""
    command = [str(Path(__file__).parent / "without_registry" / script), *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise Problem(done.stderr.decode(errors="backslashreplace").strip())
