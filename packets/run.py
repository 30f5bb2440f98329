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

from packets.decode import decode, read_pcap
from packets.page import page
from packets.story import Row, Story, read_words
from scripts import run
from scripts.common import Problem, end_with, say
from scripts.pair import Commands, Pair, Processes

KEPT = Path("packets.pcap")
LEFT = "containers may be left: docker compose down --remove-orphans"


def read_log(path: Path) -> Iterator[Row]:
    """Yield the lines of both logs."""
    text = path.read_text(encoding="utf-8")
    for side, stamp, line in re.findall(r"^(client|server)-\d+ +\| (\S+Z) (.*)", text, re.M):
        moment = datetime.fromisoformat(stamp).timestamp()  # when it came to Docker
        with suppress(ValueError):  # most lines name the millisecond themselves
            own = datetime.strptime(line[:24], "%Y-%m-%dT%H:%M:%S.%f%z")
            moment = min(moment, own.timestamp() + 0.001)
        yield Row(int(moment * 1e9), side, line)


def plain(row: Row) -> str:
    """Return a row as one line."""
    if not row.packet:
        return f"{row.side or '...'} | {row.text}"
    way = {"client": "client → server  ", "server": "server → client  "}.get(row.side, "")
    return f"packet | {row.clock()} {way}{row.tag}  {row.text}"


def in_columns(row: Row, width: int) -> str:
    """Return a row as lines in its side's colour and half of a terminal."""
    color, column = {"client": (34, 0), "server": (32, width // 2)}.get(row.side, (33, width // 4))
    arrow = {"client": "──▶ ", "server": "◀── "}.get(row.side, "")
    text = f"{arrow}{row.tag}  {row.text}" if row.packet else row.text
    lines = textwrap.wrap(text, width // 2 - 2, subsequent_indent="    ")
    return "\n".join(f"{' ' * column}\033[{color}m{line}\033[0m" for line in lines)


def explain(pcap: Path) -> None:
    """Tell what is in a capture and in the log beside it, in the order of time; make the page."""
    words, width = read_words(), shutil.get_terminal_size().columns
    columns = width >= 80 and sys.stdout.isatty() and "NO_COLOR" not in os.environ
    seen = [Row(moment, packet=decode(data, length)) for moment, data, length in read_pcap(pcap)]
    rows = list(Story(words).tell([*seen, *read_log(pcap.with_suffix(".log"))]))
    say(f"\n{words['title']}:")
    for row in rows:
        say(in_columns(row, width) if columns else plain(row))
    html = pcap.with_suffix(".html")
    html.write_text(page(rows, words), encoding="utf-8")
    say(words["kept"].format(n=len(seen), pcap=pcap, page=html))


class Capture:
    """Has the packets of a pair captured from before its client starts until both have ended."""

    _process: Popen[str] | None = None

    def create(self) -> Commands:
        """Create the containers and start to capture; where that cannot be, say so, do without."""
        here, usual = Path(__file__).parent, ("docker-compose.yml", "docker-compose.override.yml")
        files = os.environ.get("COMPOSE_FILE") or os.pathsep.join(filter(os.path.exists, usual))
        os.environ["CAPTURE"] = (here / "capture.py").read_text(encoding="utf-8")
        os.environ["COMPOSE_FILE"] = f"{files}{os.pathsep}{here / 'compose.yml'}"
        try:
            commands = run.create()
            self._start(run.compose("ps", "--all", "--quiet", "capture"))
        except (Problem, OSError) as problem:
            say(read_words()["no_capture"].format(why=problem))
            run.down([])
            KEPT.unlink(missing_ok=True)
            os.environ["COMPOSE_FILE"] = files
            commands = run.create()
        return commands

    def _start(self, container: str) -> None:
        command = ["docker", "start", "--attach", container]
        with KEPT.open("wb") as file:
            # In a session of its own it is out of reach of Ctrl-C.
            process = Popen(command, stdout=file, stderr=PIPE, text=True, start_new_session=True)
        assert process.stderr
        if (said := process.stderr.readline()) != "ready\n":
            raise Problem(said.strip())
        self._process = process

    def stop(self, processes: Processes) -> None:
        """End the pair, then the capture, and explain it."""
        if not self._process:
            run.down(processes)
            return
        run.compose("stop", "client", "server")
        log = run.compose("--ansi=never", "logs", "--timestamps", "client", "server")
        run.down(processes)
        self._process.wait()
        KEPT.with_suffix(".log").write_text(log.replace("\033[2K", "") + "\n", encoding="utf-8")
        explain(KEPT)


def main() -> int:
    capture = Capture()
    try:
        if len(sys.argv) == 1:
            return run.once(lambda: Pair(LEFT).play(capture.create, capture.stop))
        explain(Path(sys.argv[1]))
        return 0
    except OSError as error:
        raise Problem(f"{error.filename}: {error.strerror}") from None


if __name__ == "__main__":
    end_with(main)
