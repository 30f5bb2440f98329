"""The signals that end a process, and its file descriptors."""

import os
import resource
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def handle_ending_signals(handler: Callable[[int, object], object]) -> None:
    """Call this for each of them, even if the parent process blocked them."""
    for number in ENDING_SIGNALS:
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)


def wait_for_ending_signals(wait: Callable[[], object]) -> None:
    """Run this, which takes them by sigwait(3), in a thread of its own."""
    # A handler would run in the main thread, which may just have begun a call that blocks.
    block_ending_signals()
    try:
        threading.Thread(target=wait, daemon=True).start()
    except RuntimeError:  # pthread_create(3): they end the process, without a result
        handle_ending_signals(lambda number, _: os._exit(128 + number))


def block_ending_signals() -> None:
    """Call no more handler for them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)


def allow_descriptors() -> int:
    """Raise the soft limit of file descriptors to the hard one; return what is allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # macOS does not grant the limit that it reports
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def close(sock: socket.socket) -> None:
    """Free the descriptor of a socket, even if the system reports an error."""
    with suppress(OSError):
        sock.close()
