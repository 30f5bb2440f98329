"""SIGTERM and SIGINT: what both programs do alike about the signals that end them."""

import signal
from collections.abc import Callable
from types import FrameType

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def handle_ending_signals(handler: Callable[[int, FrameType | None], object]) -> None:
    """Have this called for each of them, even if whoever started this process has blocked them."""
    for number in ENDING_SIGNALS:
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)


def block_ending_signals() -> None:
    """Take no more of them: the interpreter takes the handlers away before it is gone."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
