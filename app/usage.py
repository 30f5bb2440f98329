"""How a program is called: for --help, and for any other argument."""

import sys
from contextlib import suppress

from . import __version__
from .config import ClientConfig, Environment, ServerConfig
from .log import STDERR, STDOUT, write

EXIT_USAGE = 64  # EX_USAGE of sysexits.h


def usage(program: str, config: type[ServerConfig | ClientConfig], note: str = "") -> int:
    """Answer the arguments of a program that reads this configuration; return its exit code."""
    env = Environment({})
    config(env)
    is_module = sys.argv[0].endswith(".py")
    command = f"python3 -m {__package__}.{program}" if is_module else sys.argv[0]
    text = f"{command} [--help | --version]\n\nEnvironment variables:\n"
    for name, (default, meaning) in env.asked.items():
        text += f"  {f'{name}={default}'.removesuffix('='):<28}  {meaning}\n"
    return answer(text + note)


def answer(text: str) -> int:
    """Write the version or this usage; return the exit code: 64 for an unknown argument."""
    is_asked = sys.argv[1:] in (["--help"], ["--version"])
    text = f"tcp-pair {__version__}\n" if sys.argv[1:] == ["--version"] else f"usage: {text}"
    with suppress(OSError):  # nobody reads it
        write(STDOUT if is_asked else STDERR, text)
    return 0 if is_asked else EXIT_USAGE
