"""The environment, parsed once and frozen: each variable is a row of the class that reads it.

Not dataclasses nor NamedTuple: to import typing takes a sixth of the client's start.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Mapping

from app.log import LEVELS, STDERR, STDOUT, write
from app.protocol import printable, unescape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

EXIT_USAGE, EXIT_CONFIG = 64, 78  # EX_USAGE and EX_CONFIG of sysexits.h
HEALTH_ADDRESS = "127.8.8.8"  # the health check's own: nobody outside this host can have it
LONGEST_WAIT = 1_000_000.0  # seconds; poll(2) and epoll_wait(2) take milliseconds in a C int
_LABEL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


class ConfigError(Exception):
    """A variable has a value that is not valid; the text names it, the value and what is."""


class Config:
    """What a program reads. Raises ConfigError for the first value that is not valid."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        for name, (default, _, allowed, convert, is_valid) in self.rows().items():
            text = environ.get(name, default)
            try:
                value = convert(text)
                valid = is_valid(text, value)
            except ValueError:
                valid = False
            if not valid:
                shown = printable(text.encode(errors="surrogateescape"), 200)
                raise ConfigError(f"{name}='{shown}' is not valid, it takes {allowed}")
            vars(self)[name.lower()] = value

    def __setattr__(self, name: str, _: object) -> None:
        raise AttributeError(f"{name} is frozen")

    @classmethod
    def rows(cls) -> dict[str, tuple[Any, ...]]:
        """Return default, meaning, what is allowed, and how to convert and check, by variable."""
        return {name.upper(): vars(cls)[name] for name in cls.__annotations__}


def usage(program: str, config: type[Config]) -> int:
    """Say how to call a program that reads this configuration; return its exit code."""
    text = f"usage: python3 -m app.{program} [--help]\n\nEnvironment variables:\n"
    for name, (default, meaning, allowed, *_) in config.rows().items():
        text += f"  {name}={default}\n      {meaning}: {allowed}\n"
    asked = sys.argv[1:] == ["--help"]
    try:
        write(STDOUT if asked else STDERR, text)
    except OSError:
        pass  # nobody reads it
    return 0 if asked else EXIT_USAGE


def is_address(text: str) -> bool:
    """Tell whether this is an IPv4 address, in the one form that inet_pton(3) takes."""
    try:
        return bool(socket.inet_pton(socket.AF_INET, text))
    except (OSError, UnicodeError):
        return False


def _is_host(text: str) -> bool:
    if is_address(text):
        return text != "0.0.0.0"  # connect(2) takes it for the client's own host
    labels = text.removesuffix(".").split(".")
    last = labels[-1].lower()
    # getaddrinfo(3) reads 127.1 and 0x7f.1 as addresses: no name ends in a number.
    hexadecimal = last[:2] == "0x" and not last[2:].strip("0123456789abcdef")
    if hexadecimal or _is_decimal(last) or len(".".join(labels)) > 253:
        return False
    fit = (0 < len(label) <= 63 and "-" not in label[0] + label[-1] for label in labels)
    return all(fit) and all(map(_LABEL.issuperset, labels))


def _is_decimal(text: str) -> bool:
    return text.isascii() and text.isdigit()  # int() and float() take more than that


def _whole(default: str, low: int, high: int, meaning: str) -> Any:
    allowed = f"a whole number from {low} to {high}"
    return default, meaning, allowed, int, lambda text, n: _is_decimal(text) and low <= n <= high


def _seconds(default: str, meaning: str, *, zero: bool = False) -> Any:
    def is_valid(text: str, seconds: float) -> bool:
        plain = all(map(_is_decimal, text.split(".", 1)))
        return plain and seconds <= 10_000_000 and (zero or seconds > 0)

    allowed = "plain decimal seconds, such as 2 or 0.25, at most 10000000"
    return default, meaning, allowed + " and above 0" * (not zero), float, is_valid


def _bytes(default: str, low: int, high: int, meaning: str) -> Any:
    allowed = rf"{low} to {high} bytes of UTF-8, a backslash only in \r \n \t \0 \\ \xNN"
    return default, meaning, allowed, unescape, lambda _, data: low <= len(data) <= high


def _text(default: str, meaning: str, allowed: str, is_valid: Callable[[str], bool]) -> Any:
    return default, meaning, allowed, str, lambda text, _: is_valid(text)


def _word(default: str, other: str, meaning: str) -> Any:
    return _text(default, meaning, f"{default} or {other}", {default, other}.__contains__)


_HOST = "a host name or an IPv4 address, not 0.0.0.0"
_REPLY = _bytes("SERVER OK - STATUS 200", 1, 65536, "what the server answers")
_LEVEL: Any = (
    *("INFO", "least level of a line on stderr", ", ".join(LEVELS)),
    *(lambda text: LEVELS.index(text.upper()), lambda text, _: text.isascii()),
)


class ServerConfig(Config):
    """What the server reads; durations in seconds."""

    host: str = _text("192.168.15.10", "address to listen on", "an IPv4 address", is_address)
    port: int = _whole("8888", 0, 65535, "TCP port; 0 lets the system choose")
    reply: bytes = _REPLY
    idle_timeout: float = _seconds("60", "for a silent connection; 0 keeps it for ever", zero=True)
    max_connections: int = _whole("1000", 1, 1_000_000, "open connections at most")
    drain_timeout: float = _seconds("2", "for replies still being sent when it stops", zero=True)
    log_level: int = _LEVEL


class ClientConfig(Config):
    """What the client reads; durations in seconds."""

    server_host: str = _text("192.168.15.10", "looked up at each attempt", _HOST, _is_host)
    server_port: int = _whole("8888", 1, 65535, "its TCP port")
    message: bytes = _bytes("Testando conexão", 0, 1024, "what to send; empty sends nothing")
    reply: bytes = _REPLY
    reply_match: str = _word("exact", "prefix", "prefix if more may follow REPLY")
    wrong_reply: str = _word("fail", "retry", "retry if a wrong reply may pass")
    retry_delay: float = _seconds("2", "between a failed attempt and the next")
    connect_timeout: float = _seconds("5", "for one connection, look-up included")
    reply_timeout: float = _seconds("5", "for sending the message and reading the reply")
    deadline: float = _seconds("60", "for everything; 0 waits for ever", zero=True)
    output: str = _word("text", "json", "form of the result on stdout")
    log_level: int = _LEVEL
