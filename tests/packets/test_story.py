"""Sentences on packets and log lines, in order, in both languages."""

import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
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
    KEPT_PACKETS,
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
from tests.lib.documents import DOCUMENTS
from tests.lib.support import ROOT

WITHOUT_END = {"html", "meta", "p", "td", "tr"}  # HTML ends these by itself
HELLO = "Ol\u00e1\n".encode()
AGAIN = client(1, 1, PSH | ACK, HELLO)
# Packets, each with its tag, words of its sentence, the call that sends it and the one that it
# completes at the other end, and the number of its questions.
ORDINARY = [
    (client(0, 0, SYN), "SYN  seq 0", f"(in the header: {FIRST}); the", "connect", "", 2),
    (server(0, 1, SYN | ACK), "SYN ACK  seq 0 ack 1", "confirms the SYN", "", "connect", 2),
    (client(1, 1, ACK), "ACK  seq 1 ack 1", "confirms the other SYN", "", "accept", 1),
    (AGAIN, "5 bytes  seq 1 ack 1", r'"Olá\n", the bytes 1 to 5.', "send", "recv", 1),
    (AGAIN, "5 bytes  seq 1 ack 1", "of the bytes 1 to 5 and sends them again", "", "", 1),
    (server(1, 6, ACK), "ACK  seq 1 ack 6", "confirms 5 bytes: ack 6", "", "", 1),
    (server(1, 6, ACK, b"ok"), "2 bytes  seq 1 ack 6", '"ok"', "send", "recv", 1),
    (client(6, 3, FIN | ACK), "FIN  seq 6 ack 3", "takes number 6", "end", "recv", 0),
    (server(3, 7, FIN | ACK), "FIN  seq 3 ack 7", "in the same packet", "close", "", 1),
    (client(7, 4, ACK), "ACK  seq 7 ack 4", "ack 4 is the number after it", "", "", 1),
]
LATE_CLOSE = [packet for packet, *_ in ORDINARY[:3]]
LATE_CLOSE += [client(1, 1, FIN | ACK), server(1, 2, ACK), server(1, 2, FIN | ACK)]


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set English, whatever the locale."""
    monkeypatch.setenv("LANGUAGE", "en")


def test_rows_follow_each_other_in_time(tmp_path: Path) -> None:
    """The kept run is told in order: packets, notes before them, log lines and silences."""
    lines = explained(copy_of_kept(tmp_path)).stdout.splitlines()
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
        "server → client  ARP  192.168.15.10 asks all hosts",
        'client → server  17 bytes  seq 1 ack 1  The client sends "Testando conexão", the',
        "client → server CLOSED  ACK  seq 19 ack 24  ",
    ):
        assert any(re.search(expected, line) for line in following), expected
    count = sum(line.startswith("packet | ") for line in lines)
    assert lines[-1].startswith(f"{count} packets: ")


def test_ordinary_connection_is_told() -> None:
    """Each packet has its numbers, counted from the SYNs, a sentence and the calls around it."""
    rows = told(*(packet for packet, *_ in ORDINARY))

    for row, (_, tag, text, sends, completes, _) in zip(rows, ORDINARY, strict=True):
        other = "server" if row.side == "client" else "client"
        calls = {row.side: f"{row.side} {sends}" * bool(sends)}
        calls |= {other: f"{other} {completes}"} if completes else {}
        assert (row.tag, text in row.text) == (tag, True), row.text
        assert row.calls == calls, row.tag
    assert told(*LATE_CLOSE)[-1].calls == {"server": "server close"}
    refusal = told(client(0, 0, SYN), server(0, 1, RST | ACK))[-1]
    assert refusal.calls == {"server": "", "client": "client connect"}
    assert rows[3].packet
    assert rows[3].packet.fields["TCP sequence number"].text == f"0 = {FIRST} + 1"


def test_each_kind_of_arp_has_its_sentence() -> None:
    """ARP asks, asks again, announces, replies or checks; a third host has no side."""
    rows = told(
        *(arp(1, 20, 10), arp(1, 30, 10), arp(1, 20, 20), arp(2, 10, 20), arp(1, 20, 10)),
        arp(1, 10, 20, to=bytes(6)),
    )

    expected = ["asks all hosts", "asks again", "announces", "replies", "asks all hosts", "still"]
    assert all(text in row.text for row, text in zip(rows, expected, strict=True))
    assert [row.side for row in rows] == ["client", "", "client", "server", "client", "server"]


def test_long_data_is_shortened_and_cut_data_reported() -> None:
    """A sentence shows the first 200 bytes, escaped, and reports data that was not captured."""
    data = client(1, 1, ACK, b"\xff" + b"x" * 200)

    assert told(data)[0].text == rf'The client sends "\\xff{"x" * 199}"…, the bytes 1 to 201.'
    assert told(data[:-1])[0].text.endswith("(cut off or malformed: data)")


@pytest.mark.parametrize("language", ["en", "pt"])
def test_question_is_asked_once_where_its_packet_is(
    language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question stands at the first packet that it is about, with its answer."""
    monkeypatch.setenv("LANGUAGE", language)
    ordinary = [packet for packet, *_ in ORDINARY]
    asked = [[len(row.questions) for row in told(*packets)] for packets in (
        [*ordinary, *ordinary],
        [client(0, 0, SYN), server(0, 1, RST | ACK)],
        [*ordinary[:3], server(1, 1, ACK)],
        LATE_CLOSE,
    )]  # fmt: skip

    assert asked[0] == [count for *_, count in ORDINARY] + [0] * len(ORDINARY)
    assert asked[1:] == [[2, 1], [2, 2, 1, 0], [2, 2, 1, 0, 0, 1]]
    ((question, answer),) = told(*ordinary)[5].questions
    assert question.endswith(" 6? ")
    assert answer.endswith("1 + 5 = 6.")
    assert f"<p>{answer}" in Page(read_words(), ROOT).make(told(*ordinary))


def test_calls_are_lines_of_the_source() -> None:
    """The page finds each call, and links to its line from a folder of the project."""
    page = Page(read_words(), ROOT / "docs")
    html = page.make(told(*LATE_CLOSE[:3]))

    assert page.calls.keys() == {"", *pages.CALLS}
    assert re.search(r'<a href="../app/exchange.py">app/exchange.py:\d+</a>', html)
    assert html.count("sock.connect(") == 2
    assert html.count("sent by the kernel alone") == 2


def test_unknown_call_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A page omits a call that it finds never or twice, and elsewhere it has no links."""
    monkeypatch.setitem(pages.CALLS, "client connect", ("app/gone.py", "connect"))
    monkeypatch.setitem(pages.CALLS, "server accept", ("app/server.py", "self"))
    rows = told(client(0, 0, SYN), server(0, 1, SYN | ACK), client(1, 1, ACK, b"hello"))
    page = Page(read_words(), tmp_path)
    html = page.make(rows)

    assert not {"client connect", "server accept"} & page.calls.keys()
    assert ("sock.connect(" in html, "app/server.py:" in html, "<a " in html) == (
        False,
        True,
        False,
    )


@pytest.mark.slow
@given(st.lists(odd, max_size=8))
@settings(max_examples=40)
def test_odd_packets_are_shown_whole(packets: list[bytes]) -> None:
    """Any bytes are told in fields that repeat them in order, on a page whose tags are closed."""
    rows = told(*packets)
    html = Page(read_words(), ROOT).make(rows)
    opened, closed = (Counter(re.findall(tag, html)) for tag in (r"<(\w+)", r"</(\w+)"))

    assert html.count('class="packet"') == len(packets)
    assert {tag for tag in opened | closed if opened[tag] != closed[tag]} <= WITHOUT_END
    for row, data in zip(rows, packets, strict=True):
        assert row.packet
        assert data.startswith(b"".join(field.raw for field in row.packet.fields.values()))


def test_markup_is_escaped() -> None:
    """Neither a packet's data nor a log line brings markup into the page."""
    rows = [*told(client(0, 0, ACK, b"<script>")), Row(0, "client", "<script>")]
    html = Page(read_words(), ROOT).make(rows)

    assert "<script>" not in html
    assert html.count("&lt;script&gt;") == 2


def test_both_languages_name_the_same_values() -> None:
    """Both versions of a sentence contain the same values, and a question has one answer."""
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
        ({"LC_ALL": "C", "LANGUAGE": "pt"}, "pt-BR"),
        ({"LANG": "de_DE.UTF-8", "LANGUAGE": ""}, "en"),
    ],
)
def test_language_follows_the_locale(
    env: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The words are Portuguese if LANGUAGE, or else the locale, is Portuguese."""
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    assert read_words()["lang"] == expected


def test_missing_letters_are_escaped(tmp_path: Path) -> None:
    """A terminal whose encoding lacks a letter gets an escape sequence."""
    done = explained(copy_of_kept(tmp_path), PYTHONIOENCODING="ascii:strict", LANGUAGE="pt")

    assert done.returncode == 0, done.stderr
    assert "Testando conex\\xe3o" in done.stdout


@pytest.mark.parametrize(("side", "color", "start"), [("client", "34", 0), ("server", "32", 40)])
def test_each_side_has_its_column(side: str, color: str, start: int) -> None:
    """The client's packets are blue on the left, the server's green in the middle of a terminal."""
    row = Row(0, side, "w" * 300, decode(b"", 0), "ACK", states={side: "CLOSED"})
    text = shown(row, read_words(), 80)
    lines = re.sub(r"\033\[\d*m", "", text).splitlines()

    assert {*re.findall(r"\033\[(\d+)m", text)} == {color, "0"}
    assert max(map(len, lines)) < start + 40
    assert all(line[:start].isspace() or not start for line in lines)
    assert lines[0][start:].startswith(f"{side} CLOSED → ")


@pytest.mark.parametrize(
    ("line", "second"),
    [
        ("SERVER OK - STATUS 200", 5.0),
        ("2026-11-25T00:00:04.998Z INFO listening", 4.999),
        ("2026-11-25T00:00:05.000Z INFO listening", 5.0),
    ],
)
def test_log_line_has_its_own_time(tmp_path: Path, line: str, second: float) -> None:
    """A log line counts at its own millisecond, or earlier if Docker got it earlier."""
    log = tmp_path / "packets.log"
    log.write_text(f"server-1  | 2026-11-25T00:00:05.000000123Z {line}\n", encoding="utf-8")
    [row] = read_log(log)

    assert (row.side, row.text) == ("server", line)
    assert row.moment / 1e9 % 60 == pytest.approx(second, abs=1e-6)


@pytest.mark.parametrize(
    ("content", "said"), [(None, "No such file"), (b"\n\r\r\n", "is not a capture of make packets")]
)
def test_bad_capture_is_reported(tmp_path: Path, content: bytes | None, said: str) -> None:
    """A file that is missing or no capture ends the program with one line."""
    path = tmp_path / "some.pcap"
    if content is not None:
        path.write_bytes(content)
    done = explained(path)

    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_unsaved_capture_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A capture that cannot be saved, or is not whole, is told with the reason."""
    explain(copy_of_kept(tmp_path), tmp_path / "nowhere" / "packets.pcap", read_words())
    last = capsys.readouterr().out.splitlines()[-1]
    kept = tmp_path / "kept.pcap"
    explain(tmp_path / "packets.pcap", kept, read_words(), why="interrupted")

    assert re.fullmatch(r"20 packets, not saved: .*/nowhere/packets.pcap: No such file .*", last)
    assert not kept.exists()


@pytest.mark.parametrize(
    ("name", "language"), [("docs/how-it-works.md", "en"), ("docs/como-funciona.md", "pt")]
)
def test_documents_show_the_kept_run(tmp_path: Path, name: str, language: str) -> None:
    """Lines of packets, the table of a connection and its port are those of the kept capture."""
    document = DOCUMENTS[name]
    printed = iter(explained(copy_of_kept(tmp_path), LANGUAGE=language).stdout.splitlines())
    lines = [
        line for kind, text in document.fences if kind == "packets" for line in text.splitlines()
    ]
    (table,) = (table for table in document.tables if table[0][1:3] == ["seq", "ack"])
    rows = [row for row in told(*KEPT_PACKETS) if "seq" in row.tag]
    client, server = ("client", "server") if language == "en" else ("cliente", "servidor")
    ways = {"client": f"{client} → {server}", "server": f"{server} → {client}"}
    expected = [
        [f"{ways[row.side]}, {tag}", seq, ack]
        for row in rows
        for tag, seq, ack in re.findall(r"(.+?)  seq (\d+)(?: ack (\d+))?$", row.tag)
    ]
    assert rows[0].packet

    assert lines
    assert [line for line in lines if line not in printed] == []
    assert [row[:3] for row in table[1:]] == expected
    assert f"192.168.15.20:{rows[0].packet.fields['TCP source port'].value}" in document.text
