"""What is said of packets and lines, in their order, in both languages."""

import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packets import page as pages
from packets.decode import decode
from packets.page import Page
from packets.run import explain, read_log, shown
from packets.story import Row, read_words
from tests.lib.captures import (
    ACK,
    FIN,
    FIRST,
    PSH,
    RST,
    SYN,
    arp,
    client,
    copy_of_kept,
    explained,
    odd,
    server,
    told,
)
from tests.lib.support import ROOT

HELLO = "Ol\u00e1\n".encode()


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the words in English, whatever the language of whoever runs this."""
    monkeypatch.setenv("LANGUAGE", "en")


def test_the_kept_capture_in_the_order_of_time(tmp_path: Path) -> None:
    """Each thing comes after what it follows from, logs among packets, and none is missing."""
    capture = copy_of_kept(tmp_path)
    lines = explained(capture).stdout.splitlines()
    following = iter(lines)

    for expected in (
        "ARP: Ethernet delivers",
        "asks all hosts",
        "Gratuitous ARP: a host asks for its own address",
        "announces its MAC address",
        "got no reply and asks again",
        "ARP requests without a reply: ",
        "client \\| .* No route to host",
        r"\.\.\. \| 1977 ms without a packet",
        "server LISTEN \\| .* listening on",
        "TCP handshake: two flags",
        "client SYN-SENT → server SYN-RECEIVED  SYN  seq 0  ",
        "server → client ESTABLISHED  SYN ACK  seq 0 ack 1  ",
        "client → server ESTABLISHED  ACK  seq 1 ack 1  The client's kernel confirms the other SYN",
        'client → server  17 bytes  seq 1 ack 1  The client sends "Testando conexão", the',
        "server → client  ACK  seq 1 ack 18  The server's kernel confirms 17 bytes: ack 18 is",
        'server → client  22 bytes  seq 1 ack 18  The server sends "SERVER OK - STATUS 200"',
        "client FIN-WAIT-1 → server CLOSE-WAIT  FIN  seq 18 ack 23  ",
        "server LAST-ACK → client TIME-WAIT  FIN  seq 23 ack 19  ",
        "client → server CLOSED  ACK  seq 19 ack 24  ",
    ):
        assert any(re.search(expected, line) for line in following), expected
    count = sum(line.startswith("packet | ") for line in lines)
    assert lines[-1].startswith(f"{count} packets: ")
    assert capture.with_suffix(".html").stat().st_size < 150 * 1024


def test_what_is_said_of_a_connection() -> None:
    """Bytes are counted from the SYNs, and what is sent again is told as that."""
    conversation = [
        (client(0, 0, SYN), "SYN  seq 0", f"(in the header: {FIRST}); the first byte"),
        (client(0, 0, SYN), "SYN  seq 0", "sends the packet again"),
        (server(0, 1, SYN | ACK), "SYN ACK  seq 0 ack 1", "ack 1 confirms the SYN, number 0"),
        (client(1, 1, ACK), "ACK  seq 1 ack 1", "the connection is established"),
        (client(1, 1, PSH | ACK, HELLO), "5 bytes  seq 1 ack 1", r'"Olá\n", the bytes 1 to 5.'),
        (client(6, 1, PSH | ACK, b"!"), "1 bytes  seq 6 ack 1", '"!", the bytes 6 to 6.'),
        (client(1, 1, PSH | ACK, HELLO), "5 bytes  seq 1 ack 1", "of the bytes 1 to 5 and"),
        (server(1, 7, ACK), "ACK  seq 1 ack 7", "confirms 6 bytes: ack 7"),
        (server(1, 7, PSH | FIN | ACK, b"ok"), "2 bytes FIN  seq 1 ack 7", "takes number 3"),
        (client(7, 4, ACK), "ACK  seq 7 ack 4", "ack 4 is the number after it"),
        (client(7, 4, FIN | ACK), "FIN  seq 7 ack 4", "has confirmed the other FIN before"),
    ]
    rows = told(*(packet for packet, *_ in conversation))

    for row, (_, tag, text) in zip(rows, conversation, strict=True):
        assert (row.tag, text in row.text) == (tag, True), row.text
    assert rows[4].packet
    assert rows[4].packet.fields["TCP sequence number"].text == f"0 = {FIRST} + 1"


def test_questions_of_arp() -> None:
    """Without an answer it is asked again; to one host it is a check; a third host has no side."""
    rows = told(
        *(arp(1, 20, 10), arp(1, 30, 10), arp(1, 20, 20), arp(2, 10, 20), arp(1, 20, 10)),
        arp(1, 10, 20, to=bytes(6)),
    )

    expected = ["asks all hosts", "asks again", "announces", "replies", "asks all hosts", "still"]
    assert all(text in row.text for row, text in zip(rows, expected, strict=True))
    assert [row.side for row in rows] == ["client", "", "client", "server", "client", "server"]


def test_long_data_and_cut_data() -> None:
    """Of long data the beginning is shown, and that some was not captured is said."""
    data = client(1, 1, ACK, b"x" * 201)

    assert told(data)[0].text == f'The client sends "{"x" * 200}"…, the bytes 1 to 201.'
    assert told(data[:-1])[0].text.endswith("(cut off or malformed: data)")


@pytest.mark.parametrize("language", ["en", "pt"])
def test_a_question_stands_where_its_premise_holds(
    language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question comes up once, at a packet that answers it, and none without its packet."""
    monkeypatch.setenv("LANGUAGE", language)
    ordinary = [
        *(client(0, 0, SYN), server(0, 1, SYN | ACK), client(1, 1, ACK)),
        *(client(1, 1, PSH | ACK, HELLO), server(1, 6, ACK), server(1, 6, PSH | ACK, b"ok")),
        *(client(6, 3, FIN | ACK), server(3, 7, FIN | ACK), client(7, 4, ACK)),
    ]
    asked = [[len(row.questions) for row in told(*packets)] for packets in (
        [*ordinary, *ordinary],
        [client(0, 0, SYN), server(0, 1, RST | ACK)],
        [client(0, 0, SYN)] * 3,
        [*ordinary[:6], client(6, 3, FIN | ACK), server(3, 7, ACK), server(3, 7, FIN | ACK)],
    )]  # fmt: skip

    assert asked[0] == [2, 2, 1, 1, 1, 1, 0, 1, 1, 1] + [0] * 8
    assert asked[1:3] == [[2, 1], [2, 1, 0]]
    assert asked[3] == [2, 2, 1, 1, 1, 1, 0, 0, 1]
    ((question, answer),) = told(*ordinary)[4].questions
    assert question.endswith(" 6? ")
    assert answer.endswith("1 + 5 = 6.")


def test_the_calls_are_in_the_source() -> None:
    """Each call is found, and once; the page links to its line from a folder of the project."""
    page = Page(read_words(), ROOT / "docs")
    html = page.make(told(client(0, 0, SYN), server(0, 1, RST | ACK)))

    assert page.calls.keys() == {"", *pages.CALLS}
    assert re.search(r'<a href="../app/exchange.py">app/exchange.py:\d+</a>', html)
    assert html.count("sock.connect(") == 2
    assert html.count("sent by the kernel alone") == 1


def test_a_call_that_is_not_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is left out, as is one that is found twice; a page elsewhere has no links."""
    monkeypatch.setitem(pages.CALLS, "client connect", ("app/gone.py", "connect"))
    monkeypatch.setitem(pages.CALLS, "server accept", ("app/server.py", "self"))
    rows = told(client(0, 0, SYN), server(0, 1, SYN | ACK), client(1, 1, ACK, b"hello"))
    page = Page(read_words(), tmp_path)
    html = page.make(rows)

    assert not {"client connect", "server accept"} & page.calls.keys()
    assert "sock.connect(" not in html
    assert "app/server.py:" in html
    assert "<a " not in html


class Balanced(HTMLParser):
    """Counts packets, and knows which elements that need an end have none yet."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.packets = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.packets += ("class", "packet") in attributes
        if tag not in {"html", "meta", "tr", "td", "p"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag == "p" or self.open.pop() == tag


@pytest.mark.slow
@given(st.lists(odd, max_size=8))
def test_nothing_is_too_odd(packets: list[bytes]) -> None:
    """Whatever the packets are, each one is told and is in the page, whose tags all close."""
    page_of_all = Balanced(Page(read_words(), ROOT).make(told(*packets)))
    assert (page_of_all.packets, page_of_all.open) == (len(packets), [])


def test_what_others_send_is_no_html() -> None:
    """Neither a packet's data nor a line of a log can bring markup into the page."""
    rows = [*told(client(0, 0, ACK, b"<script>")), Row(0, "client", "<script>")]
    html = Page(read_words(), ROOT).make(rows)

    assert "<script>" not in html
    assert html.count("&lt;script&gt;") == 2


def test_both_languages_say_the_same() -> None:
    """Each sentence is there twice, with the same values and as many questions in it."""
    sentences = tomllib.loads((ROOT / "packets" / "words.toml").read_text(encoding="utf-8"))
    for key, (english, portuguese) in sentences.items():
        ours, theirs = (sorted(set(re.findall(r"\{.*?\}", text))) for text in (english, portuguese))
        assert ours == theirs, key
        if key.startswith("?"):
            assert english.count("? ") == portuguese.count("? ") == 1


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, "en"),
        ({"LANG": "pt_BR.UTF-8"}, "pt-BR"),
        ({"LANG": "pt_BR.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "C", "LANGUAGE": "pt"}, "pt-BR"),
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


def test_a_locale_that_lacks_letters(tmp_path: Path) -> None:
    """What the terminal's encoding cannot show is escaped."""
    done = explained(copy_of_kept(tmp_path), PYTHONIOENCODING="ascii:strict", LANGUAGE="pt")

    assert done.returncode == 0, done.stderr
    assert "Testando conex\\xe3o" in done.stdout


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("side", ["client", "server"])
def test_columns(side: str, width: int) -> None:
    """The client's packets begin at the left, the server's in the middle, and no line is wider."""
    row = Row(0, side, "w" * 300, decode(b"", 0), "ACK", states={side: "CLOSED"})
    lines = re.sub(r"\033\[\d*m", "", shown(row, read_words(), width)).splitlines()
    start = width // 2 * (side == "server")

    assert max(map(len, lines)) < start + width // 2
    assert all(line[:start].isspace() or not start for line in lines)
    assert lines[0][start:].startswith(f"{side} CLOSED → ")


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


def test_what_cannot_be_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is told all the same, and why it is not saved."""
    explain(copy_of_kept(tmp_path), tmp_path / "nowhere" / "packets.pcap", read_words())
    last = capsys.readouterr().out.splitlines()[-1]

    assert re.fullmatch(r"20 packets, not saved: .*/nowhere/packets.pcap: No such file .*", last)

    kept = tmp_path / "kept.pcap"
    explain(tmp_path / "packets.pcap", kept, read_words(), why="interrupted")
    assert not kept.exists()


@pytest.mark.parametrize(
    ("document", "language"), [("how-it-works.md", "en"), ("como-funciona.md", "pt")]
)
def test_what_the_documents_show(tmp_path: Path, document: str, language: str) -> None:
    """Each line of packets and logs there is one that the kept capture gives, in that order."""
    said = iter(explained(copy_of_kept(tmp_path), LANGUAGE=language).stdout.splitlines())
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    shown = "".join(re.findall(r"^```packets\n(.*?)^```$", text, re.M | re.S)).splitlines()

    assert shown
    for line in shown:
        assert line in said, line
