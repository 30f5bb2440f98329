"""What goes over the wire, as bytes without a socket, and how it is written down.

There is no framing: a reply is whole when it has as many bytes as the one expected.
"""

import re

RECEIVE_BYTES = 64 * 1024  # a chunk; from 128 KiB on, malloc(3) maps and unmaps each buffer
_ESCAPE = re.compile(rb"\\([rnt0\\]|x[0-9a-fA-F]{2}|)")
_ESCAPES = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}


def matches(received: bytes, reply: list[bytes], *, prefix: bool = False) -> bool | None:
    """Compare what has come with the reply: True, False, or None while it may still become it.

    Between two parts of the reply is any one byte; with ``prefix`` more bytes may follow.
    """
    expected = bytearray(reply[0])
    for part in reply[1:]:
        expected += (received[len(expected) : len(expected) + 1] or b"?") + part
    if len(received) < len(expected):
        return None if expected.startswith(received) else False
    return received.startswith(expected) if prefix else received == expected


def unescape(text: str) -> bytes:
    r"""Encode as UTF-8, reading ``\r \n \t \0 \\`` and ``\xNN`` as the bytes they stand for.

    Raises ValueError for anything else behind a backslash.
    """

    def byte(escape: re.Match[bytes]) -> bytes:
        if not escape[1]:
            raise ValueError(text)
        return _ESCAPES.get(escape[1]) or bytes.fromhex(escape[1][1:].decode())

    return _ESCAPE.sub(byte, text.encode(errors="surrogateescape"))


def printable(data: bytes | memoryview, limit: int | None = None) -> str:
    """Decode as UTF-8 for one line of a log or terminal, at most ``limit`` characters of it.

    What is not valid or not printable becomes an escape, such as ``\\n``, ``\\x1b``, ``\\xff``.
    Nothing is imported for it: a codec such as unicode_escape would need a file descriptor.
    """
    start = data if limit is None else data[: 4 * limit]  # a character has at most four bytes
    text = bytes(start).decode(errors="surrogateescape")[:limit]
    if text.isprintable():
        return text
    shown = text.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown)
