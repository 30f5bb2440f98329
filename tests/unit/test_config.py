"""The configuration: the values that each variable accepts, and the error for other values."""

from collections.abc import Mapping
from typing import NamedTuple

import pytest

from app.config import ClientConfig, ConfigError, Environment, ServerConfig
from app.services import SERVICES

CONFIGS = {"server": ServerConfig, "client": ClientConfig}


class Variable(NamedTuple):
    """A variable with its valid values, how each is read, its invalid values and their error."""

    program: str
    name: str
    takes: list[str] | Mapping[str, object]
    refuses: list[str]
    allowed: str


BLANKS = [" ", "\t", "\n", "", "\u3000", "\udcff"]
ADDRESSES = ["127.0.0.1", "192.168.15.10", "255.255.255.255"]
LONG_NAME = ".".join(["x" * 63] * 3 + ["x" * 61])
NAMES = [
    *("server", "SERVER", "a.b.", "my_server", "_srv._tcp.example", "a--b", "3com", "1.2.3.4a"),
    *("1.2.example", "0xa.example", "x" * 63, LONG_NAME),
]
NO_ADDRESSES = [
    *("127.1", "1.2.3.4.5", "1.2.3.4.", "1..2.3", "0", "256.1.1.1", "0x7f.1", "127.0.0.0x1"),
    *("127.0.0.01", "1.2.3.4:80", "::1", "[::1]", "\uff1127.0.0.1", " 127.0.0.1", "127.0.0.1\n"),
    *BLANKS,
]
NO_NAMES = [
    *("0.0.0.0", "0.0.0.0.", ".", "..", ".a", "a..b", "a..", "-a", "a-", "a.-b", "a-.b"),
    *("a b", "a/b", "a:80", "*", "%s", "a\0b", " a", "a\n", "é", "xn--é"),
    *("x" * 64, "x" * 64 + ".a", LONG_NAME + "x", "a.1", "a.0x1", "0x", "0XfF", "a.0Xa."),
]
NO_NUMBERS = [
    *("-1", "+1", "1.0", "1e3", "0x10", "1_000", "8,888", "one", "9" * 5000),
    *("\u0668\u0668", "\u00b2", " 1", "1 ", "1\n", *BLANKS),
]
DURATIONS: dict[str, object] = {
    text: float(text) for text in ["2", "0.25", "0.001", "007.50", "999999.999", "1000000.000"]
}
NO_DURATIONS = [
    *("nan", "inf", "+2", "-2", "-0", "1e3", ".5", "5.", ".", "1.2.3", "1,5", "1_000", "0x10"),
    *("2s", "1000000.001", "9" * 400, "\u0662", "1.\u0665", " 2", "2 ", "2\n", *BLANKS),
]
DECIMAL = "plain decimal seconds, such as 2 or 0.25, at most 1000000"
ABOVE_0 = (DURATIONS, ["0", "0.000", *NO_DURATIONS], f"{DECIMAL} and above 0")
FROM_0 = (DURATIONS | {"0": 0.0}, NO_DURATIONS, DECIMAL)
ESCAPES = r"65536 bytes of UTF-8, a backslash only in \r \n \t \0 \\ \xNN"
LEVELS = {text: text.upper() for text in ["DEBUG", "INFO", "WARNING", "ERROR", "warning", "Error"]}
NO_LEVELS = ["TRACE", "WARN", "20", "\u0130NFO", "INFO ", "INFO\n", *BLANKS]
LEVEL = (LEVELS, NO_LEVELS, "INFO or DEBUG or WARNING or ERROR")
NO_HOST = "a host name or an IPv4 address, not 0.0.0.0"
NO_OUTPUT = ["xml", "texts", "text or json", "JSON", " text", "json\n", *BLANKS]
NO_PORTS = [*NO_NUMBERS, "65536"]
ANY_REPLY = {r"HTTP/1.\? 2": [b"HTTP/1.", b" 2"], r"\\?": [b"\\?"], r"\\\?\x3f": [b"\\", b"?"]}
VARIABLES = [
    Variable("server", "HOST", [*ADDRESSES, "0.0.0.0"], [*NO_ADDRESSES, "a"], "an IPv4 address"),
    Variable(
        "server", "PORT", {"0": 0, "65535": 65535}, NO_PORTS, "a whole number from 0 to 65535"
    ),
    Variable(
        *("server", "REPLY", {"x": b"x", "é" * 32768: b"\xc3\xa9" * 32768, r"\x3f?": b"??"}),
        *(["", "x" * 65537, "\\", r"\?"], f"1 to {ESCAPES}"),
    ),
    Variable("server", "IDLE_TIMEOUT", *FROM_0),
    Variable(
        "server", "MAX_CONNECTIONS", {"1": 1, "10000": 10000}, [*NO_NUMBERS, "0"], "from 1 to"
    ),
    Variable("server", "DRAIN_TIMEOUT", *FROM_0),
    Variable("server", "LOG_LEVEL", *LEVEL),
    Variable("client", "SERVER_HOST", [*ADDRESSES, *NAMES], [*NO_ADDRESSES, *NO_NAMES], NO_HOST),
    Variable("client", "SERVER_PROTOCOL", dict.fromkeys(SERVICES), ["", "Redis"], "one of amqp, "),
    Variable("client", "SERVER_PORT", {"1": 1, "007": 7}, ["0", *NO_PORTS], "from 1 to 65535"),
    Variable(
        *("client", "MESSAGE", {"": b"", r"PING\r\n": b"PING\r\n", "a\n\udcff": b"a\n\xff"}),
        *(["x" * 65537, "é" * 32769, "\\", r"\?", r"\a", r"\x4"], f"0 to {ESCAPES}"),
    ),
    Variable(
        *("client", "REPLY", {"?": [b"?"], r"\?" * 65536: [b""] * 65537} | ANY_REPLY),
        *(["", "x" * 65537, "\\", r"\?" * 65537], rf"1 to {ESCAPES} \?"),
    ),
    Variable("client", "REPLY_MATCH", ["exact", "prefix"], ["fail"], "exact or prefix"),
    Variable("client", "WRONG_REPLY", ["fail", "retry"], ["exact"], "fail or retry"),
    Variable("client", "RETRY_DELAY", *ABOVE_0),
    Variable("client", "CONNECT_TIMEOUT", *ABOVE_0),
    Variable("client", "REPLY_TIMEOUT", *ABOVE_0),
    Variable("client", "DEADLINE", *FROM_0),
    Variable("client", "OUTPUT", ["text", "json"], NO_OUTPUT, "text or json"),
    Variable("client", "LOG_LEVEL", *LEVEL),
]


def settings_of(program: str, **environ: str) -> dict[str, object]:
    """Return the settings that a program reads from these variables. Raises ConfigError."""
    config = CONFIGS[program](Environment(environ))
    return {name.upper(): value for name, value in vars(config).items()}


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda row: " ".join(row[:2]))
def test_valid_values_are_read_and_invalid_values_refused(variable: Variable) -> None:
    """A variable accepts every valid value, up to its limits.

    The error for another value is one printable line: the variable, the value, what is valid.
    """
    program, name, takes, refuses, allowed = variable
    takes = dict(zip(takes, takes, strict=True)) if isinstance(takes, list) else takes

    for text, value in takes.items():
        assert settings_of(program, **{name: text}).get(name) == value
    for text in refuses:
        with pytest.raises(ConfigError) as refused:
            settings_of(program, **{name: text})
        shown, _, expected = str(refused.value).partition(" is not valid: expected ")
        assert shown.startswith(f"{name}='")
        assert shown.isprintable()
        assert len(shown) < 300
        assert not text.isprintable() or text[:200] in shown
        assert allowed in expected


def test_protocol_sets_defaults() -> None:
    """SERVER_PROTOCOL changes the defaults of five variables, but no value that the user sets."""
    found = settings_of("client", SERVER_PROTOCOL="http")
    mine = {"MESSAGE": "x", "REPLY": "y", "REPLY_MATCH": "exact", "WRONG_REPLY": "fail"}
    mine |= {"SERVER_PORT": "1"}

    how = {"SERVER_PORT": 80, "REPLY_MATCH": "prefix", "WRONG_REPLY": "retry"}
    assert found == settings_of("client") | how | {
        "MESSAGE": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "REPLY": [b"HTTP/1.", b" 2"],
    }
    assert settings_of("client", SERVER_PROTOCOL="http", **mine) == settings_of("client", **mine)
