"""How a program is called, for those who ask with --help or give another argument."""

import sys

from . import __version__
from .config import ClientConfig, Environment, ServerConfig
from .log import STDERR, STDOUT, write

EXIT_USAGE = 64  # EX_USAGE of sysexits.h


def usage(program: str, config: type[ServerConfig | ClientConfig]) -> int:
    """Answer the arguments of a program that reads this configuration; return its exit code."""
    env = Environment({})
    config(env)
    command = sys.argv[0]
    if command.endswith(".py"):
        command = f"python3 -m {__package__}.{program}"
    text = f"{command} [--help | --version]\n\nEnvironment variables:\n"
    for name, (default, meaning) in env.asked.items():
        text += f"  {f'{name}={default}'.removesuffix('='):<28}  {meaning}\n"
    if config is ClientConfig:
        from .services import NAMES, SERVICES  # main imports it first

        text += f"\nSERVER_PROTOCOL sets {', '.join(NAMES)}:\n  {', '.join(SERVICES)}\n"
    return answer(text)


def answer(text: str) -> int:
    """Write the version or this usage; return the exit code: 64 for what nobody has asked for."""
    stream, code = STDOUT, 0
    if sys.argv[1:] == ["--version"]:
        text = f"tcp-pair {__version__}\n"
    else:
        text = f"usage: {text}"
        if sys.argv[1:] != ["--help"]:
            stream, code = STDERR, EXIT_USAGE
    try:
        write(stream, text)
    except OSError:
        pass  # nobody reads it
    return code
