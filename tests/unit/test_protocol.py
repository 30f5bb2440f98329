"""The protocol as functions of bytes and text, without a socket."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.protocol import matches, printable, unescape


@given(st.lists(st.binary(), min_size=1), st.binary(min_size=1), st.booleans())
def test_first_wrong_byte_decides(reply: list[bytes], any_bytes: bytes, prefix: bool) -> None:
    """A partial reply decides nothing, and a wrong byte decides at once.

    A wildcard matches any byte. Bytes after the reply are wrong, except with ``prefix``.
    """
    whole, free = reply[0], set()
    for number, part in enumerate(reply[1:]):
        free.add(len(whole))
        whole += any_bytes[number % len(any_bytes) :][:1] + part

    for position, byte in enumerate(whole):
        assert matches(whole[:position], reply, prefix=prefix) is None
        if position not in free:
            wrong = whole[:position] + bytes([byte ^ 1])
            assert matches(wrong, reply, prefix=prefix) is False
            assert matches(wrong + whole, reply, prefix=prefix) is False
    assert matches(whole, reply, prefix=prefix) is True
    assert matches(whole + b"\n", reply, prefix=prefix) is prefix


@given(st.lists(st.tuples(st.integers(0, 255), st.booleans()), max_size=1024))
def test_any_bytes_can_be_written(data: list[tuple[int, bool]]) -> None:
    """Any bytes can be written in a variable, as escapes or as they are."""
    plain = {0: rb"\0", 9: rb"\t", 10: rb"\n", 13: rb"\r", 92: rb"\\"}
    text = b"".join(
        b"\\x%02x" % byte if escaped else plain.get(byte, bytes([byte])) for byte, escaped in data
    )

    assert unescape(os.fsdecode(text)) == bytes(byte for byte, _ in data)
    assert unescape(r"\xC3\xa3\x414\\n\01") == b"\xc3\xa3A4\\n\x001"


def test_unknown_escape_is_an_error() -> None:
    """An unknown or incomplete escape is an error, and so is a lone surrogate."""
    half = ["\\", "a\\", r"\\" + "\\", r"\x", r"\x4"]
    unknown = [r"\a", r"\R", r"\X41", r"\1", r"\u0041", r"\ ", "\\\n", "\\é", "\\\udcff"]
    not_hexadecimal = [r"\xg1", r"\x4g", r"\x-1", r"\x 4", r"\x4 ", "\\x\uff141", "\\x\udcff1"]
    for text in [*half, *unknown, *not_hexadecimal, "\ud800"]:
        with pytest.raises(ValueError):  # noqa: PT011 - nobody reads its text
            unescape(text)


def test_unprintable_characters_are_escaped() -> None:
    """Control characters, terminal sequences, direction marks and invalid UTF-8 are escaped."""
    shown = {
        "conexão 日本語 🎉".encode(): "conexão 日本語 🎉",
        "\r\n\x85\u2028\t\0\x1b[2J\x7f\x9b31m".encode(): r"\r\n\x85\u2028\t\x00\x1b[2J\x7f\x9b31m",
        "\u202egnp\ufeff".encode(): r"\u202egnp\ufeff",
        b"\xff\xc3(\xed\xa0\x80": r"\xff\xc3(\xed\xa0\x80",
    }
    assert {data: printable(data) for data in shown} == shown
