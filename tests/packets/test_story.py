"""Sentences on packets and log lines, in order, in both languages."""

import os
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
from tests.lib.captures import ENGLISH, arp, client, copy_of_kept, explained, odd, server, told
from tests.lib.documents import DOCUMENTS
from tests.lib.support import ROOT

WITHOUT_END = {"html", "meta", "p", "td", "tr"}  # HTML needs no end tag for these
HELLO = "Ol\u00e1\n".encode()
AGAIN = client(1, 1, "PSH ACK", HELLO)
# Each packet with its tag, a part of its sentence, the call that sends it, the call that it
# completes at the other end, and the number of its questions.
ORDINARY = [
    (client(0, 0, "SYN"), "SYN  seq 0", "(in the header: 4294967295); the", "connect", "", 2),
    (server(0, 1, "SYN ACK"), "SYN ACK  seq 0 ack 1", "confirms the SYN", "", "connect", 2),
    (client(1, 1, "ACK"), "ACK  seq 1 ack 1", "confirms the other SYN", "", "accept", 1),
    (AGAIN, "5 bytes  seq 1 ack 1", r'"Olá\n", the bytes 1 to 5.', "send", "recv", 1),
    (AGAIN, "5 bytes  seq 1 ack 1", "of the bytes 1 to 5 and sends them again", "", "", 1),
    (server(1, 6, "ACK"), "ACK  seq 1 ack 6", "confirms 5 bytes: ack 6", "", "", 1),
    (server(1, 6, "ACK", b"ok"), "2 bytes  seq 1 ack 6", '"ok"', "send", "recv", 1),
    (client(6, 3, "FIN ACK"), "FIN  seq 6 ack 3", "takes number 6", "end", "recv", 0),
    (server(3, 7, "FIN ACK"), "FIN  seq 3 ack 7", "in the same packet", "close", "", 1),
    (client(7, 4, "ACK"), "ACK  seq 7 ack 4", "ack 4 is the number after it", "", "", 1),
]
LATE_CLOSE = [packet for packet, *_ in ORDINARY[:3]]
LATE_CLOSE += [client(1, 1, "FIN ACK"), server(1, 2, "ACK"), server(1, 2, "FIN ACK")]


def test_ordinary_connection_is_explained() -> None:
    """Each packet has a sentence, its calls, and its numbers relative to those of the SYNs."""
    rows = told(*(packet for packet, *_ in ORDINARY))

    for row, (_, tag, text, sends, completes, _) in zip(rows, ORDINARY, strict=True):
        other = "server" if row.side == "client" else "client"
        calls = {row.side: f"{row.side} {sends}" * bool(sends)}
        calls |= {other: f"{other} {completes}"} if completes else {}
        assert (row.tag, text in row.text) == (tag, True), row.text
        assert row.calls == calls, row.tag
    assert told(*LATE_CLOSE)[-1].calls == {"server": "server close"}
    refusal = told(client(0, 0, "SYN"), server(0, 1, "RST ACK"))[-1]
    assert refusal.calls == {"server": "", "client": "client connect"}
    assert rows[3].packet
    assert rows[3].packet.fields["TCP sequence number"].text == "0 = 4294967295 + 1"


def test_each_kind_of_arp_has_its_sentence() -> None:
    """Each kind of ARP packet has its own sentence, and a third host has no side."""
    rows = told(
        *(arp(1, 20, 10), arp(1, 30, 10), arp(1, 20, 20), arp(2, 10, 20), arp(1, 20, 10)),
        arp(1, 10, 20, to=bytes(6)),
    )

    expected = ["asks all hosts", "asks again", "announces", "replies", "asks all hosts", "still"]
    assert all(text in row.text for row, text in zip(rows, expected, strict=True))
    assert [row.side for row in rows] == ["client", "", "client", "server", "client", "server"]


def test_long_data_is_shortened_and_cut_data_reported() -> None:
    """A sentence shows the first 200 bytes, escaped, and reports data that was not captured."""
    data = client(1, 1, "ACK", b"\xff" + b"x" * 200)

    assert told(data)[0].text == rf'The client sends "\\xff{"x" * 199}"…, the bytes 1 to 201.'
    assert told(data[:-1])[0].text.endswith("(cut off or malformed: data)")


def test_question_is_asked_once_at_its_packet() -> None:
    """A question appears once, with its answer, at the first packet that it is about."""
    ordinary, counts = [packet for packet, *_ in ORDINARY], [count for *_, count in ORDINARY]
    for packets, expected in (
        ([*ordinary, *ordinary], counts + [0] * len(counts)),
        ([client(0, 0, "SYN"), server(0, 1, "RST ACK")], [2, 1]),
        ([*ordinary[:3], server(1, 1, "ACK")], [2, 2, 1, 0]),
        (LATE_CLOSE, [2, 2, 1, 0, 0, 1]),
    ):
        assert [len(row.questions) for row in told(*packets)] == expected
    ((question, answer),) = told(*ordinary)[5].questions
    assert question.endswith(" 6? ")
    assert answer.endswith("1 + 5 = 6.")
    assert f"<p>{answer}" in Page(ENGLISH, ROOT).make(told(*ordinary))


def test_calls_are_lines_of_the_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The page shows the source line of each call once, and links to it inside the project."""
    rows = told(*(packet for packet, *_ in ORDINARY))
    assert Page(ENGLISH, ROOT).calls.keys() == {call for row in rows for call in row.calls.values()}
    monkeypatch.setitem(pages.CALLS, "client connect", ("app/gone.py", "connect"))
    monkeypatch.setitem(pages.CALLS, "client send", ("app/server.py", "self"))
    rows = told(*LATE_CLOSE[:3], AGAIN)
    here = Page(ENGLISH, ROOT / "docs").make(rows)
    elsewhere = Page(ENGLISH, tmp_path).make(rows)

    assert len(re.findall(r'<a href="../app/server.py">app/server.py:\d+</a>', here)) == 2
    assert here.count("sent by the kernel alone") == 2
    assert not re.search(r"sock\.(connect|sendall)\(", here)
    assert "app/server.py:" in elsewhere
    assert "<a " not in elsewhere


@pytest.mark.slow
@given(st.lists(odd, max_size=8))
@settings(max_examples=40)
def test_odd_packets_are_shown_whole(packets: list[bytes]) -> None:
    """The fields of any packet repeat its bytes in order, and the page's tags are closed."""
    rows = told(*packets)
    html = Page(ENGLISH, ROOT).make(rows)
    opened, closed = (Counter(re.findall(tag, html)) for tag in (r"<(\w+)", r"</(\w+)"))

    assert html.count('class="packet"') == len(packets)
    assert {tag for tag in opened | closed if opened[tag] != closed[tag]} <= WITHOUT_END
    for row, data in zip(rows, packets, strict=True):
        assert row.packet
        assert data.startswith(b"".join(field.raw for field in row.packet.fields.values()))


def test_markup_is_escaped() -> None:
    """Markup in a packet's data or in a log line is escaped on the page."""
    rows = [*told(client(0, 0, "ACK", b"<script>")), Row(0, "client", "<script>")]
    html = Page(ENGLISH, ROOT).make(rows)

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


def test_language_follows_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words are Portuguese if LANGUAGE, or else the locale, is Portuguese."""
    for env, expected in (
        ({}, "en"),
        ({"LANG": "pt_BR.UTF-8"}, "pt-BR"),
        ({"LANG": "pt_BR.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LC_ALL": "C", "LANGUAGE": "pt"}, "pt-BR"),
        ({"LANG": "de_DE.UTF-8", "LANGUAGE": ""}, "en"),
    ):
        monkeypatch.setattr(os, "environ", env)
        assert read_words()["lang"] == expected, env


@pytest.mark.parametrize(("side", "color", "start"), [("client", "34", 0), ("server", "32", 40)])
def test_each_side_has_its_column(side: str, color: str, start: int) -> None:
    """The client's packets are blue and at the left, the server's green and in the middle."""
    row = Row(0, side, "w" * 300, decode(b"", 0), "ACK", states={side: "CLOSED"})
    text = shown(row, ENGLISH, 80)
    lines = re.sub(r"\033\[\d*m", "", text).splitlines()

    assert {*re.findall(r"\033\[(\d+)m", text)} == {color, "0"}
    assert max(map(len, lines)) < start + 40
    assert all(line[:start].isspace() or not start for line in lines)
    assert lines[0][start:].startswith(f"{side} CLOSED → ")


def test_log_line_has_its_own_time(tmp_path: Path) -> None:
    """A log line is placed at its own time, or at Docker's time for it if that is earlier."""
    seconds = {"SERVER OK": 5.0, "2026-11-25T00:00:04.998Z": 4.999, "2026-11-25T00:00:05.000Z": 5.0}
    stamp = "server-1  | 2026-11-25T00:00:05.000000123Z "
    path = tmp_path / "packets.log"
    path.write_text("".join(f"{stamp}{line} on\n" for line in seconds), encoding="utf-8")
    found = {row.text.removesuffix(" on"): row.moment / 1e9 % 60 for row in read_log(path)}

    assert found == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(("name", "said"), [("gone", "No such"), ("packets.log", "not a capture")])
def test_bad_capture_is_reported(tmp_path: Path, name: str, said: str) -> None:
    """A missing file, or a file that is no capture, ends the program with one line."""
    done = explained(copy_of_kept(tmp_path).with_name(name))

    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(f".*{said}.*\n", done.stderr)


def test_unsaved_capture_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A capture that is not saved is reported with the reason."""
    explain(copy_of_kept(tmp_path), tmp_path / "nowhere" / "packets.pcap", ENGLISH)
    last = capsys.readouterr().out.splitlines()[-1]
    kept = tmp_path / "kept.pcap"
    explain(tmp_path / "packets.pcap", kept, ENGLISH, why="interrupted")

    assert re.fullmatch(r"20 packets, not saved: .*/nowhere/packets.pcap: No such file .*", last)
    assert not kept.exists()


def test_rows_follow_each_other_in_time(tmp_path: Path) -> None:
    """The packets, notes, log lines and silences of a saved run appear in time order."""
    lines = explained(copy_of_kept(tmp_path)).stdout.splitlines()
    following = iter(lines)

    for expected in (
        "ARP: Ethernet delivers",
        "Gratuitous ARP: a host asks for its own address",
        r"\.\.\. \| 1977 ms without a packet",
        "server LISTEN \\| .* listening on",
        "TCP handshake: two flags",
        "client SYN-SENT → server SYN-RECEIVED  SYN  seq 0  ",
        "client → server CLOSED  ACK  seq 19 ack 24  ",
    ):
        assert any(re.search(expected, line) for line in following), expected
    count = sum(line.startswith("packet | ") for line in lines)
    assert lines[-1].startswith(f"{count} packets: ")


@pytest.mark.parametrize(
    ("name", "language"), [("docs/how-it-works.md", "en"), ("docs/como-funciona.md", "pt")]
)
def test_documents_show_the_kept_run(tmp_path: Path, name: str, language: str) -> None:
    """A document shows the lines, the table and the port of the capture docs/packets.pcap."""
    document = DOCUMENTS[name]
    printed = explained(copy_of_kept(tmp_path), LANGUAGE=language).stdout
    following = iter(printed.splitlines())
    blocks = [text for kind, text in document.fences if kind == "packets"]
    (table,) = (table for table in document.tables if table[0][1:3] == ["seq", "ack"])
    packet = r"(client|server)\w*(?: \S+)? → .+?  (\S.+)  seq (\d+)(?: ack (\d+))?  "

    assert blocks
    assert [line for line in "".join(blocks).splitlines() if line not in following] == []
    expected = re.findall(packet, printed.replace("servidor", "server"))
    sides = {"cliente": "client", "servidor": "server"}
    shown = [(*re.split(r" → \w+, ", row[0]), *row[1:3]) for row in table[1:]]
    assert [(sides.get(side, side), *values) for side, *values in shown] == expected
    (address,) = {*re.findall(r"192\.168\.15\.20:\d+", printed)}
    assert address in document.text
