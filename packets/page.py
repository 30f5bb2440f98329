"""Make one self-contained page: both hosts, their logs, and packets that open to their fields."""

from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template

from packets.decode import Field, Packet
from packets.story import Row, clock


def page(rows: Iterable[Row], words: dict[str, str]) -> str:
    """Return the page."""
    shown = ""
    for row in rows:
        shown += f'<div class="row {row.side or "note"}"><time>{clock(row.moment)}</time>'
        text = escape(row.text)
        if row.packet:
            shown += f"<div><details><summary><b>{row.tag}</b><i></i>"
            shown += (
                f"<span>{text}</span></summary>{inside(row.packet, words)}</details></div></div>\n"
            )
        else:
            shown += f"<p>{text}</p><div></div></div>\n"
    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    return Template(template).substitute(words | {"rows": shown})


def inside(packet: Packet, words: dict[str, str]) -> str:
    """Return a packet's bytes, and its fields in the colours that those have."""
    raws, lines, hue = "", "", 0
    rest = {"": {"data": Field(packet.payload, 0, "")}} if packet.payload else {}
    for kind, fields in (packet.headers | rest).items():
        lines += f"<tr><th colspan=3>{kind}</th></tr>"
        for name, field in fields.items():
            hue += 47  # degrees: neighbours differ
            raw, color, key = field.raw.hex(" "), f'style="--hue: {hue}"', f"{kind} {name}".strip()
            raws += f"<span {color}>{raw}</span> "
            lines += f"<tr><td {color}>{name}</td><td>{raw}</td>"
            lines += f"<td><b>{field.text}</b> {words[key]}</td></tr>"
    return f"<section><pre>{raws}</pre><table>{lines}</table></section>"
