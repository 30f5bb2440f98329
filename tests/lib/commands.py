"""The commands that a reader may paste from the documents, and what each needs to run."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tests.lib.documents import DOCUMENTS, Document


class Command(NamedTuple):
    """A block of shell, or a command in a cell of a table.

    ``shown`` is the output that the document has below it; ``setup`` the blocks before it that
    define functions of the shell.
    """

    text: str
    shown: str = ""
    setup: str = ""


# What cannot be run as it stands, by a pattern in it, and why.
EXCEPTIONS = {
    r"git clone|OWNER": "nobody knows whose repository a reader clones",
    r"docker swarm|docker save": "needs a Swarm: the hosts of the Swarm tests begin so",
    r"docker network create|deploy/overlay\.yml|fleet-check": "needs a Swarm: its tests run it",
    r"docs/comparison\.py": "takes minutes and writes the document",
    r"# Redis|SERVER_PROTOCOL=": "needs a service: the tests of services run it",
    r"\bwsl\b|explorer\.exe|apt(?:-get)? install": "needs Windows, or changes the host",
    r"\bscp\b|\bssh\b": "needs a second host",
}

# Where each of the others is run, by a pattern in it; the first that fits.
SURROUNDINGS = {
    "two hosts": r"tcp-pair\.pyz|^(?:ss|ip) ",  # tests of the network, as root
    "docker": r"\bdocker\b|\bmake (?:run|up|packets|down|logs)\b",
    "loopback": r"docs/twenty_lines|-m app\.|\bmake (?:demo|dist)\b|^start\(\)",
}

_TYPED = re.compile(r"(?:[A-Z_]+=\S+ )*(?:python3|docker|make|git|ss|ip|curl|sudo) .+")


def surroundings(command: Command) -> str:
    """Return where a command is run, or why it is not."""
    excepted = [why for pattern, why in EXCEPTIONS.items() if re.search(pattern, command.text)]
    places = [place for place, what in SURROUNDINGS.items() if re.search(what, command.text)]
    return next(iter(excepted + places), "")


def commands(document: Document) -> list[Command]:
    """Return the commands of a document, in their order."""
    found, setup = [], ""
    for (kind, text), below in pairwise([*document.fences, ("", "")]):
        if kind == "sh":
            shown = below[1] if below[0] == "text" else ""
            found.append(Command(text, shown, setup))
            if re.search(r"(?m)^\w+\(\) \{", text):
                setup += text
    # The tables of the benchmark name what was measured.
    tables = [] if document.name.startswith("bench/") else document.tables
    cells = [cell for table in tables for row in table for cell in row]
    spans = [span for cell in cells for span in re.findall(r"`(.+?)`", cell)]
    return found + [Command(span) for span in spans if _TYPED.fullmatch(span)]


# Each once: both languages have the same.
COMMANDS = {
    command.text: command for document in DOCUMENTS.values() for command in commands(document)
}


def commands_for(place: str) -> list[Command]:
    """Return the commands that are run there."""
    return [command for command in COMMANDS.values() if surroundings(command) == place]


@contextmanager
def pasted(text: str, folder: Path, *prefix: str, **env: str) -> Iterator["subprocess.Popen[str]"]:
    """Paste a command into bash in a folder, and end what is left of it."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
    with subprocess.Popen(
        [*prefix, "bash", "-c", text],
        cwd=folder,
        env=env | {"PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def shape(output: str) -> str:
    """Return an output without the times and addresses, and what newer shells say of a kill."""
    output = re.sub(r"(?m)^.*: line \d+: +\d+ Killed .*\n", "", output)
    output = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z|\d+\.\d+ m?s\b", "TIME", output)
    return re.sub(r"\d+\.\d+\.\d+\.\d+(?::\d+)?", "ADDRESS", output)
