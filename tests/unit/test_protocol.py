"""The protocol: bytes and texts alone, no socket."""

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
def test_a_reply_is_undecided_until_whole(prefix: bool) -> None:
    """No beginning of the reply is an answer yet, wherever the network splits it; the whole is."""
    decisions = [matches(REPLY[:end], [REPLY], prefix=prefix) for end in range(len(REPLY) + 1)]

    assert decisions == [None] * len(REPLY) + [True]


@EXACT_AND_PREFIX
def test_one_wrong_byte_is_final(prefix: bool) -> None:
    """What cannot become the reply is wrong from its first wrong byte on."""
    for position, byte in enumerate(REPLY):
        begun = REPLY[:position] + bytes([byte ^ 1])

        assert matches(begun, [REPLY], prefix=prefix) is False
        assert matches(begun + REPLY, [REPLY], prefix=prefix) is False


@pytest.mark.parametrize("extra", [b"\n", b"\0", REPLY], ids=["newline", "zero", "reply"])
def test_only_a_prefix_may_be_followed_by_more(extra: bytes) -> None:
    """Bytes beyond the reply make it wrong, unless it is a prefix."""
    assert matches(REPLY + extra, [REPLY]) is False
    assert matches(REPLY + extra, [REPLY], prefix=True) is True


@given(st.binary(), st.lists(st.binary(), min_size=1), st.binary(min_size=1), st.booleans())
def test_a_decision_is_never_taken_back(
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


@EXACT_AND_PREFIX
def test_a_wrong_byte_beside_any_byte_is_final(prefix: bool) -> None:
    """Any one byte is neither none nor two, and the next byte decides at once."""
    reply = [b"HTTP/1.", b" 2"]
    decisions = {
        received: matches(received, reply, prefix=prefix)
        for received in (b"HTTP/1.", b"HTTP/1.1", b"HTTP/1.1 ", b"HTTP/1. 2", b"HTTP/1.11", b"HT?")
    }

    assert [*decisions.values()] == [None, None, None, False, False, False]
    assert matches(b"HTTP/1.", [b"HTTP/1.", b""], prefix=prefix) is None
    assert matches(b"HTTP/1.\xff 2", reply, prefix=prefix) is True
    assert matches(b"HTTP/1.1 200", reply, prefix=prefix) is prefix


@pytest.mark.parametrize(
    ("text", "data"),
    [
        pytest.param("", b"", id="empty"),
        pytest.param("conexão\n", b"conex\xc3\xa3o\n", id="UTF-8"),
        pytest.param(r"PING\r\n\t\0", b"PING\r\n\t\0", id="controls"),
        pytest.param(r"\x00\xff\xC3\xa3\x414", b"\0\xff\xc3\xa3A4", id="hexadecimal"),
        pytest.param(r"\\n\\\n\01", b"\\n\\\n\x001", id="backslashes"),
        pytest.param("\udcff", b"\xff", id="not UTF-8"),
    ],
)
def test_escapes_stand_for_bytes(text: str, data: bytes) -> None:
    """Escapes become the bytes they name, and everything else its UTF-8."""
    assert unescape(text) == data


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param(["\\", "a\\", r"\\" + "\\", r"\x", r"\x4"], id="half"),
        pytest.param([r"\a", r"\N", r"\R", r"\X41", r"\1", r"\u0041", r"\ ", "\\\n"], id="unknown"),
        pytest.param([r"\xg1", r"\x4g", r"\x\x41", r"\x-1", r"\x+1"], id="not hexadecimal"),
        pytest.param([r"\x 4", r"\x4 ", r"\x  "], id="blank"),
        pytest.param(["\\x\uff141", "\\x\u06641", "\\é", "\\\udcff", "\\x\udcff1"], id="not ASCII"),
        pytest.param(["\ud800"], id="no encoding"),
    ],
)
def test_anything_else_behind_a_backslash_is_an_error(texts: list[str]) -> None:
    """No other escape is understood, half of one neither, and no text without an encoding."""
    for text in texts:
        with pytest.raises(ValueError):  # noqa: PT011 - its text is for nobody
            unescape(text)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param("conexão 日本語 🎉".encode(), "conexão 日本語 🎉", id="printable"),
        pytest.param(b"one\ntwo\r\n", r"one\ntwo\r\n", id="line ends"),
        pytest.param("\x85\u2028\u2029".encode(), r"\x85\u2028\u2029", id="other line ends"),
        pytest.param(b"\t\0\x1b[2J\x7f", r"\t\x00\x1b[2J\x7f", id="controls"),
        pytest.param("\x9b31m\xa0".encode(), r"\x9b31m\xa0", id="controls of Latin-1"),
        pytest.param(
            "\u202egnp\u2066\u200f".encode(), r"\u202egnp\u2066\u200f", id="turned around"
        ),
        pytest.param("\ufeff\U000e0001".encode(), r"\ufeff\U000e0001", id="invisible"),
        pytest.param(b"\xff\xc3(", r"\xff\xc3(", id="not UTF-8"),
        pytest.param(b"\xed\xa0\x80", r"\xed\xa0\x80", id="surrogate"),
        pytest.param(b"\xc0\xaf", r"\xc0\xaf", id="overlong"),
        pytest.param(b"\xf4\x90\x80\x80", r"\xf4\x90\x80\x80", id="beyond Unicode"),
    ],
)
def test_what_is_not_printable_is_escaped(data: bytes, text: str) -> None:
    """Controls, terminal escapes, what turns text around and what is not UTF-8 are escaped."""
    assert printable(data) == text


@pytest.mark.parametrize(
    "character", ["a", "ã", "日", "🎉", "\n", "\U000e0001", "\udcff"], ids=ascii
)
def test_the_limit_counts_characters_before_escaping(character: str) -> None:
    """A text is cut at so many characters as were sent, whatever they are shown as."""
    data = character.encode(errors="surrogateescape")
    shown = printable(data, None)

    assert printable(data * 201, 200) == shown * 200
    assert printable(data * 199, 200) == shown * 199


@given(st.binary() | TEXTS.map(lambda text: text.encode(errors="surrogatepass")))
def test_nothing_but_one_printable_line_comes_out(data: bytes) -> None:
    """Whatever a peer sends is shown as one line that does nothing to a terminal."""
    shown = printable(data)

    assert shown.isprintable()
    assert shown.encode().decode() == shown
    assert shown.startswith(printable(data, 5))
