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

from packets.decode import decode
from packets.page import page
from packets.run import in_columns, read_log
from packets.story import Row, Story, read_words
from tests.lib.captures import KEPT, odd, segment
from tests.lib.support import ROOT

SYN, ACK, PSH, FIN, RST = 2, 16, 8, 1, 4
FIRST = 2**32 - 1  # of each side's numbers, which start anew with the next


def explained(pcap: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Explain what was kept, as make packets does."""
    command = [sys.executable, "-m", "packets.run", str(pcap)]
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, encoding="utf-8", check=False
    )


def copy_of_kept(folder: Path) -> Path:
    """Copy the capture in docs/ and its log, beside which there will be a page."""
    for path in (KEPT, KEPT.with_suffix(".log")):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder / KEPT.name


def told(*packets: bytes) -> list[Row]:
    """Tell packets of which the client's is the first."""
    rows = [Row(0, packet=decode(data, len(data))) for data in packets]
    return list(Story(read_words()).tell(rows))


def client(seq: int, ack: int, flags: int, data: bytes = b"") -> bytes:
    """Return a packet of the client's, its numbers counted from the SYNs."""
    numbers = (FIRST + seq) % 2**32, (FIRST + ack) % 2**32
    return segment((50000, 8888), numbers, flags, b"", data)


def server(seq: int, ack: int, flags: int, data: bytes = b"") -> bytes:
    """Return a packet of the server's."""
    made = client(seq, ack, flags, data)
    return made[:26] + made[30:34] + made[26:30] + made[36:38] + made[34:36] + made[38:]


def arp(operation: int, sender: int, target: int, to: bytes = b"\xff" * 6) -> bytes:
    """Return a packet of ARP, from one host of the network to another."""
    start = to + bytes(6) + bytes.fromhex("0806 0001 0800 06 04 00") + bytes([operation])
    return start + bytes(6) + bytes([10, 0, 0, sender]) + bytes(6) + bytes([10, 0, 0, target])


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the words in English, whatever the language of whoever runs this."""
    monkeypatch.setenv("LANGUAGE", "en")


def test_the_kept_capture_in_the_order_of_time(tmp_path: Path) -> None:
    """Each thing comes after what it follows from, logs among packets, and none is missing."""
    lines = explained(copy_of_kept(tmp_path)).stdout.splitlines()
    following = iter(lines)

    for expected in (
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
    ):
        assert any(re.search(expected, line) for line in following), expected
    count = sum(line.startswith("packet | ") for line in lines)
    assert lines[-1].startswith(f"{count} packets: ")


def test_one_conversation() -> None:
    """Numbers that start anew do no harm; what is sent again, and both ends, are told as that."""
    conversation = [
        (client(0, 0, SYN), "client", "SYN", f"from {FIRST} on"),
        (client(0, 0, SYN), "client", "SYN", "once more"),
        (server(0, 1, SYN | ACK), "server", "SYN ACK", f"from {FIRST} on"),
        (client(1, 1, ACK), "client", "ACK", "the connection is there"),
        (client(1, 1, PSH | ACK, b"Ol\xc3\xa1\n"), "client", "5 bytes", r'client says "Olá\n"'),
        (client(6, 1, PSH | ACK, b"!"), "client", "1 bytes", 'client says "!"'),
        (client(1, 1, PSH | ACK, b"Ol\xc3\xa1\n"), "client", "5 bytes", "again"),
        (client(6, 1, PSH | ACK, b"!"), "client", "1 bytes", "again"),
        (server(1, 7, ACK), "server", "ACK", "all 6 bytes"),
        (server(1, 7, PSH | FIN | ACK, b"ok"), "server", "2 bytes FIN", "still may send"),
        (client(7, 4, ACK), "client", "ACK", "confirms the end"),
        (client(7, 4, FIN | ACK), "client", "FIN", "too"),
        (server(4, 8, ACK), "server", "ACK", "confirms the end"),
    ]
    rows = told(*(packet for packet, *_ in conversation))

    for row, (_, side, tag, text) in zip(rows, conversation, strict=True):
        assert (row.side, row.tag) == (side, tag)
        assert text in row.text


def test_questions_of_arp() -> None:
    """Without an answer it is asked again; to one host it is a check; a third host has no side."""
    rows = told(
        *(arp(1, 20, 10), arp(1, 30, 10), arp(1, 20, 20), arp(2, 10, 20), arp(1, 20, 10)),
        arp(1, 10, 20, to=bytes(6)),
    )

    expected = ["asks everybody", "asks again", "unasked", "answers", "asks everybody", "still"]
    assert all(text in row.text for row, text in zip(rows, expected, strict=True))
    assert [row.side for row in rows] == ["client", "", "client", "server", "client", "server"]


def test_long_data_and_cut_data() -> None:
    """Of long data the beginning is shown, and that some was not captured is said."""
    data = client(1, 1, ACK, b"x" * 201)

    assert told(data)[0].text == f'the client says "{"x" * 200}"…'
    assert told(data[:-1])[0].text.endswith("(cut off or malformed: data)")


def test_a_capture_that_began_later() -> None:
    """Bytes are counted from the first that was seen."""
    assert "all 3 bytes" in told(client(7, 100, ACK, b"abc"), server(100, 10, ACK))[-1].text


@pytest.mark.parametrize(
    ("before", "said"),
    [([], "nobody listens on port 8888"), ([server(0, 1, SYN | ACK)], "breaks")],
)
def test_a_reset(before: list[bytes], said: str) -> None:
    """In answer to a SYN it says that nobody listens; later, that the connection is broken off."""
    assert said in told(client(0, 0, SYN), *before, server(1, 1, RST | ACK))[-1].text


class Balanced(HTMLParser):
    """Counts packets, and knows which elements that need an end have none yet."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.packets = 0
        self.feed(html)

    def handle_starttag(self, tag: str, _attributes: list[tuple[str, str | None]]) -> None:
        self.packets += tag == "details"
        if tag not in {"html", "meta", "tr", "td"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.slow
@given(st.lists(odd, max_size=8))
def test_nothing_is_too_odd(packets: list[bytes]) -> None:
    """Whatever the packets are, each one is told and is in the page, whose tags all close."""
    page_of_all = Balanced(page(told(*packets), read_words()))
    assert (page_of_all.packets, page_of_all.open) == (len(packets), [])


def test_what_others_send_is_no_html() -> None:
    """Neither a packet's data nor a line of a log can bring markup into the page."""
    rows = [*told(client(0, 0, ACK, b"<script>")), Row(0, "client", "<script>")]
    html = page(rows, read_words())

    assert "<script>" not in html
    assert html.count("&lt;script&gt;") == 2


def test_both_languages_say_the_same() -> None:
    """Each sentence is there twice, with the same values in it; what has no header has one too."""
    sentences = tomllib.loads((ROOT / "packets" / "words.toml").read_text(encoding="utf-8"))
    for key, (english, portuguese) in sentences.items():
        ours, theirs = (sorted(re.findall(r"\{.*?\}", text)) for text in (english, portuguese))
        assert ours == theirs, key
    assert {"IPv4 options", "TCP options", "data"} <= sentences.keys()


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, "en"),
        ({"LANG": "pt_BR.UTF-8"}, "pt-BR"),
        ({"LANG": "pt_BR.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "C", "LANGUAGE": "pt"}, "pt-BR"),
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

    assert read_words()["lang"] == expected


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("side", ["client", "server"])
def test_columns(side: str, width: int) -> None:
    """The client's packets begin at the left, the server's in the middle, and no line is wider."""
    row = Row(0, side, "w" * 300, "ACK", decode(b"", 0))
    lines = re.sub(r"\033\[\d*m", "", in_columns(row, width)).splitlines()
    start = width // 2 * (side == "server")

    assert max(map(len, lines)) < start + width // 2
    assert all(line[:start].isspace() or not start for line in lines)
    assert lines[0][start] in "─◀"


@pytest.mark.parametrize(
    ("line", "second"),
    [
        ("SERVER OK - STATUS 200", 5.0),
        ("xTyZ", 5.0),
        ("2026-11-25T00:00:04.998Z INFO listening", 4.999),
        ("2026-11-25T00:00:05.000Z INFO listening", 5.0),
    ],
)
def test_when_a_line_was_written(tmp_path: Path, line: str, second: float) -> None:
    """When Docker got it, unless that was after the millisecond that the line itself names."""
    log = tmp_path / "packets.log"
    log.write_text(f"server-1  | 2026-11-25T00:00:05.000000123Z {line}\n", encoding="utf-8")
    [row] = read_log(log)

    assert (row.side, row.text) == ("server", line)
    assert row.moment / 1e9 % 60 == pytest.approx(second, abs=1e-6)


@pytest.mark.parametrize(
    ("content", "said"), [(None, "No such file"), (b"\n\r\r\n", "is not a capture of make packets")]
)
def test_what_is_no_capture(tmp_path: Path, content: bytes | None, said: str) -> None:
    """It says so in one line, and fails."""
    path = tmp_path / "some.pcap"
    if content is not None:
        path.write_bytes(content)
    done = explained(path)

    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("document", "language"), [("how-it-works.md", "en"), ("como-funciona.md", "pt")]
)
def test_what_the_documents_show(tmp_path: Path, document: str, language: str) -> None:
    """Each line of packets and logs there is one that the kept capture gives, in that order."""
    said = iter(explained(copy_of_kept(tmp_path), LANGUAGE=language).stdout.splitlines())
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    shown = "".join(re.findall(r"^```packets\n(.*?)^```$", text, re.M | re.S)).splitlines()

    assert len(shown) > 20
    for line in shown:
        assert line in said, line
