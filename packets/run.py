"""Play the pair and explain every packet; keep packets.pcap, packets.log and packets.html.

Given a pcap that was kept so, with its log beside it, explain that one again.
"""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from datetime import datetime, timedelta
from operator import itemgetter
from pathlib import Path

from packets.decode import HEADER, decode, read_pcap
from packets.page import page
from packets.story import Row, Story, clock, read_words
from scripts import run
from scripts.common import Problem, end_with, say
from scripts.pair import Commands, Pair, Processes

KEPT = Path("packets.pcap")
LEFT = "containers may be left: docker compose down --remove-orphans"


def language() -> str:
    """Choose the words: by LANGUAGE, or else the locale."""
    names = (os.environ.get(name) for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"))
    return "pt" if next(filter(None, names), "").startswith("pt") else "en"


def written(stamp: str, line: str) -> int:
    """Return when a line was written: Docker says when it came, most lines in which millisecond."""
    own = line.partition(" ")[0]
    moments = [datetime.fromisoformat(stamp)]
    if re.fullmatch(r"\S+T\S+Z", own):
        moments.append(datetime.fromisoformat(own) + timedelta(milliseconds=1))
    return int(min(moments).timestamp() * 1e6) * 1000


def show(row: Row, width: int) -> None:
    """Print a row: a colour and a column for each side, or plainly where there is no width."""
    text = f"{row.tag}  {row.text}" if row.packet else row.text
    if not width:
        way = {"client": "client → server  ", "server": "server → client  "}.get(row.side, "")
        say(
            (f"packet | {clock(row.moment)} {way}" if row.packet else f"{row.side or '...'} | ")
            + text
        )
        return
    color, column = {"client": (34, 0), "server": (32, width // 2)}.get(row.side, (33, width // 4))
    arrow = {"client": "──▶ ", "server": "◀── "}.get(row.side, "") if row.packet else ""
    for line in textwrap.wrap(arrow + text, width // 2 - 2, subsequent_indent="    "):
        say(f"{' ' * column}\033[{color}m{line}\033[0m")


def explain(pcap: Path) -> None:
    """Tell what is in a capture and in the log beside it, in the order of time; make the page."""
    words = read_words(language())
    with pcap.open("rb") as file:
        if file.read(len(HEADER)) != HEADER:
            raise Problem(f"{pcap} is not a capture of make packets.")
        seen = [(moment, "", decode(data, length)) for moment, data, length in read_pcap(file)]
    log = pcap.with_suffix(".log").read_text(encoding="utf-8")
    said = [
        (written(stamp, line), side, line)
        for side, stamp, line in re.findall(r"^(client|server)-\d+ +\| (\S+Z) (.*)", log, re.M)
    ]
    story, width = Story(words), shutil.get_terminal_size().columns
    for moment, side, thing in sorted([*seen, *said], key=itemgetter(0)):
        story.tell(moment, side, thing)
    plain = "NO_COLOR" in os.environ or not sys.stdout.isatty() or width < 80
    say(f"\n{words['title']}:")
    for row in story.rows:
        show(row, 0 if plain else width)
    html = pcap.with_suffix(".html")
    html.write_text(page(story.rows, words), encoding="utf-8")
    say(words["kept"].format(n=len(seen), pcap=pcap, page=html))


class Capture:
    """Has the packets of a pair captured from before its client starts until both have ended."""

    _process: subprocess.Popen[str] | None = None

    def create(self) -> Commands:
        """Create the containers and start to capture; where that cannot be, say so, do without."""
        here, usual = Path(__file__).parent, ("docker-compose.yml", "docker-compose.override.yml")
        files = os.environ.get("COMPOSE_FILE") or os.pathsep.join(filter(os.path.exists, usual))
        os.environ["CAPTURE"] = (here / "capture.py").read_text(encoding="utf-8")
        os.environ["COMPOSE_FILE"] = f"{files}{os.pathsep}{here / 'compose.yml'}"
        try:
            commands = run.create()
            self._start(run.compose("ps", "--all", "--quiet", "capture"))
        except Problem as problem:
            say(read_words(language())["no_capture"].format(why=problem))
            run.down([])
            KEPT.unlink(missing_ok=True)
            os.environ["COMPOSE_FILE"] = files
            commands = run.create()
        return commands

    def _start(self, container: str) -> None:
        with KEPT.open("wb") as file:
            process = subprocess.Popen(
                ["docker", "start", "--attach", container],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,  # out of reach of Ctrl-C
            )
        assert process.stderr
        if (said := process.stderr.readline()) != "ready\n":
            raise Problem(said.strip())
        self._process = process

    def stop(self, processes: Processes) -> None:
        """End the pair, then the capture, and explain it."""
        if self._process:
            run.compose("stop", "client", "server")
            log = run.compose("--ansi=never", "logs", "--timestamps", "client", "server")
            KEPT.with_suffix(".log").write_text(log.replace("\033[2K", "") + "\n", encoding="utf-8")
        run.down(processes)
        if self._process:
            self._process.wait()
            explain(KEPT)

    def play(self) -> int:
        """Play the pair once; return the client's exit code."""
        try:
            return Pair(LEFT).play(self.create, self.stop)
        finally:
            if self._process:
                self._process.kill()


def main() -> int:
    if len(sys.argv) > 1:
        try:
            explain(Path(sys.argv[1]))
        except OSError as error:
            raise Problem(f"{error.filename}: {error.strerror}") from None
        return 0
    return run.once(Capture().play)


if __name__ == "__main__":
    end_with(main)
