"""The three programs as one command: ``tcp-pair client``, or ``python3 tcp-pair.pyz client``."""

# What is below runs in Python 3.6 too, to say that it is too old.
import os
import sys
from importlib import import_module

PROGRAMS = ("client", "server", "healthcheck")


def main() -> int:
    name = os.path.basename(sys.argv[0])
    command = "tcp-pair"
    if name.endswith(".pyz"):
        command = f"python3 {name}"
    elif name == "__main__.py":
        command = f"python3 -m {__package__}"
    if sys.version_info < (3, 11):  # noqa: UP036 - a user may have it
        sys.exit(f"{command} needs Python 3.11 or later; this is {sys.version.split()[0]}")
    program = sys.argv[1] if len(sys.argv) > 1 else ""
    if program not in PROGRAMS:
        usage = f"{command} {'|'.join(PROGRAMS)} [--help | --version]\n"
        return int(import_module(".usage", __package__).answer(usage))
    sys.argv[:2] = [f"{command} {program}"]
    # Late, and only the one: each takes a while to import.
    return int(import_module(f".{program}", __package__).main())


if __name__ == "__main__":
    sys.exit(main())
