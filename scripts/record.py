"""Record `make run` as an SVG: its lines appear as they did, with shorter pauses, and stay."""

import os
import signal
import subprocess
import time
from pathlib import Path
from xml.sax.saxutils import escape

from scripts.common import Problem, end_with, say

PICTURE = Path("docs/run.svg")
COMMAND = "make run"

# The longest pause in seconds, however long it was.
PAUSE = 1.0

# In pixels. The width of a character is imposed, since nobody knows which font there will be.
SIZE, CHARACTER, LINE, MARGIN = 13, 7.8, 20, 16

STYLE = f"""
svg {{ background: #fff; font: {SIZE}px ui-monospace, Menlo, Consolas, monospace }}
text {{ fill: #1f2328; white-space: pre; animation: later step-end }}
.client {{ fill: #0550ae }} .server {{ fill: #116329 }}
@keyframes later {{ from, to {{ opacity: 0 }} }}
@media (prefers-color-scheme: dark) {{
  svg {{ background: #0d1117 }} text {{ fill: #e6edf3 }}
  .client {{ fill: #79c0ff }} .server {{ fill: #7ee787 }}
}}
@media (prefers-reduced-motion) {{ text {{ animation: none }} }}
"""


def record() -> list[tuple[float, str]]:
    """Run the command, show what it says; return that, each line with its second."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    lines, started = [(0.0, f"$ {COMMAND}")], time.monotonic()
    with subprocess.Popen(COMMAND.split(), env=environ, stdout=subprocess.PIPE, text=True) as run:
        for line in run.stdout or ():
            say(line.rstrip("\n"))
            lines.append((time.monotonic() - started, line.rstrip("\n")))
    if run.returncode:
        raise Problem(f"{COMMAND} failed: there is no new picture.")
    return lines


def draw(lines: list[tuple[float, str]]) -> str:
    """Return the picture."""
    width = 2 * MARGIN + max(len(line) for _, line in lines) * CHARACTER
    height = 2 * MARGIN + len(lines) * LINE
    texts, shown_at, before = "", 0.0, 0.0
    for number, (second, line) in enumerate(lines, 1):
        shown_at, before = shown_at + min(second - before, PAUSE), second
        who = line.partition(" | ")[0]
        kind = f' class="{who}"' if who in {"client", "server"} else ""
        texts += (
            f'<text x="{MARGIN}" y="{MARGIN + number * LINE - 6}"{kind}'
            f' textLength="{len(line) * CHARACTER:.1f}" lengthAdjust="spacingAndGlyphs"'
            f' style="animation-duration: {shown_at:.2f}s">{escape(line)}</text>\n'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}"'
        f' width="{width:.0f}" height="{height}" role="img" xml:space="preserve">\n'
        f"<title>{COMMAND}</title>\n<style>{STYLE}</style>\n{texts}</svg>\n"
    )


def main() -> int:
    # Ctrl-C goes to the command too, whose last words are that it has left nothing running.
    signal.signal(signal.SIGINT, lambda *_: None)
    PICTURE.write_text(draw(record()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    end_with(main)
