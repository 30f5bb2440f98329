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
const wide = () => document.documentElement.scrollWidth - document.documentElement.clientWidth
const count = () => document.querySelectorAll("details[open]").length
const seen = [count(), wide()]
document.querySelector("button").click()
seen.push(count(), wide())
document.querySelector("button").click()
document.title = [...seen, count(), performance.getEntriesByType("resource").length].join(" ")
</script>
"""


@pytest.mark.slow
@pytest.mark.parametrize(("width", "language"), [(1280, "en"), (500, "pt")])
def test_the_page(tmp_path: Path, width: int, language: str) -> None:
    """All packets open and close at a click, nothing is wider than the window or from elsewhere."""
    browser = shutil.which("chromium")
    if not browser:
        pytest.skip("there is no chromium to look at it with")
    capture = copy_of_kept(tmp_path)
    explained(str(capture), LANGUAGE=language)
    html = capture.with_suffix(".html")
    with html.open("a", encoding="utf-8") as file:
        file.write(LOOK)
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", html.as_uri()]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)

    packets = html.read_text(encoding="utf-8").count("<details>")
    assert packets > 10
    assert re.findall("<title>(.*?)</title>", done.stdout) == [f"0 0 {packets} 0 0 0"]
