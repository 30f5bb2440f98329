"""Helpers for all tests: the project's folder, time limits, and a wait."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0  # seconds, the upper bound of any wait; only a failing test reaches it
SLACK = 0.5  # seconds by which a busy machine may delay what a program measures
T = TypeVar("T")

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


def until(
    look: Callable[[], T],
    patience: float = PATIENCE,
    pause: float = 0.01,
    *,
    is_right: Callable[[T], object] = bool,
    awaited: str = "something",
) -> T:
    """Call ``look`` again and again until its result is right, and return the result."""
    give_up = time.monotonic() + patience
    while not is_right(seen := look()):
        assert time.monotonic() < give_up, f"waited {patience} s for {awaited}, saw {seen!r}"
        time.sleep(pause)
    return seen
