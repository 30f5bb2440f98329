"""Play the pair and explain every packet, or explain what an earlier run has kept."""

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory

from packets.decode import decode, read_pcap
from packets.page import Page
from packets.story import Row, Story, read_words
from scripts import run
from scripts.common import Problem, end_with, say
from scripts.pair import Commands, Pair, Processes

INTERRUPTED = {129, 130, 143}  # 128 and SIGHUP, SIGINT, SIGTERM: the run is not whole


def read_log(path: Path) -> Iterator[Row]:
    """Yield the lines of both logs."""
    text = path.read_text(encoding="utf-8")
    for side, stamp, line in re.findall(r"^(client|server)-\d+ +\| (\S+Z) (.*)", text, re.M):
        moment = datetime.fromisoformat(stamp).timestamp()  # when it came to Docker
        with suppress(ValueError):  # most lines name the millisecond themselves
            own = datetime.strptime(line[:24], "%Y-%m-%dT%H:%M:%S.%f%z")
            moment = min(moment, own.timestamp() + 0.001)
        yield Row(int(moment * 1e9), side, line)


def shown(row: Row, words: dict[str, str], width: int) -> str:
    """Return a row as one line, or with a width in its side's colour and half of a terminal."""
    ends = {"client": ("client", "server"), "server": ("server", "client"), "": ()}[row.side]
    names = [f"{words[end]} {row.states.get(end, '')}".strip() for end in ends]
    text = "  ".join(filter(None, (" → ".join(names), row.tag, row.text)))
    text = text if row.packet else f"{names[0] if names else '...'} | {row.text}"
    if not width:
        return f"{words['packet']} | {row.clock()} +{row.since:.6f} {text}" if row.packet else text
    color, at = {"client": (34, 0), "server": (32, width // 2), "": (33, width // 4)}[row.side]
    lines = textwrap.wrap(text, width // 2 - 2, subsequent_indent="    ")
    return "\n".join(f"{' ' * at}\033[{color}m{line}\033[0m" for line in lines)


def explain(pcap: Path, kept: Path, words: dict[str, str], why: str = "") -> None:
    """Tell what a capture and its log show; save them with their page, unless it says why not."""
    try:
        captured = list(read_pcap(pcap))
    except ValueError:
        raise Problem(words["not_a_capture"].format(path=pcap)) from None
    width = shutil.get_terminal_size().columns
    width *= width >= 80 and sys.stdout.isatty() and "NO_COLOR" not in os.environ
    seen = [Row(moment, packet=decode(data, length)) for moment, data, length in captured]
    rows = list(Story(words).tell([*seen, *read_log(pcap.with_suffix(".log"))]))
    say(f"\n{words['title']}:")
    for row in rows:
        say(shown(row, words, width))
    pcap.with_suffix(".html").write_text(Page(words, kept.parent).make(rows), encoding="utf-8")
    try:
        for end in (".pcap", ".log", ".html") * (kept != pcap and not why):
            shutil.copyfile(pcap.with_suffix(end), kept.with_suffix(end))
    except OSError as error:
        why = f"{error.filename2 or error.filename}: {error.strerror}"
    said, page = words["not_kept" if why else "kept"], kept.with_suffix(".html")
    say(said.format(n=len(seen), page=page, pcap=kept, why=why))


def play(pcap: Path, words: dict[str, str]) -> int:
    """Play the pair, its packets captured from before its client starts until both have ended."""
    capture: list[Popen[str]] = []

    def create() -> Commands:
        here, usual = Path(__file__).parent, ("docker-compose.yml", "docker-compose.override.yml")
        files = os.environ.get("COMPOSE_FILE") or os.pathsep.join(filter(os.path.exists, usual))
        os.environ["CAPTURE"] = (here / "capture.py").read_text(encoding="utf-8")
        # By a relative path, since a folder may have the separator in its name.
        os.environ["COMPOSE_FILE"] = files + os.pathsep + os.path.relpath(here / "compose.yml")
        try:
            commands = run.create()
            container = run.compose("ps", "--all", "--quiet", "capture")
            start = ["docker", "start", "--attach", container]
            with pcap.open("wb") as file:
                # In a session of its own it is out of reach of Ctrl-C.
                process = Popen(start, stdout=file, stderr=PIPE, text=True, start_new_session=True)
            if (said := process.stderr.readline() if process.stderr else "") != "ready\n":
                raise Problem(said.strip())
            capture.append(process)
        except (Problem, OSError) as problem:
            say(words["no_capture"].format(why=problem))
            run.compose("down")
            os.environ["COMPOSE_FILE"] = files
            commands = run.create()
        return commands

    def stop(_: Processes) -> None:
        if not capture:
            run.compose("down")
            return
        run.compose("stop", "client", "server")
        log = run.compose("--ansi=never", "logs", "--timestamps", "client", "server")
        run.compose("down")
        capture[0].wait()
        pcap.with_suffix(".log").write_text(log.replace("\033[2K", "") + "\n", encoding="utf-8")

    return run.once(lambda: Pair().play(create, stop))


def main() -> int:
    words = read_words()
    try:
        if sys.argv[1:]:
            explain(Path(sys.argv[1]), Path(sys.argv[1]), words)
            return 0
        with TemporaryDirectory() as folder:
            pcap, kept = Path(folder, "packets.pcap"), Path("packets.pcap")
            code = play(pcap, words)
            if pcap.with_suffix(".log").exists():
                explain(pcap, kept, words, words["interrupted"] * (code in INTERRUPTED))
            return code
    except OSError as error:
        raise Problem(f"{error.filename}: {error.strerror}") from None


if __name__ == "__main__":
    end_with(main)
