"""The three programs as one command: ``tcp-pair client``, or ``python3 tcp-pair.pyz client``."""

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
    program = sys.argv[1] if len(sys.argv) > 1 else ""
    if program not in PROGRAMS:
        from .usage import answer

        return answer(f"{command} {'|'.join(PROGRAMS)} [--help | --version]\n")
    sys.argv[:2] = [f"{command} {program}"]
    # Late, and only the one: each takes a while to import.
    code: int = import_module(f".{program}", __package__).main()
    return code


if __name__ == "__main__":
    sys.exit(main())
