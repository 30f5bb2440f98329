"""The protocol: bytes and texts alone, no socket."""

import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.protocol import matches, printable, unescape
from tests.lib.peers import REPLY

# Not st.text(), which takes seconds to get ready in a fresh clone; surrogates too.
TEXTS = st.lists(st.integers(0, sys.maxunicode).map(chr)).map("".join)
EXACT_AND_PREFIX = pytest.mark.parametrize("prefix", [False, True], ids=["exact", "prefix"])


@EXACT_AND_PREFIX
def test_first_wrong_byte_decides(prefix: bool) -> None:
    """A beginning of the reply decides nothing, wherever it ends; a wrong byte decides at once."""
    for position, byte in enumerate(REPLY):
        begun = REPLY[:position]
        wrong = begun + bytes([byte ^ 1])

        assert matches(begun, [REPLY], prefix=prefix) is None
        assert matches(wrong, [REPLY], prefix=prefix) is False
        assert matches(wrong + REPLY, [REPLY], prefix=prefix) is False
    assert matches(REPLY, [REPLY], prefix=prefix) is True


@given(st.binary(), st.lists(st.binary(), min_size=1), st.binary(min_size=1), st.booleans())
def test_decision_is_final(
    received: bytes, reply: list[bytes], any_bytes: bytes, prefix: bool
) -> None:
    """A wrong beginning stays wrong whatever follows, and a right prefix stays right.

    Between two parts of a reply, any byte is right.
    """
    decision = matches(received, reply, prefix=prefix)

    if decision is not None and (prefix or not decision):
        assert matches(received + b"more", reply, prefix=prefix) is decision
    whole = reply[0]
    for number, part in enumerate(reply[1:]):
        whole += any_bytes[number % len(any_bytes) :][:1] + part
    if decision is None:
        assert matches(received + whole[len(received) :], reply, prefix=prefix) is True
    assert matches(whole, reply, prefix=prefix) is True
    assert matches(whole + b"\n", reply, prefix=prefix) is prefix


@EXACT_AND_PREFIX
def test_any_byte_is_one_byte(prefix: bool) -> None:
    """Any one byte is neither none nor two, and the next byte decides at once."""
    reply = [b"HTTP/1.", b" 2"]
    received = [b"HTTP/1.", b"HTTP/1.1", b"HTTP/1.1 ", b"HTTP/1. 2", b"HTTP/1.11", b"HT?"]

    decisions = [matches(begun, reply, prefix=prefix) for begun in received]
    assert decisions == [None, None, None, False, False, False]
    assert matches(b"HTTP/1.", [b"HTTP/1.", b""], prefix=prefix) is None


@given(st.lists(st.tuples(st.integers(0, 255), st.booleans()), max_size=1024))
def test_any_bytes_can_be_written(data: list[tuple[int, bool]]) -> None:
    """Any bytes can be written, with escapes and without, and are read back."""
    plain = {0: rb"\0", 9: rb"\t", 10: rb"\n", 13: rb"\r", 92: rb"\\"}
    text = b"".join(
        b"\\x%02x" % byte if escaped else plain.get(byte, bytes([byte])) for byte, escaped in data
    )

    assert unescape(os.fsdecode(text)) == bytes(byte for byte, _ in data)
    assert unescape(r"\xC3\xa3\x414\\n\01") == b"\xc3\xa3A4\\n\x001"


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param(["\\", "a\\", r"\\" + "\\", r"\x", r"\x4"], id="half"),
        pytest.param([r"\a", r"\N", r"\R", r"\X41", r"\1", r"\u0041", r"\ ", "\\\n"], id="unknown"),
        pytest.param([r"\xg1", r"\x4g", r"\x-1", r"\x+1", r"\x 4", r"\x4 "], id="not hexadecimal"),
        pytest.param(["\\x\uff141", "\\x\u06641", "\\é", "\\\udcff", "\\x\udcff1"], id="not ASCII"),
        pytest.param(["\ud800"], id="no encoding"),
    ],
)
def test_other_escapes_are_errors(texts: list[str]) -> None:
    """No other escape is understood, half of one neither, and no text without an encoding."""
    for text in texts:
        with pytest.raises(ValueError):  # noqa: PT011 - its text is for nobody
            unescape(text)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param("conexão 日本語 🎉".encode(), "conexão 日本語 🎉", id="printable"),
        pytest.param("\r\n\x85\u2028".encode(), r"\r\n\x85\u2028", id="line ends"),
        pytest.param("\t\0\x1b[2J\x7f\x9b31m".encode(), r"\t\x00\x1b[2J\x7f\x9b31m", id="controls"),
        pytest.param("\u202egnp\ufeff".encode(), r"\u202egnp\ufeff", id="invisible"),
        pytest.param(b"\xff\xc3(\xed\xa0\x80", r"\xff\xc3(\xed\xa0\x80", id="not UTF-8"),
    ],
)
def test_unprintable_characters_are_escaped(data: bytes, text: str) -> None:
    """Controls, terminal escapes, what turns text around and what is not UTF-8 are escaped."""
    assert printable(data) == text


@pytest.mark.parametrize("character", ["a", "ã", "🎉", "\n", "\U000e0001", "\udcff"], ids=ascii)
def test_limit_counts_characters_before_escaping(character: str) -> None:
    """A text is cut at so many characters as were sent, whatever they are shown as."""
    data = character.encode(errors="surrogateescape")
    shown = printable(data)

    assert printable(data * 201, 200) == shown * 200
    assert printable(data * 199, 200) == shown * 199


@given(st.binary() | TEXTS.map(lambda text: text.encode(errors="surrogatepass")))
def test_any_bytes_are_one_printable_line(data: bytes) -> None:
    """Whatever a peer sends is shown as one line that does nothing to a terminal."""
    shown = printable(data)

    assert shown.isprintable()
    assert shown.encode().decode() == shown
    assert shown.startswith(printable(data, 5))
