"""Record `make run` as docs/run.svg: its lines appear as they did, with pauses cut short."""

import os
import signal
import time
from pathlib import Path
from xml.sax.saxutils import escape

from scripts.common import Problem, end_with, say, start

PAUSE = 1.0  # seconds, the longest that is shown

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
TEXT = (
    '<text x="{x}" y="{y}"{kind} textLength="{width:.1f}" lengthAdjust="spacingAndGlyphs"'
    ' style="animation-duration: {second:.2f}s">{text}</text>\n'
)


def main() -> int:
    # Ctrl-C goes to the command too, whose last words are that it has left nothing running.
    signal.signal(signal.SIGINT, lambda *_: None)
    lines, second, before = [(0.0, "$ make run")], 0.0, time.monotonic()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    with start("make", "run", env=environ) as run:
        for line in run.stdout or ():
            say(line.rstrip("\n"))
            second, before = second + min(time.monotonic() - before, PAUSE), time.monotonic()
            lines.append((second, line.rstrip("\n")))
    if run.returncode:
        raise Problem("make run failed: there is no new picture.")
    svg = ""
    for number, (second, line) in enumerate(lines, 1):
        who, y = line.partition(" | ")[0], MARGIN + number * LINE - 6
        kind = f' class="{who}"' if who in {"client", "server"} else ""
        width, text = len(line) * CHARACTER, escape(line)
        svg += TEXT.format(x=MARGIN, y=y, kind=kind, width=width, second=second, text=text)
    width = round(2 * MARGIN + max(len(line) for _, line in lines) * CHARACTER)
    height = 2 * MARGIN + len(lines) * LINE
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" role="img" xml:space="preserve">\n<title>make run</title>\n'
        f"<style>{STYLE}</style>\n{svg}</svg>\n"
    )
    Path("docs/run.svg").write_text(svg, encoding="utf-8")
    return 0


if __name__ == "__main__":
    end_with(main)
