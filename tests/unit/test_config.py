"""The configuration: what each variable takes, and what is said of a value that it does not."""

import os
import socket
from collections.abc import Mapping, Sequence
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.config import ClientConfig, ConfigError, ServerConfig
from tests.support import LOOPBACK, REPLY, Outcome, Program

SERVER = {"HOST", "PORT", "IDLE_TIMEOUT", "MAX_CONNECTIONS", "DRAIN_TIMEOUT"}
CLIENT = {
    *("SERVER_HOST", "SERVER_PORT", "MESSAGE", "REPLY_MATCH", "WRONG_REPLY", "RETRY_DELAY"),
    *("CONNECT_TIMEOUT", "REPLY_TIMEOUT", "DEADLINE", "OUTPUT"),
}
BOTH = {"REPLY", "LOG_LEVEL"}
READERS = sorted(
    [("server", name) for name in SERVER | BOTH] + [("client", name) for name in CLIENT | BOTH]
)

# What a message about a bad value must say is allowed.
ALLOWED = {
    "HOST": ["IPv4 address"],
    "PORT": ["0", "65535"],
    "SERVER_HOST": ["name", "IPv4 address", "0.0.0.0"],
    "SERVER_PORT": ["1", "65535"],
    "MESSAGE": ["0", "1024 bytes", r"\r \n \t \0 \\ \xNN"],
    "REPLY": ["1", "65536 bytes", r"\r \n \t \0 \\ \xNN"],
    "REPLY_MATCH": ["exact", "prefix"],
    "WRONG_REPLY": ["fail", "retry"],
    "RETRY_DELAY": ["decimal seconds", "above 0", "10000000"],
    "CONNECT_TIMEOUT": ["decimal seconds", "above 0", "10000000"],
    "REPLY_TIMEOUT": ["decimal seconds", "above 0", "10000000"],
    "DEADLINE": ["decimal seconds", "10000000"],
    "OUTPUT": ["text", "json"],
    "IDLE_TIMEOUT": ["decimal seconds", "10000000"],
    "MAX_CONNECTIONS": ["whole number", "1"],
    "DRAIN_TIMEOUT": ["decimal seconds", "10000000"],
    "LOG_LEVEL": ["DEBUG", "INFO", "WARNING", "ERROR"],
}

ADDRESSES = ["127.0.0.1", "192.168.15.10", "198.18.0.1", "255.255.255.255"]
NO_ADDRESSES = [
    *("127.1", "256.1.1.1", "1.2.3", "1.2.3.4.5", "1.2.3.4.", "1..2.3", "2130706433", "0"),
    *("0x7f.1", "0x7f000001", "127.0.0.0x1", "127.0.0.01", "0177.0.0.1", "1.2.3.-4", "1.2.3.4:80"),
    *(
        "::1",
        "::ffff:127.0.0.1",
        "[::1]",
        "fe80::1%lo",
        "\u0661\u0662\u0667.\u0660.\u0660.\u0661",
        "\uff1127.0.0.1",
    ),
]
NAMES = [
    *("server", "SERVER", "localhost", "a", "a.b", "my_server", "_srv._tcp.example", "a--b"),
    *("server.", "a.b.", "3com", "1.2.3.4a", "1.2.example", "0xa.example", "x" * 63),
    *("0xygen", "a.0xmesh"),
    ".".join(["x" * 63] * 3 + ["x" * 61]),
]
NO_NAMES = [
    *(".", "..", ".a", "a..b", "a..", "-a", "a-", "a.-b", "a-.b", "a b", "a/b", "a:80", "a@b"),
    *("x" * 64, "x" * 64 + ".a", "é", "xn--é", "a\nb", "a\0b", "*", "$HOST", "%s", "a.1", "a.0x1"),
    *("0x", "0XfF", "a.0Xa."),
    ".".join(["x" * 63] * 3 + ["x" * 62]),
]
BLANK = [" ", "\t", "\n", "", "\u3000"]
SECONDS = [
    *(("2", 2.0), ("0.25", 0.25), ("60", 60.0), ("0.001", 0.001), ("007.50", 7.5)),
    *(("10000000", 1e7), ("10000000.000", 1e7), ("9999999.999", 9999999.999)),
]
NO_SECONDS = [
    *("nan", "inf", "Infinity", "-inf", "1e3", "1E3", "+2", "-2", "-0", ".5", "5.", ".", "1.2.3"),
    *(
        "1,5",
        "1_000",
        "0x10",
        "2s",
        "two",
        " 2",
        "2 ",
        "2\n",
        "2 000",
        "\u0662",
        "\u00b2",
        "\uff12",
        "1.\u0665",
    ),
    *("10000000.001", "10000001", "9" * 400, "9" * 5000, *BLANK),
]
NO_NUMBERS = [
    *("-1", "+1", "1.0", "1e3", "0x10", "1_000", "8,888", " 1", "1 ", "1\n", "one", "http"),
    *("\u0668\u0668", "\u00b2", "\uff11", "9" * 5000, *BLANK),
]
TEXTS = [
    *(("PING", b"PING"), ("conexão", b"conex\xc3\xa3o"), (" ", b" "), ("a\nb", b"a\nb")),
    *((r"\r\n\t\0\\", b"\r\n\t\0\\"), (r"\x00\xfF", b"\0\xff"), ("\udcff", b"\xff")),
]
NO_TEXTS = ["\\", r"\a", r"\x", r"\x4", r"\xg0", r"\x 4", r"\u0041", "a\\", "\\\udcff", r"\8"]
NO_WORDS = ["EXACT", "Fail", "exact ", " retry", "text\n", "JSON", "yes", "1", "true", *BLANK]

GOOD: dict[str, Sequence[tuple[str, object]]] = {
    "HOST": [(text, text) for text in [*ADDRESSES, "0.0.0.0"]],
    "PORT": [("0", 0), ("1", 1), ("8888", 8888), ("65535", 65535)],
    "SERVER_HOST": [(text, text) for text in [*ADDRESSES, *NAMES]],
    "SERVER_PORT": [("1", 1), ("8888", 8888), ("65535", 65535)],
    "MESSAGE": [*TEXTS, ("", b""), ("x" * 1024, b"x" * 1024), (r"\x41" * 1024, b"A" * 1024)],
    "REPLY": [*TEXTS, ("x", b"x"), ("é" * 32768, b"\xc3\xa9" * 32768)],
    "REPLY_MATCH": [("exact", "exact"), ("prefix", "prefix")],
    "WRONG_REPLY": [("fail", "fail"), ("retry", "retry")],
    "RETRY_DELAY": SECONDS,
    "CONNECT_TIMEOUT": SECONDS,
    "REPLY_TIMEOUT": SECONDS,
    "DEADLINE": [*SECONDS, ("0", 0.0), ("0.0", 0.0)],
    "OUTPUT": [("text", "text"), ("json", "json")],
    "IDLE_TIMEOUT": [*SECONDS, ("0", 0.0)],
    "MAX_CONNECTIONS": [("1", 1), ("1000", 1000), ("10000", 10000)],
    "DRAIN_TIMEOUT": [*SECONDS, ("0", 0.0)],
}
BAD = {
    "HOST": [*NO_ADDRESSES, *NAMES, *NO_NAMES, *BLANK, " 127.0.0.1", "127.0.0.1\n"],
    "PORT": [*NO_NUMBERS, "65536", "88888"],
    "SERVER_HOST": [*NO_ADDRESSES, *NO_NAMES, *BLANK, "0.0.0.0", "0.0.0.0.", " a", "a\n"],
    "SERVER_PORT": [*NO_NUMBERS, "0", "65536", "88888"],
    "MESSAGE": [*NO_TEXTS, "x" * 1025, "é" * 513, r"\x41" * 1025],
    "REPLY": [*NO_TEXTS, "", "x" * 65537, "é" * 32769],
    "REPLY_MATCH": [*NO_WORDS, "fail", "prefixes", "exact or prefix"],
    "WRONG_REPLY": [*NO_WORDS, "exact", "retry,fail"],
    "RETRY_DELAY": [*NO_SECONDS, "0", "0.0", "0.000"],
    "CONNECT_TIMEOUT": [*NO_SECONDS, "0", "0.0"],
    "REPLY_TIMEOUT": [*NO_SECONDS, "0", "0.0"],
    "DEADLINE": NO_SECONDS,
    "OUTPUT": [*NO_WORDS, "xml"],
    "IDLE_TIMEOUT": NO_SECONDS,
    "MAX_CONNECTIONS": [*NO_NUMBERS, "0"],
    "DRAIN_TIMEOUT": NO_SECONDS,
    "LOG_LEVEL": ["TRACE", "WARN", "INFO ", "20", "INFO\n", "\u0130NFO", "\u0131nfo", *BLANK],
}

ENVIRONMENT_TEXTS = st.text() | st.binary().map(os.fsdecode)  # bytes that are not UTF-8 too


def read(name: str, text: str) -> object:
    """Return what the program that reads this variable makes of it."""
    config = ClientConfig if name in CLIENT else ServerConfig
    value: object = getattr(config({name: text}), name.lower())
    return value


def cases(table: Mapping[str, Sequence[object]]) -> list[object]:
    """Spread a table of variables over as many test cases as it has values."""
    return [
        pytest.param(name, case, id=f"{name}-{position}")
        for name, values in table.items()
        for position, case in enumerate(values)
    ]


def test_the_defaults_are_those_of_the_seed() -> None:
    """Without any variable, the pair is the one that was asked for."""
    assert vars(ServerConfig({})) | {"log_level": "INFO"} == {
        "host": "192.168.15.10",
        "port": 8888,
        "reply": b"SERVER OK - STATUS 200",
        "idle_timeout": 60.0,
        "max_connections": 1000,
        "drain_timeout": 2.0,
        "log_level": "INFO",
    }
    assert vars(ClientConfig({})) | {"log_level": "INFO"} == {
        "server_host": "192.168.15.10",
        "server_port": 8888,
        "message": "Testando conexão".encode(),
        "reply": b"SERVER OK - STATUS 200",
        "reply_match": "exact",
        "wrong_reply": "fail",
        "retry_delay": 2.0,
        "connect_timeout": 5.0,
        "reply_timeout": 5.0,
        "deadline": 60.0,
        "output": "text",
        "log_level": "INFO",
    }


@pytest.mark.parametrize(("name", "case"), cases(GOOD))
def test_a_good_value_is_taken(name: str, case: tuple[str, object]) -> None:
    """Every variable takes what the specification allows, up to its limits."""
    text, value = case

    assert read(name, text) == value


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR"])
def test_a_log_level_is_taken_in_any_case(level: str) -> None:
    """LOG_LEVEL is the same in upper, lower and mixed case, and the levels differ."""
    value = read("LOG_LEVEL", level)

    assert read("LOG_LEVEL", level.lower()) == read("LOG_LEVEL", level.title()) == value
    assert (value == read("LOG_LEVEL", "INFO")) is (level == "INFO")


@pytest.mark.parametrize(("name", "text"), cases(BAD))
def test_a_bad_value_is_refused_in_one_line(name: str, text: str) -> None:
    """What is not allowed is named on one printable line: variable, value, what is allowed."""
    with pytest.raises(ConfigError) as refusal:
        read(name, text)

    line = str(refusal.value)
    assert line.startswith(f"{name}=")
    assert line.isprintable()
    assert not text.isprintable() or text[:200] in line
    for words in ALLOWED[name]:
        assert words in line.split(" is not valid", 1)[1]


def test_every_variable_is_in_the_tables() -> None:
    """No variable is left out of the tables above."""
    fields = {*ServerConfig.__annotations__, *ClientConfig.__annotations__}

    assert {name.lower() for name in BAD} == fields
    assert {name.lower() for name in GOOD} == fields - {"log_level"}


def test_a_long_value_is_cut_in_the_message() -> None:
    """A value of any length makes a line that can be read."""
    with pytest.raises(ConfigError) as refusal:
        read("PORT", "9" * 5000)

    assert "9" * 200 in str(refusal.value)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize("config", [ServerConfig, ClientConfig])
def test_variables_of_others_do_not_matter(config: type[ServerConfig | ClientConfig]) -> None:
    """Neither program looks at what only the other one reads, nor at anything else."""
    others = (CLIENT if config is ServerConfig else SERVER) | {"PATH", "port", "Reply", ""}

    assert vars(config(dict.fromkeys(others, "\\"))) == vars(config({}))


@pytest.mark.parametrize("config", [ServerConfig, ClientConfig])
def test_a_configuration_is_frozen(config: type[ServerConfig | ClientConfig]) -> None:
    """What was parsed once stays as it was."""
    parsed = config({})

    with pytest.raises(AttributeError):
        parsed.reply = b""
    assert parsed.reply == REPLY


@given(st.decimals(0, 10_000_000, places=6), st.integers(0, 6))
def test_decimal_seconds_round_trip(seconds: Decimal, places: int) -> None:
    """A duration written as plain decimal seconds is read as that number."""
    text = f"{seconds:.{places}f}"

    assert read("DEADLINE", text) == float(Decimal(text))


@given(st.lists(st.tuples(st.integers(0, 255), st.booleans()), max_size=1024))
def test_any_bytes_can_be_a_message(data: list[tuple[int, bool]]) -> None:
    """Any bytes that are not too many can be written, with escapes and without, and read back."""
    plain = {0: rb"\0", 9: rb"\t", 10: rb"\n", 13: rb"\r", 92: rb"\\"}
    text = b"".join(
        b"\\x%02x" % byte if escaped else plain.get(byte, bytes([byte])) for byte, escaped in data
    )

    assert read("MESSAGE", os.fsdecode(text)) == bytes(byte for byte, _ in data)


@pytest.mark.parametrize("name", sorted(BAD))
@settings(max_examples=50)
@given(text=ENVIRONMENT_TEXTS)
def test_no_text_is_worse_than_refused(name: str, text: str) -> None:
    """Whatever stands in a variable, it is taken, or refused on one printable line."""
    try:
        read(name, text)
    except ConfigError as refusal:
        line = str(refusal)
        assert line.startswith(f"{name}=")
        assert line.isprintable()


def run(program: str, port: int, name: str, text: str) -> Outcome:
    """Run a program against a port with one bad value, for which its other values make room."""
    prefix = "SERVER_" if program == "client" else ""
    env = {f"{prefix}HOST": LOOPBACK, f"{prefix}PORT": str(port), "DEADLINE": "1"}
    with Program(program, env | {name: text}) as process:
        return process.outcome()


@pytest.mark.parametrize(("program", "name"), READERS)
def test_a_bad_value_stops_the_program_before_any_socket(program: str, name: str) -> None:
    """Both end with 78 and one line, the server without listening, the client without a call."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        listener.setblocking(False)
        exit_code, stdout, stderr, _ = run(program, listener.getsockname()[1], name, "\\")

        # Had it tried to listen on this port, the server would have ended with 71.
        assert (exit_code, stdout, stderr.count("\n")) == (78, "", 1)
        assert f" ERROR {name}='\\' is not valid" in stderr
        for words in ALLOWED[name]:
            assert words in stderr
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize("program", ["server", "client"])
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nERROR b\r\n", r"a\nERROR b\r\n"),
        ("\x1b[2J\x07\x7f\u202e", r"\x1b[2J\x07\x7f\u202e"),
        ("\udcff\udc80é", r"\xff\x80é"),
        ("9" * 5000, "9" * 200),
        ("%s%d%n{}", "%s%d%n{}"),
    ],
)
def test_a_bad_value_forges_no_line(program: str, text: str, shown: str) -> None:
    """Line ends, terminal escapes, bytes that are not UTF-8 and endless digits stay one line."""
    exit_code, stdout, stderr, _ = run(program, 1, "LOG_LEVEL", text)

    assert (exit_code, stdout, stderr.count("\n")) == (78, "", 1)
    assert f" ERROR LOG_LEVEL='{shown}' is not valid" in stderr
    assert stderr.removesuffix("\n").isprintable()
