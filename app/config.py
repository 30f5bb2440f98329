"""The environment, parsed once: each variable is one line of the class that reads it."""

import math
import re
import socket
from collections.abc import Mapping
from contextlib import suppress

from .protocol import printable, unescape
from .services import NAMES, SERVICES

EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h
ANY_ADDRESS = "0.0.0.0"  # to listen on; connect(2) takes it for the client's own host
HEALTH_ADDRESS = "127.8.8.8"  # of the health check: nobody outside this host can have it
LONGEST = 1_000_000  # seconds; poll(2) and epoll_wait(2) take milliseconds as a C int
LEVELS = ("INFO", "DEBUG", "WARNING", "ERROR")
_DIGITS = re.compile(r"[0-9]{1,99}")
_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")
_LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")
# getaddrinfo(3) reads 127.1 and 0x7f.1 as addresses: no name ends in a number.
_NUMBER_LAST = re.compile(r"(.*\.)?([0-9]+|0[xX][0-9a-fA-F]*)\.?")


class ConfigError(Exception):
    """A variable has an invalid value; the text names it, the value and what is expected."""


class Environment:
    """Reads variables, with one method for each kind of value.

    Each takes the variable's name, its default as text and its meaning, and raises ConfigError
    for an invalid value. ``asked`` has default and meaning of each variable, by name.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._values = dict(variables)
        self.asked: dict[str, tuple[str, str]] = {}

    def address(self, name: str, default: str, meaning: str) -> str:
        if is_address(text := self._text(name, default, meaning)):
            return text
        raise self._invalid(name, "an IPv4 address")

    def host(self, name: str, default: str, meaning: str) -> str:
        """Read the IPv4 address or the name of a host to connect to."""
        if _is_host(text := self._text(name, default, meaning)):
            return text
        raise self._invalid(name, f"a host name or an IPv4 address, not {ANY_ADDRESS}")

    def whole(self, name: str, default: str, low: int, high: int, meaning: str) -> int:
        text = self._text(name, default, meaning)
        if _DIGITS.fullmatch(text) and low <= int(text) <= high:
            return int(text)
        raise self._invalid(name, f"a whole number from {low} to {high}")

    def seconds(self, name: str, default: str, meaning: str, *, zero: bool = False) -> float:
        """Read a duration, above 0 unless ``zero`` permits it."""
        text = self._text(name, default, meaning)
        seconds = float(text) if _SECONDS.fullmatch(text) else math.inf
        if seconds <= LONGEST and (zero or seconds > 0):
            return seconds
        expected = f"plain decimal seconds, such as 2 or 0.25, at most {LONGEST}"
        raise self._invalid(name, expected if zero else f"{expected} and above 0")

    def data(self, name: str, default: str, low: int, meaning: str, wild: str = "") -> list[bytes]:
        """Read from ``low`` to 65536 bytes, with escapes; ``wild`` is one that ends a part."""
        # Without ``\\``: in ``\\?`` the question mark is no escape.
        text = self._text(name, default, meaning).replace(r"\\", r"\x5c")
        with suppress(ValueError):  # an escape that is none
            parts = [unescape(part) for part in (text.split(wild) if wild else [text])]
            if low <= len(b"?".join(parts)) <= 65536:
                return parts
        escapes = rf"\r \n \t \0 \\ \xNN {wild}".rstrip()
        raise self._invalid(name, f"{low} to 65536 bytes of UTF-8, a backslash only in {escapes}")

    def protocol(self, name: str, meaning: str) -> None:
        """Read the name of a protocol, which sets defaults of the variables read after it."""
        self.asked[name] = "", meaning
        if name in self._values:
            if not (row := SERVICES.get(self._values[name])):
                raise self._invalid(name, f"one of {', '.join(SERVICES)}")
            self._values = dict(zip(NAMES, (*row, "prefix", "retry"), strict=True)) | self._values

    def word(self, name: str, words: tuple[str, ...], meaning: str) -> str:
        """Read one of these words, in any case if they are capitals; the first is the default."""
        expected = " or ".join(words)
        text = self._text(name, words[0], f"{meaning}: {expected}")
        if (word := text if text in words else text.upper()) in words:
            return word
        raise self._invalid(name, expected)

    def _text(self, name: str, default: str, meaning: str) -> str:
        self.asked[name] = default, meaning
        return self._values.get(name, default)

    def _invalid(self, name: str, expected: str) -> ConfigError:
        shown = printable(self._values[name].encode(errors="surrogateescape"), 200)
        return ConfigError(f"{name}='{shown}' is not valid: expected {expected}")


# Not dataclasses: to import that module takes as long as to import socket.
class ServerConfig:
    """What the server reads; durations in seconds. Raises ConfigError."""

    def __init__(self, env: Environment) -> None:
        self.host = env.address("HOST", "192.168.15.10", "IPv4 address to listen on")
        self.port = env.whole("PORT", "8888", 0, 65535, "TCP port; 0: the system chooses it")
        meaning = "close connections idle for this many seconds; 0: never"
        self.idle_timeout = env.seconds("IDLE_TIMEOUT", "60", meaning, zero=True)
        meaning = "maximum open connections"
        self.max_connections = env.whole("MAX_CONNECTIONS", "1000", 1, 1_000_000, meaning)
        meaning = "on shutdown, wait up to this many seconds for unfinished replies"
        self.drain_timeout = env.seconds("DRAIN_TIMEOUT", "2", meaning, zero=True)
        [self.reply] = env.data("REPLY", "SERVER OK - STATUS 200", 1, "what to reply")
        self.log_level = env.word("LOG_LEVEL", LEVELS, "minimum level logged")


class ClientConfig:
    """What the client reads; durations in seconds. Raises ConfigError."""

    def __init__(self, env: Environment) -> None:
        self.server_host = env.host("SERVER_HOST", "192.168.15.10", "IPv4 address or host name")
        env.protocol("SERVER_PROTOCOL", "what the server speaks, see below")
        self.server_port = env.whole("SERVER_PORT", "8888", 1, 65535, "TCP port of the server")
        [self.message] = env.data("MESSAGE", "Testando conexão", 0, "empty: wait for a greeting")
        self.reply = env.data("REPLY", "SERVER OK - STATUS 200", 1, r"reply; \?: any byte", r"\?")
        meaning = "with prefix, more bytes may follow"
        self.reply_match = env.word("REPLY_MATCH", ("exact", "prefix"), meaning)
        self.wrong_reply = env.word("WRONG_REPLY", ("fail", "retry"), "on an unexpected reply")
        self.retry_delay = env.seconds("RETRY_DELAY", "2", "seconds until the next attempt")
        self.connect_timeout = env.seconds("CONNECT_TIMEOUT", "5", "seconds to connect")
        self.reply_timeout = env.seconds("REPLY_TIMEOUT", "5", "seconds to get the reply")
        meaning = "give up after this many seconds; 0: never"
        self.deadline = env.seconds("DEADLINE", "60", meaning, zero=True)
        self.output = env.word("OUTPUT", ("text", "json"), "result on stdout")
        self.log_level = env.word("LOG_LEVEL", LEVELS, "minimum level logged")


def is_address(text: str) -> bool:
    """Tell whether this is an IPv4 address, in the one form that inet_pton(3) takes."""
    with suppress(OSError, ValueError):
        return bool(socket.inet_pton(socket.AF_INET, text))
    return False


def _is_host(text: str) -> bool:
    if is_address(text):
        return text != ANY_ADDRESS
    plain = _NAME.fullmatch(text) and not _NUMBER_LAST.fullmatch(text)
    return bool(plain) and len(text.removesuffix(".")) <= 253
