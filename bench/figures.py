"""The figures of one run: what they are measured on, and how far a median can be trusted."""

import random
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

SERVERS = {
    "floor": "C, epoll (the floor)",
    "ours": "**this server**, nothing logged",
    "ours, logging": "**this server**, default log",
    "uvloop": "uvloop, Protocol",
    "sketch": "selectors, bare loop",
    "protocol": "asyncio, Protocol",
    "streams": "asyncio, streams",
    "threads": "socketserver, threads",
}
MODES = {"kept": "64 kept connections", "new": "a new connection each"}
CONNECTIONS = 64
GROWTH = (1, 16, 256, 10_000)  # connections
IDLE = 10_000  # connections
# Programs, as the report calls them.
IMPORT_SOCKET = "import socket"
CLIENT, PYZ = "python3 -m app.client", "python3 tcp-pair.pyz client"
RESAMPLES = 2000


@dataclass
class Results:
    """Every figure by what it was measured on, in the order of the rounds."""

    quick: bool
    namespace: bool
    seconds: float = 0.0
    others: float = 0.0  # cores that other processes used
    # By server, mode and number of connections, in µs of CPU for one exchange.
    costs: dict[tuple[str, str, int], list[float]] = field(
        default_factory=lambda: defaultdict(list)
    )
    # By server, for each idle connection.
    idle_kib: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    kernel_kib: list[float] = field(default_factory=list)
    wakeups: list[float] = field(default_factory=list)  # of our idle server, in a second
    # By program.
    rest_mib: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    starts_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


class Median(NamedTuple):
    """A median, and the interval of 95 of 100 medians of resampled figures (bootstrap)."""

    middle: float
    low: float
    high: float

    def text(self, form: str = ".2f") -> str:
        """Return the median and its interval as text."""
        return f"{self.middle:{form}} ({self.low:{form}} to {self.high:{form}})"

    def verdict(self, limit: float) -> str:
        """Tell whether the median is at most the limit, if the interval allows a verdict."""
        if self.high <= limit:
            return "met"
        return "**missed**" if self.low > limit else "undecided"


def median(values: Sequence[float]) -> Median:
    """Return the median of figures with its interval; the same each time."""
    chance = random.Random(0)
    resampled = (chance.choices(values, k=len(values)) for _ in range(RESAMPLES))
    low, *_, high = statistics.quantiles(map(statistics.median, resampled), n=40)
    return Median(statistics.median(values), low, high)
