"""How the benchmark judges what it has measured."""

import pytest

from bench.median import Median, median


def test_an_interval_narrows_with_more_figures() -> None:
    """The interval lies around the median, and more of the same figures make it narrower."""
    few, many = median([8.0, 9.0, 10.0, 11.0, 12.0]), median([8.0, 9.0, 10.0, 11.0, 12.0] * 10)

    assert few.middle == many.middle == 10
    assert 8 <= few.low < many.low <= 10 <= many.high < few.high <= 12


def test_an_interval_is_the_same_each_time() -> None:
    """A report that is written again from the same figures says the same."""
    figures = [number**0.5 for number in range(100)]

    assert median(figures) == median(figures)


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [(1.3, "met"), (1.2, "met"), (1.1, "undecided"), (1.0, "undecided"), (0.9, "**missed**")],
)
def test_a_target_inside_the_interval_is_undecided(limit: float, verdict: str) -> None:
    """A target is met or missed only where the whole interval is on one side of it."""
    assert Median(1.05, 1.0, 1.2).verdict(limit) == verdict
