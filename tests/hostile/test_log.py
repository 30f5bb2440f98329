"""Whatever is said to either program, its log stays one line for one thing, and plain text."""

import random
import re
import socket
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hostile.support import name_of
from tests.support import (
    PATIENCE,
    REPLY,
    Outcome,
    listening,
    receive,
    run_client,
    running_server,
    until,
)

FORGED = "2026-11-23T00:00:00.000Z INFO 192.0.2.1:1: forged"
# Ends of lines, terminals' control sequences, text that runs backwards, bytes that are not UTF-8.
NASTY = [
    *(text.encode() for text in (FORGED, "\n", "\r\n", "\0", "\b", "\x7f", "\x85", "\u2028")),
    *(text.encode() for text in ("\x1b[2J\x1b[H", "\x1b]0;title\a", "\x9b31m", "\u202e", "\ufeff")),
    *(b"\xff", b"\xc3", b"\xe2\x80", b"\xed\xa0\x80", b"\xc0\x8a", b"\x9b", "ã".encode(), b"%s\\"),
]
MESSAGES = st.binary(min_size=1, max_size=2000) | st.lists(
    st.sampled_from(NASTY) | st.binary(max_size=8), min_size=1
).map(b"".join).filter(len)


def is_plain(line: str) -> bool:
    """Tell whether a line has no control, format, surrogate or unassigned character."""
    return not any(unicodedata.category(c)[0] == "C" or c in "\u2028\u2029" for c in line)


def check_log(outcome: Outcome, said: list[str]) -> None:
    """Assert that the log has one line for each of those peers, in order, and is plain."""
    # Not splitlines(), to which more characters end a line than a log's reader knows.
    lines = outcome.stderr.removesuffix("\n").split("\n")
    assert all(map(is_plain, lines))
    found = [re.fullmatch(r"\S+Z INFO (\S+): .+", line) for line in lines[1:-1]]
    assert [match and match[1] for match in found] == said


def test_any_bytes() -> None:
    """Any bytes make one line, which bears the peer's name and is plain."""
    said: list[str] = []

    @settings(max_examples=500)
    @given(MESSAGES)
    def say(message: bytes) -> None:
        seen = len(server.log)
        with server.connect() as sock:
            sock.settimeout(PATIENCE)
            said.append(name_of(sock))
            sock.sendall(message)
            assert receive(sock, len(REPLY)) == REPLY
        until(lambda: len(server.log) > seen)

        (line,) = server.log[seen:]
        assert re.fullmatch(rf"INFO {said[-1]}: .+", line)
        assert is_plain(line)

    with running_server() as server:
        say()
        outcome = server.stop()
    assert outcome.exit_code == 0
    check_log(outcome, said)


def test_noise() -> None:
    """Three thousand clients of noise, most of them with more to say than is shown, do the same."""
    chance = random.Random(4)
    said: list[str] = []
    with running_server() as server:
        for _ in range(3000):
            with server.connect() as sock:
                said.append(name_of(sock))
                noise = b"".join(chance.choices(NASTY, k=chance.randrange(4)))
                sock.sendall(noise + chance.randbytes(chance.randrange(1, 2000)))
                assert receive(sock, len(REPLY)) == REPLY
        outcome = server.stop()
    assert outcome.exit_code == 0
    check_log(outcome, said)
    assert max(map(len, outcome.stderr.split("\n"))) < 200 * len(r"\U0010ffff") + 80


@pytest.mark.parametrize("output", ["text", "json"])
def test_noise_from_a_server(output: str) -> None:
    """What a client is answered gets through to its terminal as plain text only, on one line."""
    chance = random.Random(4)

    def answer(sock: socket.socket) -> None:
        sock.recv(1024)
        sock.sendall(b"".join(chance.choices(NASTY, k=20)))

    with listening(answer) as address:
        for _ in range(10):
            outcome = run_client(address, OUTPUT=output)
            assert outcome.exit_code == 76
            assert outcome.stdout.count("\n") == (output == "json")
            assert outcome.stderr.count("\n") == 1
            assert is_plain(outcome.stdout.removesuffix("\n") + outcome.stderr.removesuffix("\n"))
