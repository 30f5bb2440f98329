"""The environment, parsed once and frozen: each variable is one line of the class that reads it."""

import re
import socket
from collections.abc import Callable, Mapping

from .protocol import printable, unescape

EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h
ANY_ADDRESS = "0.0.0.0"  # to listen on; connect(2) takes it for the client's own host
HEALTH_ADDRESS = "127.8.8.8"  # the health check's own: nobody outside this host can have it
LONGEST_WAIT = 1_000_000.0  # seconds; poll(2) and epoll_wait(2) take milliseconds in a C int
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_DIGITS = re.compile(r"[0-9]+")
_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")
_LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")
# getaddrinfo(3) reads 127.1 and 0x7f.1 as addresses: no name ends in a number.
_NUMBER_LAST = re.compile(r"(.*\.)?([0-9]+|0[xX][0-9a-fA-F]*)\.?")


class ConfigError(Exception):
    """A variable has a value that is not valid; the text names it, the value and what is."""


class Environment:
    """Reads variables, with one method for each kind of value.

    Each takes the variable's name, its default as text, and its meaning, and raises ConfigError
    for a value that is not valid. ``asked`` has default, meaning and what is allowed, by name.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.asked: dict[str, tuple[str, str, str]] = {}

    def address(self, name: str, default: str, meaning: str) -> str:
        return self._read(name, default, meaning, "an IPv4 address", is_address)

    def host(self, name: str, default: str, meaning: str) -> str:
        """Read the IPv4 address or the name of a host to connect to."""
        allowed = "a host name or an IPv4 address, not 0.0.0.0"
        return self._read(name, default, meaning, allowed, _is_host)

    def whole(self, name: str, default: str, low: int, high: int, meaning: str) -> int:
        def is_valid(text: str) -> bool:
            return bool(_DIGITS.fullmatch(text)) and low <= int(text) <= high

        allowed = f"a whole number from {low} to {high}"
        return int(self._read(name, default, meaning, allowed, is_valid))

    def seconds(self, name: str, default: str, meaning: str, *, zero: bool = False) -> float:
        """Read a duration, above 0 unless ``zero`` says otherwise."""

        def is_valid(text: str) -> bool:
            plain = _SECONDS.fullmatch(text)
            return bool(plain) and float(text) <= 10_000_000 and (zero or float(text) > 0)

        allowed = "plain decimal seconds, such as 2 or 0.25, at most 10000000"
        allowed += "" if zero else " and above 0"
        return float(self._read(name, default, meaning, allowed, is_valid))

    def data(self, name: str, default: str, low: int, high: int, meaning: str) -> bytes:
        """Read from ``low`` to ``high`` bytes, written as text with escapes."""

        def is_valid(text: str) -> bool:
            return low <= len(unescape(text)) <= high

        allowed = rf"{low} to {high} bytes of UTF-8, a backslash only in \r \n \t \0 \\ \xNN"
        return unescape(self._read(name, default, meaning, allowed, is_valid))

    def word(self, name: str, default: str, other: str, meaning: str) -> str:
        words = (default, other)
        return self._read(name, default, meaning, " or ".join(words), words.__contains__)

    def level(self, name: str, default: str, meaning: str) -> str:
        """Read the name of a log level, in any case."""

        def is_valid(text: str) -> bool:
            return text.isascii() and text.upper() in LEVELS

        return self._read(name, default, meaning, ", ".join(LEVELS), is_valid).upper()

    def _read(
        self, name: str, default: str, meaning: str, allowed: str, is_valid: Callable[[str], bool]
    ) -> str:
        self.asked[name] = default, meaning, allowed
        text = self._variables.get(name, default)
        try:
            valid = is_valid(text)
        except ValueError:
            valid = False
        if not valid:
            shown = printable(text.encode(errors="surrogateescape"), 200)
            raise ConfigError(f"{name}='{shown}' is not valid, it takes {allowed}")
        return text


class Config:
    """What both programs read; each attribute is set once. Raises ConfigError."""

    def __init__(self, env: Environment) -> None:
        self.reply = env.data("REPLY", "SERVER OK - STATUS 200", 1, 65536, "the server's answer")
        self.log_level = env.level("LOG_LEVEL", "INFO", "least level of a line on stderr")

    def __setattr__(self, name: str, value: object) -> None:
        if hasattr(self, name):
            raise AttributeError(f"{name} is frozen")
        super().__setattr__(name, value)


class ServerConfig(Config):
    """What the server reads; durations in seconds. Raises ConfigError."""

    def __init__(self, env: Environment) -> None:
        self.host = env.address("HOST", "192.168.15.10", "address to listen on")
        self.port = env.whole("PORT", "8888", 0, 65535, "TCP port; 0 lets the system choose")
        self.idle_timeout = env.seconds("IDLE_TIMEOUT", "60", "of silence; 0 for ever", zero=True)
        self.max_connections = env.whole("MAX_CONNECTIONS", "1000", 1, 1_000_000, "open at most")
        self.drain_timeout = env.seconds("DRAIN_TIMEOUT", "2", "for replies at a stop", zero=True)
        super().__init__(env)


class ClientConfig(Config):
    """What the client reads; durations in seconds. Raises ConfigError."""

    def __init__(self, env: Environment) -> None:
        self.server_host = env.host("SERVER_HOST", "192.168.15.10", "looked up at each attempt")
        self.server_port = env.whole("SERVER_PORT", "8888", 1, 65535, "its TCP port")
        self.message = env.data("MESSAGE", "Testando conexão", 0, 65536, "sent, unless empty")
        self.reply_match = env.word("REPLY_MATCH", "exact", "prefix", "prefix: more may follow")
        self.wrong_reply = env.word("WRONG_REPLY", "fail", "retry", "retry: it is not ready yet")
        self.retry_delay = env.seconds("RETRY_DELAY", "2", "from a failed attempt to the next")
        self.connect_timeout = env.seconds("CONNECT_TIMEOUT", "5", "for one connection")
        self.reply_timeout = env.seconds("REPLY_TIMEOUT", "5", "for one reply")
        self.deadline = env.seconds("DEADLINE", "60", "for everything; 0 for ever", zero=True)
        self.output = env.word("OUTPUT", "text", "json", "form of the result on stdout")
        super().__init__(env)


def is_address(text: str) -> bool:
    """Tell whether this is an IPv4 address, in the one form that inet_pton(3) takes."""
    try:
        return bool(socket.inet_pton(socket.AF_INET, text))
    except (OSError, UnicodeError):
        return False


def _is_host(text: str) -> bool:
    if is_address(text):
        return text != ANY_ADDRESS
    plain = _NAME.fullmatch(text) and not _NUMBER_LAST.fullmatch(text)
    return bool(plain) and len(text.removesuffix(".")) <= 253
