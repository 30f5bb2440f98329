"""Verdicts of the benchmark."""

from bench.figures import median


def test_target_inside_the_interval_is_undecided() -> None:
    """A target inside the interval is undecided; a target outside it is met or missed."""
    few, many = median([8, 9, 10, 11, 12]), median([8, 9, 10, 11, 12] * 10)

    assert [few.verdict(12), few.verdict(11), many.verdict(11)] == ["met", "undecided", "met"]
    assert [many.verdict(9.5), many.verdict(8.9)] == ["undecided", "**missed**"]
    assert median([0, 0]).verdict(0) == "met"
