"""What is said of packets and lines, in their order, in both languages."""

import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packets import decode, run, story
from packets.page import page
from tests.packets.captures import KEPT, odd, segment
from tests.support import ROOT

WORDS = tomllib.loads((ROOT / "packets" / "words.toml").read_text(encoding="utf-8"))
SYN, ACK, PSH, FIN, RST = 2, 16, 8, 1, 4
FIRST = 2**32 - 5  # of the client's numbers, which start anew on the way


def explained(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Explain what was kept, as make packets does."""
    command = [sys.executable, "-m", "packets.run", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, encoding="utf-8", check=False
    )


def copy_of_kept(folder: Path) -> Path:
    """Copy the capture in docs/ and its log, beside which there will be a page."""
    for path in (KEPT, KEPT.with_suffix(".log")):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder / KEPT.name


def told(*packets: bytes) -> list[tuple[str, str, str]]:
    """Tell packets of which the client's is the first; return sides, tags and texts."""
    tale = story.Story(story.read_words("en"))
    for moment, data in enumerate(packets):
        tale.tell(moment, "", decode.decode(data, len(data)))
    return [(row.side, row.tag, row.text) for row in tale.rows]


def client(seq: int, ack: int, flags: int, data: bytes = b"") -> bytes:
    """Return a packet of the client's, its numbers counted from the SYNs."""
    return segment((50000, 8888), ((FIRST + seq) % 2**32, ack), flags, b"", data)


def server(seq: int, ack: int, flags: int, data: bytes = b"") -> bytes:
    """Return a packet of the server's."""
    made = segment((8888, 50000), (seq, (FIRST + ack) % 2**32), flags, b"", data)
    return made[:26] + made[30:34] + made[26:30] + made[34:]


def test_the_kept_capture_in_the_order_of_time(tmp_path: Path) -> None:
    """Each thing comes after what it follows from, logs among packets, and none is missing."""
    capture = copy_of_kept(tmp_path)
    lines = explained(str(capture)).stdout.splitlines()

    expected = iter(
        [
            "ARP  192.168.15.20 asks everybody",
            "ARP  192.168.15.20 asks again",
            "3 ARP questions without an answer",
            "client | .* No route to host",
            "server | .* listening on",
            "client → server  SYN  ",
            "server → client  SYN ACK  ",
            "client → server  ACK  the client's kernel confirms: after these three",
            'client → server  17 bytes  the client says "Testando conexão"',
            'server → client  22 bytes  the server says "SERVER OK - STATUS 200"',
            "client → server  FIN  the client has nothing more to send",
            "server → client  FIN  the server closes its direction too",
            "client → server  ACK  the client's kernel confirms the end",
        ]
    )
    awaited = next(expected)
    for line in lines:
        if re.search(awaited, line):
            awaited = next(expected, "$^")
    assert awaited == "$^"
    count = sum(line.startswith("packet | ") for line in lines)
    assert lines[-1].startswith(f"{count} packets: ")


def test_one_conversation() -> None:
    """Numbers that start anew do no harm; what is sent again, and both ends, are told as that."""
    tags = told(
        client(0, 0, SYN),
        client(0, 0, SYN),
        server(99, 1, SYN | ACK),
        client(1, 100, ACK),
        client(1, 100, PSH | ACK, b"Ol\xc3\xa1\n"),
        client(1, 100, PSH | ACK, b"Ol\xc3\xa1\n"),
        server(100, 6, ACK),
        server(100, 6, PSH | FIN | ACK, b"ok"),
        client(6, 103, ACK),
        client(6, 103, FIN | ACK),
        server(103, 7, ACK),
    )

    assert [(side, tag) for side, tag, _ in tags] == [
        ("client", "SYN"),
        ("client", "SYN"),
        ("server", "SYN ACK"),
        ("client", "ACK"),
        ("client", "5 bytes"),
        ("client", "5 bytes"),
        ("server", "ACK"),
        ("server", "2 bytes FIN"),
        ("client", "ACK"),
        ("client", "FIN"),
        ("server", "ACK"),
    ]
    texts = [text for _, _, text in tags]
    assert f"from {FIRST} on" in texts[0]
    assert "once more" in texts[1]
    assert "the connection is there" in texts[3]
    assert texts[4] == r'the client says "Olá\n"'
    assert "again" in texts[5]
    assert "all 5 bytes" in texts[6]
    assert "still may send" in texts[7]
    assert "confirms the end" in texts[8]
    assert "too" in texts[9]


def test_a_capture_that_began_later() -> None:
    """Bytes are counted from the first that was seen."""
    assert "all 3 bytes" in told(client(7, 100, ACK, b"abc"), server(100, 10, ACK))[-1][2]


@pytest.mark.parametrize(
    ("before", "said"),
    [([], "nobody listens on port 8888"), ([server(99, 1, SYN | ACK)], "breaks")],
)
def test_a_reset(before: list[bytes], said: str) -> None:
    """In answer to a SYN it says that nobody listens; later, that the connection is broken off."""
    assert said in told(client(0, 0, SYN), *before, server(100, 1, RST | ACK))[-1][2]


@pytest.mark.slow
@given(st.lists(odd, max_size=8), st.sampled_from(["en", "pt"]))
def test_nothing_is_too_odd(packets: list[bytes], language: str) -> None:
    """Whatever the packets are, each one is told and is in the page, whose tags all close."""
    words = story.read_words(language)
    tale = story.Story(words)
    for data in packets:
        tale.tell(0, "", decode.decode(data, len(data) + 1))

    parser = Balanced()
    parser.feed(page(tale.rows, words))
    assert (parser.packets, parser.open) == (len(packets), [])


class Balanced(HTMLParser):
    """Counts packets, and knows which elements that need an end have none yet."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.packets = 0

    def handle_starttag(self, tag: str, _attributes: list[tuple[str, str | None]]) -> None:
        self.packets += tag == "details"
        if tag not in {"html", "meta", "tr", "td", "th"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"tr", "td", "th"}:
            assert self.open.pop() == tag


def test_what_others_send_is_no_html() -> None:
    """Neither a packet's data nor a line of a log can bring markup into the page."""
    words = story.read_words("en")
    tale = story.Story(words)
    data = client(0, 0, ACK, b"<script>")
    tale.tell(0, "", decode.decode(data, len(data)))
    tale.tell(1, "client", "<script>")

    assert page(tale.rows, words).count("<script>") == 1


def test_both_languages_say_the_same() -> None:
    """Each sentence is there twice, with the same values in it."""
    for key, (english, portuguese) in WORDS.items():
        ours, theirs = (sorted(re.findall(r"\{\w+\}", text)) for text in (english, portuguese))
        assert ours == theirs, key


def test_each_field_is_explained() -> None:
    """Each field of each header has its sentence, options too, and no sentence is left over."""
    names = {
        f"{kind} {name}"
        for kind, rows in decode.HEADERS.items()
        for name in [
            *decode.read_header(kind, bytes(60))[0],
            *["options"] * (kind in {"IPv4", "TCP"}),
        ]
    }

    assert {key for key in WORDS if key.split()[0] in decode.HEADERS} == names


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, "en"),
        ({"LANG": "pt_BR.UTF-8"}, "pt"),
        ({"LANG": "pt_BR.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "C", "LANGUAGE": "pt"}, "pt"),
        ({"LANG": "pt_BR.UTF-8", "LANGUAGE": "en"}, "en"),
        ({"LANG": "de_DE.UTF-8", "LANGUAGE": ""}, "en"),
    ],
)
def test_the_language(env: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It follows the locale, unless LANGUAGE says otherwise."""
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    assert run.language() == expected


@pytest.mark.parametrize("width", [80, 120])
def test_columns(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The client's packets begin at the left, the server's in the middle, and no line is wider."""
    for side, start in (("client", 0), ("server", width // 2)):
        run.show(story.Row(0, side, "w" * 300, "ACK", decode.decode(b"", 0)), width)
        lines = re.sub(r"\033\[\d*m", "", capsys.readouterr().out).splitlines()
        assert max(map(len, lines)) < start + width // 2
        assert all(line[:start].isspace() or not start for line in lines)
        assert lines[0][start] in "─◀"


@pytest.mark.parametrize(
    ("line", "second"),
    [
        ("SERVER OK - STATUS 200", 5.0),
        ("2026-11-25T00:00:04.998Z INFO listening", 4.999),
        ("2026-11-25T00:00:05.000Z INFO listening", 5.0),
    ],
)
def test_when_a_line_was_written(line: str, second: float) -> None:
    """When Docker got it, unless that was after the millisecond that the line itself names."""
    moment = run.written("2026-11-25T00:00:05.000000123Z", line)

    assert moment / 1e9 % 60 == pytest.approx(second, abs=1e-6)


@pytest.mark.parametrize(
    ("content", "said"), [(None, "No such file"), (b"\n\r\r\n", "is not a capture of make packets")]
)
def test_what_is_no_capture(tmp_path: Path, content: bytes | None, said: str) -> None:
    """It says so in one line, and fails."""
    path = tmp_path / "some.pcap"
    if content is not None:
        path.write_bytes(content)
    done = explained(str(path))

    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("document", "language"), [("how-it-works.md", "en"), ("como-funciona.md", "pt")]
)
def test_what_the_documents_show(tmp_path: Path, document: str, language: str) -> None:
    """Each line of packets and logs there is one that the kept capture gives, in that order."""
    said = iter(explained(str(copy_of_kept(tmp_path)), LANGUAGE=language).stdout.splitlines())
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    shown = "".join(re.findall(r"^```packets\n(.*?)^```$", text, re.M | re.S)).splitlines()

    assert len(shown) > 20
    for line in shown:
        assert line in said, line
