"""The environment, parsed once and frozen.

Each variable has one row in SETTINGS, and is an attribute of the same name in lower case.
Not dataclasses nor NamedTuple: to import typing takes a sixth of the client's start.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Mapping

from app.log import LEVELS
from app.protocol import printable, unescape

EXIT_USAGE, EXIT_CONFIG = 64, 78  # EX_USAGE and EX_CONFIG of sysexits.h
HEALTH_ADDRESS = "127.8.8.8"  # the health check's own: nobody outside this host can have it
LONGEST_WAIT = 1_000_000.0  # seconds; poll(2) and epoll_wait(2) take milliseconds in a C int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

_LABEL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


class ConfigError(Exception):
    """A variable has a value that is not valid; the text names it, the value and what is."""


class Config:
    """What a program reads: an attribute for each annotation."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Parse the environment. Raises ConfigError for the first value that is not valid."""
        config = cls()
        for name in cls.__annotations__:
            vars(config)[name] = _parse(environ, name.upper())
        return config

    def __setattr__(self, name: str, _: object) -> None:
        raise AttributeError(f"{name} is frozen")


class ServerConfig(Config):
    """What the server reads; durations in seconds."""

    host: str
    port: int
    reply: bytes
    idle_timeout: float
    max_connections: int
    drain_timeout: float
    log_level: int


class ClientConfig(Config):
    """What the client reads; durations in seconds."""

    server_host: str
    server_port: int
    message: bytes
    reply: bytes
    reply_match: str
    wrong_reply: str
    retry_delay: float
    connect_timeout: float
    reply_timeout: float
    deadline: float
    output: str
    log_level: int


def usage(program: str, config: type[Config]) -> int:
    """Say how to call a program that reads this configuration; return its exit code."""
    asked = sys.argv[1:] == ["--help"]
    out = sys.stdout if asked else sys.stderr
    print(f"usage: python3 -m app.{program} [--help]\n\nEnvironment variables:", file=out)
    for name in map(str.upper, config.__annotations__):
        default, (allowed, *_), meaning = SETTINGS[name]
        print(f"  {name}={default}\n      {meaning}: {allowed}", file=out)
    return 0 if asked else EXIT_USAGE


def is_address(text: str) -> bool:
    """Tell whether this is an IPv4 address, in the one form that inet_pton(3) takes."""
    try:
        return bool(socket.inet_pton(socket.AF_INET, text))
    except (OSError, UnicodeError):
        return False


def _parse(environ: Mapping[str, str], name: str) -> object:
    default, (allowed, is_valid, convert), _ = SETTINGS[name]
    text = environ.get(name, default)
    try:
        valid = is_valid(text)
    except ValueError:
        valid = False
    if not valid:
        shown = printable(text.encode(errors="surrogateescape"), 200)
        raise ConfigError(f"{name}='{shown}' is not valid, it takes {allowed}")
    return convert(text)


# What is valid, in words and as a test (ValueError says no too), and how that is converted.
Kind = tuple[str, Callable[[str], bool], Callable[[str], object]]


def _is_host(text: str) -> bool:
    if is_address(text):
        return text != "0.0.0.0"  # connect(2) takes it for the client's own host
    name = text.removesuffix(".")
    labels = name.split(".")
    # getaddrinfo(3) reads 127.1 and 0x7f.1 as addresses: no name ends in a number.
    if len(name) > 253 or _is_decimal(labels[-1]) or labels[-1].lower().startswith("0x"):
        return False
    return all(
        0 < len(label) <= 63 and _LABEL.issuperset(label) and "-" not in label[0] + label[-1]
        for label in labels
    )


def _is_decimal(text: str) -> bool:
    return text.isascii() and text.isdigit()  # isdigit() and int() know other scripts' digits too


def _is_seconds(text: str) -> bool:
    whole, point, fraction = text.partition(".")
    plain = _is_decimal(whole) and (not point or _is_decimal(fraction))
    return plain and float(text) <= 10_000_000


def _whole(low: int, high: int) -> Kind:
    words = f"a whole number from {low} to {high}"
    return words, lambda text: _is_decimal(text) and low <= int(text) <= high, int


def _bytes(low: int, high: int) -> Kind:
    words = rf"{low} to {high} bytes of UTF-8, a backslash only in \r \n \t \0 \\ \xNN"
    return words, lambda text: low <= len(unescape(text)) <= high, unescape


def _word(*words: str) -> Kind:
    return " or ".join(words), lambda text: text in words, str


_ADDRESS: Kind = ("an IPv4 address", is_address, str)
_HOST: Kind = ("a host name or an IPv4 address, not 0.0.0.0", _is_host, str)
_LEVEL: Kind = (
    ", ".join(LEVELS),
    lambda text: text.isascii() and text.upper() in LEVELS,
    lambda text: LEVELS.index(text.upper()),
)
_SECONDS = "plain decimal seconds, such as 2 or 0.25, at most 10000000"
_FROM_0: Kind = (_SECONDS, _is_seconds, float)
_ABOVE_0: Kind = (f"{_SECONDS} and above 0", lambda t: _is_seconds(t) and float(t) > 0, float)

# The default, as a user would write it, what is valid, and the meaning.
SETTINGS: dict[str, tuple[str, Kind, str]] = {
    "HOST": ("192.168.15.10", _ADDRESS, "address to listen on"),
    "PORT": ("8888", _whole(0, 65535), "TCP port; 0 lets the system choose"),
    "SERVER_HOST": ("192.168.15.10", _HOST, "the server, looked up at each attempt"),
    "SERVER_PORT": ("8888", _whole(1, 65535), "its TCP port"),
    "MESSAGE": ("Testando conexão", _bytes(0, 1024), "what to send; empty sends nothing"),
    "REPLY": ("SERVER OK - STATUS 200", _bytes(1, 65536), "what the server answers"),
    "REPLY_MATCH": ("exact", _word("exact", "prefix"), "prefix if more may follow REPLY"),
    "WRONG_REPLY": ("fail", _word("fail", "retry"), "retry if a wrong reply may pass"),
    "RETRY_DELAY": ("2", _ABOVE_0, "between a failed attempt and the next"),
    "CONNECT_TIMEOUT": ("5", _ABOVE_0, "for one connection, look-up included"),
    "REPLY_TIMEOUT": ("5", _ABOVE_0, "for sending the message and reading the reply"),
    "DEADLINE": ("60", _FROM_0, "for everything; 0 waits for ever"),
    "OUTPUT": ("text", _word("text", "json"), "form of the result on stdout"),
    "IDLE_TIMEOUT": ("60", _FROM_0, "for a silent connection; 0 keeps it for ever"),
    "MAX_CONNECTIONS": ("1000", _whole(1, 1_000_000), "open connections at most"),
    "DRAIN_TIMEOUT": ("2", _FROM_0, "for replies still being sent when it stops"),
    "LOG_LEVEL": ("INFO", _LEVEL, "least level of a line on stderr"),
}
