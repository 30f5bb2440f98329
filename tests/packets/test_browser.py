"""The page in a real browser: large and small, dark and light, by keyboard, and on paper."""

import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from tests.lib.captures import copy_of_kept, explained

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

# Of all text that is seen: the least contrast to what is behind it (WCAG 2.2, 1.4.3).
CONTRAST = """(() => {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true })
  const light = color => {
    context.fillStyle = color
    context.fillRect(0, 0, 1, 1)
    const parts = [...context.getImageData(0, 0, 1, 1).data].slice(0, 3).map(part => part / 255)
    const [r, g, b] = parts.map(p => p <= 0.03928 ? p / 12.92 : ((p + 0.055) / 1.055) ** 2.4)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  document.body.style.background = "Canvas"
  const behind = light(getComputedStyle(document.body).backgroundColor)
  const texts = [...document.querySelectorAll("body *")].filter(one => one.tagName != "BUTTON" &&
    one.checkVisibility() && [...one.childNodes].some(one => one.nodeType == 3 && one.data.trim()))
  return Math.min(...texts.map(one => {
    const [less, more] = [light(getComputedStyle(one).color), behind].sort((a, b) => a - b)
    return (more + 0.05) / (less + 0.05)
  }))
})()"""
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
SEEN = """((selector) => [...document.querySelectorAll(selector)].filter(one =>
  one.checkVisibility({ visibilityProperty: true })).length)"""


class Browser:
    """A browser that does what it is told by the DevTools protocol, through two pipes."""

    def __init__(self, commands: BinaryIO, answers: BinaryIO) -> None:
        self._commands, self._answers = commands, answers
        self._read, self._number = b"", 0
        self._session: dict[str, str] = {}
        self.requests: list[str] = []
        target = self("Target.createTarget", url="about:blank")["targetId"]
        answer = self("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": answer["sessionId"]}
        self("Network.enable")
        self("Page.enable")

    def __call__(self, method: str, **params: Any) -> Any:
        self._number += 1
        command = {"id": self._number, "method": method, "params": params, **self._session}
        self._commands.write(json.dumps(command).encode() + b"\0")
        return self._next("id", self._number)["result"]

    def _next(self, key: str, value: object) -> Any:
        """Return the next message with this value of a key."""
        told: Any = {}
        while told.get(key) != value:
            while b"\0" not in self._read:
                assert select.select([self._answers], [], [], 60)[0], "the browser is silent"
                more = os.read(self._answers.fileno(), 65536)
                assert more, "the browser has ended"
                self._read += more
            message, _, self._read = self._read.partition(b"\0")
            told = json.loads(message)
            if told.get("method") == "Network.requestWillBeSent":
                self.requests.append(told["params"]["request"]["url"])
        return told

    def ask(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript."""
        answer = self("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            text = {"Space": " ", "Enter": "\r"}.get(key, "")
            for kind in ("keyDown", "keyUp"):
                self("Input.dispatchKeyEvent", type=kind, key=text or key, code=key, text=text)

    def show(self, page: Path, width: int = 1280, scheme: str = "light", media: str = "") -> None:
        """Load a page, and wait for all of it."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self("Emulation.setEmulatedMedia", media=media, features=features)
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self("Emulation.setDeviceMetricsOverride", **size)
        self("Page.navigate", url=page.as_uri())
        self._next("method", "Page.loadEventFired")

    def seen(self, selector: str) -> int:
        """Count the elements that are to be seen."""
        return int(self.ask(f"{SEEN}({json.dumps(selector)})"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Start a browser, which ends with its pipes."""
    program = shutil.which("chromium")
    if not program or Path(program).resolve().name == "snap":  # which shows it no file of ours
        pytest.skip("there is no chromium to look at the page with")
    (theirs, commands), (answers, ours) = os.pipe(), os.pipe()
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
    options.append(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    start = ["bash", "-c", f'exec "$@" 3<&{theirs} 4>&{ours}', "", program, *options]
    with (
        open(commands, "wb", buffering=0) as to_it,
        open(answers, "rb", buffering=0) as from_it,
        subprocess.Popen(start, pass_fds=(theirs, ours), stderr=subprocess.DEVNULL) as process,
    ):
        os.close(theirs)
        os.close(ours)
        try:
            browser = Browser(to_it, from_it)
            yield browser
            browser("Browser.close")
        finally:
            process.terminate()


@pytest.fixture(scope="module", params=["en", "pt"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the page of the kept capture in a language."""
    capture = copy_of_kept(tmp_path_factory.mktemp(request.param))
    explained(capture, LANGUAGE=request.param)
    return capture.with_suffix(".html")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_everything_open_can_be_read(browser: Browser, page: Path, width: int, scheme: str) -> None:
    """Nothing is wider than the window, pale or from elsewhere, with all of it open."""
    browser.requests.clear()
    browser.show(page, width, scheme)
    browser.ask("document.querySelectorAll('details').forEach(one => one.open = true)")

    assert browser.ask(WIDER) == 0
    assert browser.ask(CONTRAST) >= 4.5
    assert browser.requests == [page.as_uri()]
    assert browser.seen(".ask p") >= 12


def test_by_keyboard_alone(browser: Browser, page: Path) -> None:
    """Both buttons, packets and questions open and close by Tab, Space and Enter."""
    browser.show(page)
    packets = browser.ask("document.querySelectorAll('.packet').length")
    said = browser.seen(".x")
    counts = []
    for keys in (["Tab", "Space"], ["Space"], ["Tab", "Space"], ["Space"], ["Tab", "Enter"]):
        browser.press(*keys)
        counts.append((browser.seen("section"), browser.seen(".x")))

    fields = browser.ask("document.querySelectorAll('section .x').length")
    first = browser.ask("document.querySelectorAll('section')[0].querySelectorAll('.x').length")
    assert packets == browser.ask("document.querySelectorAll('section').length") > 10
    assert counts == [(packets, said + fields), (0, said), (0, 0), (0, said), (1, said + first)]
    browser.press("Tab", "Enter")
    assert browser.seen(".ask p") == 1


def test_on_paper(browser: Browser, page: Path) -> None:
    """The page is a worksheet: questions and packets, without explanations and answers."""
    browser.show(page, media="print", scheme="dark")
    browser.ask("document.querySelectorAll('details').forEach(one => one.open = true)")

    assert browser.seen(".x") == browser.seen(".ask p") == browser.seen("button") == 0
    assert browser.seen(".ask summary") == 12
    assert browser.seen("section td") > 100
    assert browser.ask(WIDER) == 0
    assert browser.ask(CONTRAST) >= 4.5
