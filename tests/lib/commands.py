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
    """A shell block, or a command in a table cell.

    ``shown`` is the output below it in the document; ``setup`` is the earlier blocks that define
    shell functions.
    """

    text: str
    shown: str = ""
    setup: str = ""


# Commands that no test runs as they are, by a pattern in the command, and the reason.
EXCEPTIONS = {
    r"git clone|OWNER": "nobody knows whose repository a reader clones",
    r"docker swarm|docker save": "needs a Swarm: the hosts of the Swarm tests begin so",
    r"docker network create|deploy/overlay\.yml|fleet-check": "needs a Swarm: its tests run it",
    r"docs/comparison\.py": "takes minutes and writes the document",
    r"# Redis|SERVER_PROTOCOL=": "needs a service: the tests of services run it",
    r"\bwsl\b|explorer\.exe|apt(?:-get)? install": "needs Windows, or changes the host",
    r"\bscp\b|\bssh\b": "needs a second host",
}

# The place where a test runs a command, by a pattern in the command; the first match counts.
SURROUNDINGS = {
    "two hosts": r"tcp-pair\.pyz|^(?:ss|ip) ",  # network tests, as root
    "docker": r"\bdocker\b|\bmake (?:run|up|packets|down|logs)\b",
    "loopback": r"docs/twenty_lines|-m app\.|\bmake (?:demo|dist)\b|^start\(\)",
}

_TYPED = re.compile(r"(?:[A-Z_]+=\S+ )*(?:python3|docker|make|git|ss|ip|curl|sudo) .+")


def surroundings(command: Command) -> str:
    """Return where a test runs a command, or why no test runs it."""
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
    # In the tables of the benchmark, code is the name of a measurement.
    tables = [] if document.name.startswith("bench/") else document.tables
    cells = [cell for table in tables for row in table for cell in row]
    spans = [span for cell in cells for span in re.findall(r"`(.+?)`", cell)]
    return found + [Command(span) for span in spans if _TYPED.fullmatch(span)]


# Each command once, because both languages have the same commands.
COMMANDS = {
    command.text: command for document in DOCUMENTS.values() for command in commands(document)
}


def commands_for(place: str) -> list[Command]:
    """Return the commands that tests run in this place."""
    return [command for command in COMMANDS.values() if surroundings(command) == place]


@contextmanager
def pasted(text: str, folder: Path, *prefix: str, **env: str) -> Iterator["subprocess.Popen[str]"]:
    """Paste a command into bash in a folder, and kill what is left of it at the end."""
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
    """Return an output without times, addresses and a shell's messages about killed jobs."""
    output = re.sub(r"(?m)^.*: line \d+: +\d+ Killed .*\n", "", output)
    output = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z|\d+\.\d+ m?s\b", "TIME", output)
    return re.sub(r"\d+\.\d+\.\d+\.\d+(?::\d+)?", "ADDRESS", output)
