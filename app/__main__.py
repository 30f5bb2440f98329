"""The three programs as one command: ``tcp-pair client``, or ``python3 tcp-pair.pyz client``."""

# What is below runs in Python 3.6 too, to say that it is too old.
import os
import sys
from importlib import import_module

PROGRAMS = ("client", "server", "healthcheck")


def main() -> int:
    name = os.path.basename(sys.argv[0])
    command, package = "tcp-pair", __package__
    if name.endswith(".pyz"):
        command = f"python3 {name}"
    elif name == "__main__.py":
        command = f"python3 -m {package}"
    if sys.version_info < (3, 11):  # noqa: UP036 - a user may have it
        sys.exit(f"{command} needs Python 3.11 or later; this is {sys.version.split()[0]}")
    if not package:  # called as a folder: python3 app
        command = f"python3 {sys.argv[0]}"
        sys.path[0], package = os.path.split(os.path.abspath(sys.path[0]))
    program = sys.argv[1] if len(sys.argv) > 1 else ""
    if program not in PROGRAMS:
        usage = f"{command} {'|'.join(PROGRAMS)} [--help | --version]\n"
        return int(import_module(".usage", package).answer(usage))
    sys.argv[:2] = [f"{command} {program}"]
    # Late, and only the one: each takes a while to import.
    return int(import_module(f".{program}", package).main())


if __name__ == "__main__":
    sys.exit(main())
