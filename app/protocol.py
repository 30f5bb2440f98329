"""What goes over the wire, as bytes without a socket, and how it is written down.

There is no framing: a reply is whole when it has as many bytes as the one expected.
"""

_ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}


def matches(received: bytes, reply: bytes, *, prefix: bool = False) -> bool | None:
    """Tell whether this is the reply: yes, no, or None while it may still become it.

    With ``prefix`` anything may follow.
    """
    if len(received) < len(reply):
        return None if reply.startswith(received) else False
    return received.startswith(reply) if prefix else received == reply


def unescape(text: str) -> bytes:
    r"""Encode as UTF-8, reading ``\r \n \t \0 \\`` and ``\xNN`` as the bytes they stand for.

    Raises ValueError for anything else behind a backslash.
    """
    data = bytearray()
    start = 0
    while (backslash := text.find("\\", start)) >= 0:
        data += text[start:backslash].encode(errors="surrogateescape")
        kind, start = text[backslash + 1 : backslash + 2], backslash + 2
        if kind == "x":
            byte, start = bytes.fromhex(text[start : start + 2]), start + 2
        else:
            byte = _ESCAPES.get(kind, b"")
        if not byte:  # fromhex() reads blanks as nothing
            raise ValueError(text)
        data += byte
    return bytes(data) + text[start:].encode(errors="surrogateescape")


def printable(data: bytes | memoryview, limit: int | None = None) -> str:
    """Decode as UTF-8 for one line of a log or terminal, at most ``limit`` characters of it.

    What is not valid or not printable becomes an escape, such as ``\\n``, ``\\x1b``, ``\\xff``.
    """
    start = data if limit is None else data[: 4 * limit]  # a character has at most four bytes
    text = bytes(start).decode(errors="surrogateescape")[:limit]
    return text if text.isprintable() else "".join(map(_escape, text))


def _escape(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":  # where surrogateescape puts a byte that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
