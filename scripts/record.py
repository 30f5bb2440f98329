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


def draw(lines: list[tuple[float, str]]) -> str:
    """Return the picture of lines, each with its second; longer pauses last PAUSE."""
    width = round(2 * MARGIN + max(len(line) for _, line in lines) * CHARACTER)
    height = 2 * MARGIN + len(lines) * LINE
    texts, shown_at, before = "", 0.0, 0.0
    for number, (second, line) in enumerate(lines, 1):
        shown_at, before = shown_at + min(second - before, PAUSE), second
        who, length, text = line.partition(" | ")[0], len(line) * CHARACTER, escape(line)
        kind, y = f' class="{who}"' * (who in {"client", "server"}), MARGIN + number * LINE - 6
        texts += TEXT.format(x=MARGIN, y=y, kind=kind, width=length, second=shown_at, text=text)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" role="img" xml:space="preserve">\n<title>make run</title>\n'
        f"<style>{STYLE}</style>\n{texts}</svg>\n"
    )


def main() -> int:
    # Ctrl-C goes to the command too, whose last words are that it has left nothing running.
    signal.signal(signal.SIGINT, lambda *_: None)
    lines, began = [(0.0, "$ make run")], time.monotonic()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    with start("make", "run", env=environ) as run:
        for line in run.stdout or ():
            say(line.rstrip("\n"))
            lines.append((time.monotonic() - began, line.rstrip("\n")))
    if run.returncode:
        raise Problem("make run failed: there is no new picture.")
    Path("docs/run.svg").write_text(draw(lines), encoding="utf-8")
    return 0


if __name__ == "__main__":
    end_with(main)
