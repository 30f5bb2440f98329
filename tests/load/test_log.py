"""Whatever is said to the server, its log stays one line for one thing, and plain text."""

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.peers import REPLY, name, receive
from tests.programs import Server

pytestmark = pytest.mark.slow

FORGED = "2026-11-23T00:00:00.000Z INFO 192.0.2.1:1: forged"
# Ends of lines, terminals' control sequences, text that runs backwards, bytes that are not UTF-8.
NASTY = [
    *(text.encode() for text in (FORGED, "\n", "\r\n", "\0", "\b", "\x7f", "\x85", "\u2028")),
    *(text.encode() for text in ("\x1b[2J\x1b[H", "\x1b]0;title\a", "\x9b31m", "\u202e", "\ufeff")),
    *(b"\xff", b"\xc3", b"\xe2\x80", b"\xed\xa0\x80", b"\xc0\x8a", b"\x9b", "ã".encode(), b"%s\\"),
]
MESSAGES = st.binary(min_size=1, max_size=2000) | st.lists(
    st.sampled_from(NASTY) | st.binary(max_size=8), min_size=1, max_size=300
).map(b"".join).filter(len)


def test_any_bytes() -> None:
    """Any bytes make one line, which bears the peer's name and is plain, and is not too long."""
    said: list[str] = []

    @settings(max_examples=1000)
    @given(MESSAGES)
    def say(message: bytes) -> None:
        with server.connect() as sock:
            said.append(name(sock))
            sock.sendall(message)
            assert receive(sock, len(REPLY)) == REPLY

    with Server() as server:
        say()
        outcome = server.stop()
        lines = server.log[1:-1]
    assert outcome.exit_code == 0
    found = [re.fullmatch(r"INFO (\S+): .+", line) for line in lines]
    assert [match and match[1] for match in found] == said
    for line in lines:
        assert not any(unicodedata.category(c)[0] == "C" or c in "\u2028\u2029" for c in line)
        assert len(line) < 200 * len(r"\U0010ffff") + 80
