"""The protocol: bytes and texts alone, no socket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.protocol import matches, printable, unescape
from tests.support import REPLY

TEXTS = st.text(st.characters(exclude_categories=()))  # surrogates too


@pytest.mark.parametrize("prefix", [False, True])
@pytest.mark.parametrize("end", range(len(REPLY)))
def test_a_reply_is_undecided_until_whole(end: int, prefix: bool) -> None:
    """No beginning of the reply is an answer yet, wherever the network splits it."""
    assert matches(REPLY[:end], REPLY, prefix=prefix) is None


@pytest.mark.parametrize("prefix", [False, True])
def test_the_whole_reply_matches(prefix: bool) -> None:
    """The reply itself is the right one, exactly and as a prefix."""
    assert matches(REPLY, REPLY, prefix=prefix) is True


@pytest.mark.parametrize("prefix", [False, True])
@pytest.mark.parametrize("position", range(len(REPLY)))
def test_one_wrong_byte_is_final(position: int, prefix: bool) -> None:
    """What cannot become the reply is wrong from its first wrong byte on."""
    begun = REPLY[:position] + bytes([REPLY[position] ^ 1])

    assert matches(begun, REPLY, prefix=prefix) is False
    assert matches(begun + REPLY, REPLY, prefix=prefix) is False


@pytest.mark.parametrize("extra", [b"\n", b"\0", REPLY])
def test_only_a_prefix_may_be_followed_by_more(extra: bytes) -> None:
    """Bytes beyond the reply make it wrong, unless it is a prefix."""
    assert matches(REPLY + extra, REPLY) is False
    assert matches(REPLY + extra, REPLY, prefix=True) is True


@given(st.binary(), st.binary(min_size=1), st.booleans())
def test_a_decision_is_never_taken_back(received: bytes, reply: bytes, prefix: bool) -> None:
    """A wrong beginning stays wrong whatever follows, and a right prefix stays right."""
    decision = matches(received, reply, prefix=prefix)

    if decision is not None and (prefix or not decision):
        assert matches(received + b"more", reply, prefix=prefix) is decision
    if decision is None:
        assert matches(received + reply[len(received) :], reply, prefix=prefix) is True


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", b""),
        ("Testando conexão", b"Testando conex\xc3\xa3o"),
        (r"PING\r\n", b"PING\r\n"),
        (r"\t\0\\", b"\t\0\\"),
        (r"\x00\xff\xC3\xa3", b"\0\xff\xc3\xa3"),
        (r"\\n", rb"\n"),
        (r"\\\n", b"\\\n"),
        (r"\x414", b"A4"),
        (r"\01", b"\x001"),
        ("a\nb", b"a\nb"),
        ("\udcff", b"\xff"),
    ],
)
def test_escapes_stand_for_bytes(text: str, data: bytes) -> None:
    """Escapes become the bytes they name, and everything else its UTF-8."""
    assert unescape(text) == data


@pytest.mark.parametrize(
    "text",
    [
        *("\\", "a\\", r"\\" + "\\", r"\a", r"\N", r"\R", r"\X41", r"\1", r"\u0041", r"\ "),
        *(r"\x", r"\x4", r"\xg1", r"\x4g", r"\x 4", r"\x4 ", r"\x  ", r"\x\x41", r"\x-1", r"\x+1"),
        *("\\x\N{FULLWIDTH DIGIT FOUR}1", "\\x\N{ARABIC-INDIC DIGIT FOUR}1", "\\é", "\\\n"),
        *("\\\udcff", "\\x\udcff1", "\ud800"),
    ],
)
def test_anything_else_behind_a_backslash_is_an_error(text: str) -> None:
    """No other escape is understood, half of one neither, and no text without an encoding."""
    with pytest.raises(ValueError):  # noqa: PT011 - its text is for nobody
        unescape(text)


@given(st.binary(max_size=1024))
def test_every_byte_can_be_escaped(data: bytes) -> None:
    """Any bytes can be written as escapes and read back."""
    assert unescape("".join(f"\\x{byte:02x}" for byte in data)) == data


@given(TEXTS)
def test_no_text_breaks_unescape(text: str) -> None:
    """A text is bytes or a ValueError, whatever is in it."""
    try:
        assert isinstance(unescape(text), bytes)
    except ValueError:
        assert "\\" in text or not text.isprintable()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (REPLY, REPLY.decode()),
        ("Testando conexão".encode(), "Testando conexão"),
        ("日本語 🎉".encode(), "日本語 🎉"),
        (b"one\ntwo\r\n", r"one\ntwo\r\n"),
        (b"\t\0\x1b[2J\x7f", r"\t\x00\x1b[2J\x7f"),
        ("\x85\x9b31m\xa0".encode(), r"\x85\x9b31m\xa0"),
        ("\u2028\u2029".encode(), r"\u2028\u2029"),
        ("\u202egnp.exe\u2066\u200f".encode(), r"\u202egnp.exe\u2066\u200f"),
        ("\ufeff\U000e0001".encode(), r"\ufeff\U000e0001"),
        (b"\xff\xc3(", r"\xff\xc3("),
        (b"\xed\xa0\x80", r"\xed\xa0\x80"),
        (b"\xc0\xaf", r"\xc0\xaf"),
        (b"\xf4\x90\x80\x80", r"\xf4\x90\x80\x80"),
    ],
)
def test_what_is_not_printable_is_escaped(data: bytes, text: str) -> None:
    """Controls, terminal escapes, what turns text around and what is not UTF-8 are escaped."""
    assert printable(data) == text


@pytest.mark.parametrize("character", ["a", "ã", "日", "🎉", "\n", "\U000e0001"])
def test_the_limit_counts_characters_before_escaping(character: str) -> None:
    """A text is cut at so many characters as were sent, whatever they are shown as."""
    shown = printable(character.encode(), None)

    assert printable(character.encode() * 201, 200) == shown * 200
    assert printable(character.encode() * 199, 200) == shown * 199


def test_a_limit_cuts_between_bytes_that_are_not_utf8() -> None:
    """A byte that is not UTF-8 counts as a character."""
    assert printable(b"\xff" * 201, 200) == r"\xff" * 200


@given(st.binary() | TEXTS.map(lambda text: text.encode(errors="surrogatepass")))
def test_nothing_but_one_printable_line_comes_out(data: bytes) -> None:
    """Whatever a peer sends is shown as one line that does nothing to a terminal."""
    shown = printable(data)

    assert shown.isprintable()
    assert shown.encode().decode() == shown
    assert shown.startswith(printable(data, 5))
