"""A median, how far it can be trusted, and whether it meets a target."""

import random
import statistics
from collections.abc import Sequence
from typing import NamedTuple

RESAMPLES = 2000


class Median(NamedTuple):
    """A median, and the interval that holds 95 of 100 medians of resampled figures (bootstrap)."""

    middle: float
    low: float
    high: float

    def text(self, form: str = ".2f") -> str:
        """Write it down."""
        return f"{self.middle:{form}} ({self.low:{form}} to {self.high:{form}})"

    def verdict(self, limit: float) -> str:
        """Tell whether it is at most the limit, as far as the interval lets one say."""
        if self.high <= limit:
            return "met"
        return "**missed**" if self.low > limit else "undecided"


def median(values: Sequence[float]) -> Median:
    """Return the median of some figures with its interval; the same each time."""
    chance = random.Random(0)
    resampled = (chance.choices(values, k=len(values)) for _ in range(RESAMPLES))
    medians = sorted(map(statistics.median, resampled))
    outside = RESAMPLES // 40
    return Median(statistics.median(values), medians[outside], medians[-outside - 1])
