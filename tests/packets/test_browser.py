"""The page in Chromium: wide and narrow, light and dark, clicked, and printed."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.lib.captures import copy_of_kept, explained

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

# Shows the page in one frame for each view, then prints what the script of each view returns.
FRAMES = """<!doctype html><body><script>
const page = {page}, views = {views}
for (const {{ width, style }} of views) document.body.append(
  Object.assign(document.createElement("iframe"), {{ width, style, srcdoc: page }}))
onload = () => document.body.innerText = JSON.stringify(
  views.map(({{ script }}, number) => frames[number].eval(`(() => {{ ${{script}} }})()`)))
</script>"""
# measure() returns the color scheme, the pixels that overflow, and whether each text has enough
# contrast with its background (WCAG 2.2, 1.4.3).
TOOLS = """
  const all = selector => [...document.querySelectorAll(selector)]
  const seen = selector => all(selector).filter(
    one => one.checkVisibility({ visibilityProperty: true })).length
  const light = color => {
    const parts = color.match(/[.\\d]+/g).map(part => part / 255)
    const [r, g, b] = parts.map(p => p <= 0.03928 ? p / 12.92 : ((p + 0.055) / 1.055) ** 2.4)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const measure = () => {
    all("details").forEach(one => one.open = true)
    document.body.style.background = "Canvas"
    const behind = light(getComputedStyle(document.body).backgroundColor)
    const contrasts = all("body :not(button)").filter(one => one.checkVisibility()).map(one => {
      const [less, more] = [light(getComputedStyle(one).color), behind].sort((a, b) => a - b)
      return (more + 0.05) / (less + 0.05)
    })
    const root = document.documentElement, overflow = root.scrollWidth - root.clientWidth
    return [behind > 0.5 ? "light" : "dark", overflow, Math.min(...contrasts) >= 4.5]
  }
"""
READ = """
  const colors = all("section td[style]").map(one => getComputedStyle(one).color)
  const differ = colors.every((color, at) => color != colors[at - 1])
  const requests = performance.getEntriesByType("resource").map(one => one.name)
  return [...measure(), seen(".ask p"), differ, requests]
"""
CLICK = """
  const counts = () => [seen("section"), seen(".x")], found = [counts()]
  const first = all(".packet")[0], [open, hide] = all("button")
  for (const one of [open, open, hide, hide, first.firstChild, all(".ask summary")[0]]) {
    one.click()
    found.push(counts())
  }
  const controls = all("[onclick], summary")
  return [found, all(".packet").length, all("section .x").length,
    first.querySelectorAll("section .x").length, seen(".ask p"),
    controls.every(one => one.tabIndex == 0)]
"""
PRINT = """
  for (const rule of document.styleSheets[0].cssRules)
    if (rule.media?.mediaText == "print") rule.media.mediaText = "all"
  return [...measure(), seen(".x, .ask p, button"), seen(".ask summary"), seen("section td") > 100]
"""
VIEWS = [(width, scheme, READ) for width in (1280, 360) for scheme in ("light", "dark")]
VIEWS += [(1280, "light", CLICK), (1280, "dark", PRINT)]


@pytest.mark.parametrize("language", ["en", "pt"])
def test_page_can_be_read_used_and_printed(tmp_path: Path, language: str) -> None:
    """The page is readable in every view, its buttons work, and a print shows the questions."""
    browser = shutil.which("chromium")
    if not browser or Path(browser).resolve().name == "snap":  # a snap cannot read our files
        pytest.skip("there is no chromium to look at the page with")
    capture, frames = copy_of_kept(tmp_path), tmp_path / "frames.html"
    explained(capture, LANGUAGE=language)
    page = json.dumps(capture.with_suffix(".html").read_text(encoding="utf-8"))
    views = [
        {"width": width, "style": f"color-scheme: {scheme}", "script": TOOLS + script}
        for width, scheme, script in VIEWS
    ]
    text = FRAMES.format(page=page.replace("</", r"<\/"), views=json.dumps(views))
    frames.write_text(text, encoding="utf-8")
    options = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/user")
    done = subprocess.run(
        [browser, *options, "--dump-dom", frames.as_uri()],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    *read, click, paper = json.loads(html.unescape(re.sub("<.*?>", "", done.stdout)))

    # Each view shows twelve answers, neighbors differ in color, and nothing is loaded.
    assert read == [[scheme, 0, True, 12, True, []] for _, scheme, _ in VIEWS[:4]]
    counts, packets, fields, first, answers, reached = click
    said = counts[0][1]
    assert packets > 10
    assert counts[1:3] == [[packets, said + fields], [0, said]]
    assert counts[3:5] == [[0, 0], [0, said]]
    assert counts[5:] == [[1, said + first]] * 2
    assert (answers, reached) == (1, True)
    # The questions and packets are printed, without explanations, answers and buttons.
    assert paper == ["light", 0, True, 0, 12, True]
