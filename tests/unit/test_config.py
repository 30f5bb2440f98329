"""The configuration: what each kind of value takes, and which variable is of which kind."""

import os
import sys
from decimal import Decimal
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.config import ClientConfig, ConfigError, Environment, ServerConfig
from app.services import SERVICES
from tests.lib.peers import MESSAGE, REPLY

# A variable of each kind, by which the kind is tried.
KINDS = {
    "address": ("server", "HOST"),
    "host": ("client", "SERVER_HOST"),
    "whole number": ("server", "PORT"),
    "seconds": ("client", "DEADLINE"),
    "seconds above 0": ("client", "RETRY_DELAY"),
    "bytes": ("client", "MESSAGE"),
    "reply": ("client", "REPLY"),
    "word": ("client", "OUTPUT"),
    "level": ("client", "LOG_LEVEL"),
}
ADDRESSES = ["127.0.0.1", "192.168.15.10", "198.18.0.1", "255.255.255.255"]
LONG_NAME = ".".join(["x" * 63] * 3 + ["x" * 61])
GOOD: dict[str, dict[str, object]] = {
    "address": {text: text for text in [*ADDRESSES, "0.0.0.0"]},
    "host": {
        text: text
        for text in [
            *(*ADDRESSES, "server", "SERVER", "a", "a.b", "my_server", "_srv._tcp.example", "a--b"),
            *("server.", "a.b.", "3com", "1.2.3.4a", "1.2.example", "0xa.example", "x" * 63),
            *("0xygen", "a.0xmesh", LONG_NAME),
        ]
    },
    "whole number": {text: int(text) for text in ["0", "1", "8888", "65535", "007"]},
    "seconds": {
        text: float(text)
        for text in [
            *("0", "0.0", "2", "0.25", "0.001", "007.50", "999999.999", "1000000"),
            "1000000.000",
        ]
    },
    "seconds above 0": {"0.001": 0.001, "1000000": 1e6},
    "bytes": {"": b"", " ": b" ", r"PING\r\n": b"PING\r\n", "a\nb": b"a\nb", "\udcff": b"\xff"},
    "reply": {
        "?": [b"?"],
        r"\?": [b"", b""],
        r"HTTP/1.\? 2": [b"HTTP/1.", b" 2"],
        r"\\?": [b"\\?"],
        r"\\\?\x3f": [b"\\", b"?"],
        r"\?" * 65536: [b""] * 65537,
    },
    "word": {"text": "text", "json": "json"},
    "level": {text: text.upper() for text in ["DEBUG", "INFO", "warning", "Error"]},
}
BLANKS = [" ", "\t", "\n", "", "\u3000"]
NO_ADDRESSES = {
    "too few or too many parts": ["127.1", "1.2.3", "1.2.3.4.5", "1.2.3.4.", "1..2.3", "0"],
    "out of range": ["256.1.1.1", "1.2.3.-4", "2130706433"],
    "octal or hexadecimal": ["0x7f.1", "0x7f000001", "127.0.0.0x1", "127.0.0.01", "0177.0.0.1"],
    "IPv6": ["::1", "::ffff:127.0.0.1", "[::1]", "fe80::1%lo"],
    "with a port": ["1.2.3.4:80"],
    "not ASCII": ["\u0661\u0662\u0667.\u0660.\u0660.\u0661", "\uff1127.0.0.1"],
    "blank": [*BLANKS, " 127.0.0.1", "127.0.0.1\n"],
}
NO_SECONDS = {
    "not finite": ["nan", "inf", "Infinity", "-inf"],
    "with a sign": ["+2", "-2", "-0"],
    "not plain decimal": ["1e3", "1E3", ".5", "5.", ".", "1.2.3", "1,5", "1_000", "0x10"],
    "with a unit": ["2s", "two"],
    "too long": ["1000000.001", "1000001", "9" * 400, "9" * 5000],
    "not ASCII": ["\u0662", "\u00b2", "\uff12", "1.\u0665"],
    "blank": [*BLANKS, " 2", "2 ", "2\n", "2 000"],
}
BAD = {
    "address": NO_ADDRESSES | {"a name": ["server", "localhost", "a.b"]},
    "host": NO_ADDRESSES
    | {
        "any address": ["0.0.0.0", "0.0.0.0."],
        "empty labels": [".", "..", ".a", "a..b", "a.."],
        "hyphens at the ends": ["-a", "a-", "a.-b", "a-.b"],
        "other characters": ["a b", "a/b", "a:80", "a@b", "*", "$HOST", "%s", "a\0b", " a", "a\n"],
        "a name that is not ASCII": ["é", "xn--é"],
        "too long": ["x" * 64, "x" * 64 + ".a", LONG_NAME + "x"],
        "a number at its end": ["a.1", "a.0x1", "0x", "0XfF", "a.0Xa."],
    },
    "whole number": {
        "with a sign": ["-1", "+1"],
        "not plain": ["1.0", "1e3", "0x10", "1_000", "8,888", "one", "http"],
        "out of range": ["65536", "88888", "9" * 5000],
        "not ASCII": ["\u0668\u0668", "\u00b2", "\uff11"],
        "blank": [*BLANKS, " 1", "1 ", "1\n"],
    },
    "seconds": NO_SECONDS,
    "seconds above 0": {"zero": ["0", "0.0", "0.000"]},
    "bytes": {"unknown escapes": ["a\\", r"\a", r"\x4"]},
    "word": {
        "another": ["xml", "exact", "texts", "text or json", "yes", "1"],
        "another case": ["JSON", "Text"],
        "blank": [*BLANKS, " text", "json\n"],
    },
    "level": {
        "another": ["TRACE", "WARN", "20"],
        "not ASCII": ["\u0130NFO", "\u0131nfo"],
        "blank": [*BLANKS, "INFO ", "INFO\n"],
    },
}
ESCAPES = r"\r \n \t \0 \\ \xNN"


class Variable(NamedTuple):
    """What tells its kind: the edge of what it takes, what is just beyond, what is said then."""

    program: str
    name: str
    takes: list[str]
    refuses: list[str]
    allowed: list[str]


SECONDS = (["0.001", "1000000"], ["1000000.001", "1e3"], ["decimal seconds", "1000000"])
ABOVE_0 = (SECONDS[0], [*SECONDS[1], "0"], [*SECONDS[2], "above 0"])
FROM_0 = ([*SECONDS[0], "0"], SECONDS[1], SECONDS[2])
REPLIES, NO_REPLIES = ["x", "é" * 32768, r"\x3f?"], ["", "x" * 65537, "\\"]
LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR"]
VARIABLES = [
    Variable("server", "HOST", ["0.0.0.0"], ["server"], ["IPv4 address"]),
    Variable("server", "PORT", ["0", "65535"], ["-1", "65536"], ["0", "65535"]),
    Variable("server", "REPLY", REPLIES, [*NO_REPLIES, r"\?"], ["1", "65536 bytes", ESCAPES]),
    Variable("server", "IDLE_TIMEOUT", *FROM_0),
    Variable("server", "MAX_CONNECTIONS", ["1", "10000"], ["0"], ["whole number", "1"]),
    Variable("server", "DRAIN_TIMEOUT", *FROM_0),
    Variable("server", "LOG_LEVEL", LEVELS, ["TRACE"], LEVELS),
    Variable("client", "SERVER_HOST", ["server"], ["0.0.0.0"], ["name", "IPv4 address", "0.0.0.0"]),
    Variable("client", "SERVER_PROTOCOL", [*SERVICES], ["", "Redis", "redis "], [*SERVICES]),
    Variable("client", "SERVER_PORT", ["1", "65535"], ["0", "65536"], ["1", "65535"]),
    Variable(
        *("client", "MESSAGE", ["", "x" * 65536], ["x" * 65537, "é" * 32769, "\\", r"\?"]),
        ["0", "65536 bytes", ESCAPES],
    ),
    Variable(
        *("client", "REPLY", [*REPLIES, r"\?"], [*NO_REPLIES, r"\?" * 65537]),
        ["1", "65536 bytes", rf"{ESCAPES} \?"],
    ),
    Variable("client", "REPLY_MATCH", ["exact", "prefix"], ["fail"], ["exact", "prefix"]),
    Variable("client", "WRONG_REPLY", ["fail", "retry"], ["exact"], ["fail", "retry"]),
    Variable("client", "RETRY_DELAY", *ABOVE_0),
    Variable("client", "CONNECT_TIMEOUT", *ABOVE_0),
    Variable("client", "REPLY_TIMEOUT", *ABOVE_0),
    Variable("client", "DEADLINE", *FROM_0),
    Variable("client", "OUTPUT", ["text", "json"], ["xml"], ["text", "json"]),
    Variable("client", "LOG_LEVEL", LEVELS, ["TRACE"], LEVELS),
]


CONFIGS = {"server": ServerConfig, "client": ClientConfig}


def variables_of(program: str) -> set[str]:
    """Return the names of the variables that a program reads."""
    env = Environment({})
    CONFIGS[program](env)
    return {*env.asked}


def settings_of(program: str, **environ: str) -> dict[str, object]:
    """Return what a program makes of its environment, by variable. Raises ConfigError."""
    config = CONFIGS[program](Environment(environ))
    return {name.upper(): value for name, value in vars(config).items()}


def refusal(program: str, name: str, text: str) -> str:
    """Return the line about a value that is not valid: it begins with the name, and is a line."""
    with pytest.raises(ConfigError) as refused:
        settings_of(program, **{name: text})
    line = str(refused.value)
    assert line.startswith(f"{name}=")
    assert line.isprintable()
    return line


def test_the_defaults_are_those_of_the_seed() -> None:
    """Without any variable, the pair is the one that was asked for; .env.example has the others."""
    server, client = settings_of("server"), settings_of("client")

    assert server | {"HOST": "192.168.15.10", "PORT": 8888, "REPLY": REPLY} == server
    address = {"SERVER_HOST": "192.168.15.10", "SERVER_PORT": 8888}
    assert client | address | {"MESSAGE": MESSAGE, "REPLY": [REPLY], "RETRY_DELAY": 2.0} == client


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_value_is_taken(kind: str) -> None:
    """Each kind takes what the specification allows, up to its limits."""
    program, name = KINDS[kind]

    assert {text: settings_of(program, **{name: text})[name] for text in GOOD[kind]} == GOOD[kind]


@pytest.mark.parametrize(
    ("kind", "why"),
    [pytest.param(kind, why, id=f"{kind}: {why}") for kind in BAD for why in BAD[kind]],
)
def test_a_bad_value_is_refused_in_one_line(kind: str, why: str) -> None:
    """What is not allowed is named on one printable line that shows the value, cut if need be."""
    for text in BAD[kind][why]:
        line = refusal(*KINDS[kind], text)
        assert not text.isprintable() or text[:200] in line
        assert len(line) < 400


@pytest.mark.parametrize(
    "variable", VARIABLES, ids=lambda variable: f"{variable.program} {variable.name}"
)
def test_a_variable_is_of_its_kind(variable: Variable) -> None:
    """Each takes the edges of its kind, refuses what is beyond, and says what is allowed."""
    for text in variable.takes:
        settings_of(variable.program, **{variable.name: text})
    for text in variable.refuses:
        said = refusal(variable.program, variable.name, text).split(" is not valid", 1)[1]
        for words in variable.allowed:
            assert words in said


def test_a_protocol_sets_defaults() -> None:
    """SERVER_PROTOCOL sets what is not set by itself, and nothing else."""
    found = settings_of("client", SERVER_PROTOCOL="http")
    mine = {"MESSAGE": "x", "REPLY": "y", "REPLY_MATCH": "exact", "WRONG_REPLY": "fail"}
    mine |= {"SERVER_PORT": "1"}

    how = {"SERVER_PORT": 80, "REPLY_MATCH": "prefix", "WRONG_REPLY": "retry"}
    assert found == settings_of("client") | how | {
        "MESSAGE": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "REPLY": [b"HTTP/1.", b" 2"],
    }
    assert settings_of("client", SERVER_PROTOCOL="http", **mine) == settings_of("client", **mine)


@pytest.mark.parametrize("program", ["server", "client"])
def test_every_variable_is_in_the_table(program: str) -> None:
    """No variable is left out of the table above."""
    assert {row.name for row in VARIABLES if row.program == program} == variables_of(program)


@pytest.mark.parametrize("program", ["server", "client"])
def test_variables_of_others_do_not_matter(program: str) -> None:
    """Neither program looks at what only the other one reads, nor at anything else."""
    others = {row.name for row in VARIABLES} - variables_of(program) | {"PATH", "port", "Reply"}

    assert settings_of(program, **dict.fromkeys(others, "\\")) == settings_of(program)


@given(st.decimals(0, 1_000_000, places=6), st.integers(0, 6))
def test_decimal_seconds_round_trip(seconds: Decimal, places: int) -> None:
    """A duration written as plain decimal seconds is read as that number."""
    text = f"{seconds:.{places}f}"

    assert settings_of("client", DEADLINE=text)["DEADLINE"] == float(Decimal(text))


@given(st.lists(st.tuples(st.integers(0, 255), st.booleans()), max_size=1024))
def test_any_bytes_can_be_a_message(data: list[tuple[int, bool]]) -> None:
    """Any bytes that are not too many can be written, with escapes and without, and read back."""
    plain = {0: rb"\0", 9: rb"\t", 10: rb"\n", 13: rb"\r", 92: rb"\\"}
    text = b"".join(
        b"\\x%02x" % byte if escaped else plain.get(byte, bytes([byte])) for byte, escaped in data
    )
    message = bytes(byte for byte, _ in data)

    assert settings_of("client", MESSAGE=os.fsdecode(text))["MESSAGE"] == message


@settings(max_examples=400)
@given(
    st.sampled_from([*KINDS]),
    # Not st.text(), which takes seconds to get ready in a fresh clone; not only UTF-8.
    st.lists(st.integers(0, sys.maxunicode).map(chr)).map(
        lambda characters: "".join(characters).encode(errors="replace").decode()
    )
    | st.binary().map(os.fsdecode),
)
def test_no_text_is_worse_than_refused(kind: str, text: str) -> None:
    """Whatever stands in a variable, it is taken, or refused on one printable line."""
    program, name = KINDS[kind]
    try:
        settings_of(program, **{name: text})
    except ConfigError:
        refusal(program, name, text)
