"""Make one self-contained page: both hosts, their logs, and packets that open to their fields."""

from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template

from packets.decode import Packet
from packets.story import Row


def page(rows: Iterable[Row], words: dict[str, str]) -> str:
    """Return the page."""
    shown = ""
    for row in rows:
        text = escape(row.text)
        inner = f"<p>{text}</p><div></div>"
        if row.packet:
            summary = f"<summary><b>{row.tag}</b><i></i><span>{text}</span></summary>"
            inner = f"<div><details>{summary}{inside(row.packet, words)}</details></div>"
        time = f"<time>{row.clock()}</time>"
        shown += f'<div class="row {row.side or "note"}">{time}{inner}</div>\n'
    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    return Template(template).substitute(words | {"rows": shown})


def inside(packet: Packet, words: dict[str, str]) -> str:
    """Return a packet's bytes, and its fields in the colours that those have."""
    raws = lines = ""
    fields = [(name, field) for name, field in packet.fields.items() if field.raw]
    for number, (name, field) in enumerate(fields):
        raw, color = field.raw.hex(" "), f'style="--hue: {47 * number}"'  # neighbours differ
        raws += f"<span {color}>{raw}</span> "
        lines += f"<tr><td {color}>{name}<td>{raw}<td><b>{field.text}</b> {words[name]}"
    return f"<section><p>{raws}</p><table>{lines}</table></section>"
