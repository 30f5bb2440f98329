"""The page in a real browser, large and small."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.packets.test_story import copy_of_kept, explained

# What a reader does and sees, told in the title.
LOOK = """
<script>
const seen = () => {
  const page = document.documentElement, open = document.querySelectorAll("details[open]")
  return `${open.length} open, ${page.scrollWidth - page.clientWidth} too wide; `
}
const first = seen()
document.querySelector("button").click()
document.title = first + seen() + performance.getEntriesByType("resource").length + " fetched"
</script>
"""


@pytest.mark.slow
@pytest.mark.parametrize(("width", "language"), [(1280, "en"), (500, "pt")])
def test_the_page(tmp_path: Path, width: int, language: str) -> None:
    """All packets open at a click, nothing is wider than the window or from elsewhere."""
    browser = shutil.which("chromium")
    if not browser:
        pytest.skip("there is no chromium to look at it with")
    capture = copy_of_kept(tmp_path)
    explained(capture, LANGUAGE=language)
    html = capture.with_suffix(".html")
    with html.open("a", encoding="utf-8") as file:
        file.write(LOOK)
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", html.as_uri()]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)

    packets = html.read_text(encoding="utf-8").count("<details>")
    assert packets > 10
    expected = f"0 open, 0 too wide; {packets} open, 0 too wide; 0 fetched"
    assert re.findall("<title>(.*?)</title>", done.stdout) == [expected]
