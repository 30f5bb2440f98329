"""Make one self-contained page: both hosts, their logs, and packets that open to their fields."""

import os
from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template

from packets.decode import Packet
from packets.story import Row

ROOT = Path(__file__).parents[1]
# The calls of app/ behind packets, each found by a text that stands on one line of its file only.
CALLS = {
    "client connect": ("app/exchange.py", "sock.connect("),
    "client send": ("app/exchange.py", "sock.sendall("),
    "client recv": ("app/exchange.py", "sock.recv("),
    "client end": ("app/client.py", "close("),
    "server accept": ("app/server.py", "_listener.accept("),
    "server recv": ("app/server.py", ".recv_into("),
    "server send": ("app/server.py", "sock.send("),
    "server close": ("app/server.py", '"closed by the peer"'),
}


class Page:
    """The page of a capture, for a folder: if that is in the project, it links to the source."""

    def __init__(self, words: dict[str, str], folder: Path) -> None:
        self._words = words
        self.calls = {"": ""}
        beside = folder.resolve().is_relative_to(ROOT)
        for name, (path, text) in CALLS.items():
            source = ROOT / path
            lines = source.read_text(encoding="utf-8").splitlines() if source.exists() else []
            found = [number for number, line in enumerate(lines) if text in line]
            if len(found) == 1:  # otherwise it is left out
                place, link = f"{path}:{found[0] + 1}", os.path.relpath(source, folder)
                place = f'<a href="{link}">{place}</a>' if beside else place
                code = escape(lines[found[0]].strip())
                self.calls[name] = f"<code>{code}</code> <small>{place}</small>"

    def make(self, rows: Iterable[Row]) -> str:
        """Return the page."""
        template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
        return Template(template).substitute(self._words | {"rows": "".join(map(self._row, rows))})

    def _row(self, row: Row) -> str:
        kind = row.side or ("gap" if row.since else "note")
        text = escape(row.text) if kind == "gap" else f'<span class="x">{escape(row.text)}</span>'
        time = f"<time>{row.clock()}</time>"
        cells = {side: self._beside(row, side) for side in ("client", "server")}
        if row.packet:
            time += f"<small>+{row.since:.6f} s</small>"
            arrow = f'<span class="arrow"><b>{escape(row.tag)}</b><i></i></span>'
            summary = f'<summary>{arrow}<span class="text">{text}</span>'
            section = f"<section>{self._inside(row.packet)}</section>"
            text = f'<details class="packet">{summary}</summary>{section}</details>'
        elif row.side:
            cells[row.side] += f'<div class="log">{escape(row.text)}</div>'
            text = ""
        for one, answer in row.questions:
            question = f"<summary>{escape(one)}</summary><p>{escape(answer)}"
            text += f'<details class="ask">{question}</details>'
        cells |= {"time": time, "ladder": text or " "}
        divs = [f'<div class="{name}">{cell}</div>' for name, cell in cells.items() if cell]
        return f'<div class="row {kind}">{"".join(divs)}</div>\n'

    def _beside(self, row: Row, side: str) -> str:
        state, call = row.states.get(side), row.calls.get(side)
        shown = f'<kbd><span class="x">{state}</span></kbd>' if state else ""
        if call in self.calls:
            how = "completes" if side != row.side else "sent" if call else "by_kernel"
            how = f"<small>{self._words.get(call, self._words[how])}</small> {self.calls[call]}"
            shown += f'<div class="call"><span class="x">{how}</span></div>'
        return shown

    def _inside(self, packet: Packet) -> str:
        raws = lines = ""
        fields = [(name, field) for name, field in packet.fields.items() if field.raw]
        for number, (name, field) in enumerate(fields):
            raw, color = field.raw.hex(" "), f'style="--hue: {47 * number}"'  # neighbours differ
            raws += f"<span {color}>{raw}</span> "
            why = self._words.get(name + " wrong" * packet.wrong, self._words.get(name, ""))
            text = f'<b>{field.text}</b> <span class="x">{why}</span>'
            lines += f"<tr><td {color}>{name}<td>{raw}<td>{text}"
        return f"<code>{raws}</code><table>{lines}</table>"
