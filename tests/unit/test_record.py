"""The recording of a run, as a picture."""

import re
from itertools import pairwise

from scripts.record import draw
from tests.lib.support import ROOT


def seconds(picture: str) -> list[float]:
    """Return when each line appears."""
    return [float(second) for second in re.findall(r"animation-duration: ([\d.]+)s", picture)]


def test_a_long_pause_takes_a_second() -> None:
    """Shorter pauses are as they were, in the picture of the documents too."""
    assert seconds(draw([(0, "a"), (0.5, "b"), (8, "c"), (8.2, "d")])) == [0, 0.5, 1.5, 1.7]

    kept = seconds((ROOT / "docs" / "run.svg").read_text(encoding="utf-8"))
    assert max(after - before for before, after in pairwise(kept)) <= 1
