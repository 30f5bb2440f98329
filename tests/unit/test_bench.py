"""Verdicts of the benchmark."""

import pytest

from bench.figures import median


@pytest.mark.parametrize(
    ("figures", "limit", "verdict"),
    [
        ([8, 9, 10, 11, 12], 12, "met"),
        ([8, 9, 10, 11, 12], 11, "undecided"),
        ([8, 9, 10, 11, 12] * 10, 11, "met"),
        ([8, 9, 10, 11, 12] * 10, 9.5, "undecided"),
        ([8, 9, 10, 11, 12] * 10, 8.9, "**missed**"),
        ([0, 0], 0, "met"),
    ],
)
def test_a_target_inside_the_interval_is_undecided(
    figures: list[float], limit: float, verdict: str
) -> None:
    """A target is met or missed if the whole interval is on one side; more figures narrow it."""
    assert median(figures).verdict(limit) == verdict
