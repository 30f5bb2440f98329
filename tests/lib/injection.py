"""Which system calls the programs make, and how strace makes one of them fail."""

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

SIGNAL = "SIGTERM"
# The errors in the man page of each call, without those that only a mistake in a program causes
# (EBADF, EFAULT, EINVAL, ENOTSOCK and the like), and those of accept(2), tcp(7) and a firewall.
ERRORS = {
    "socket": "EACCES EAFNOSUPPORT EMFILE ENFILE ENOBUFS ENOMEM",
    "socketpair": "EAFNOSUPPORT EMFILE ENFILE EOPNOTSUPP",
    "setsockopt": "ENOBUFS ENOPROTOOPT",
    "getsockopt": "ENOBUFS ENOPROTOOPT",
    "bind": "EACCES EADDRINUSE EADDRNOTAVAIL ENOMEM",
    "listen": "EADDRINUSE",
    "getsockname": "ENOBUFS",
    "ioctl": "ENOMEM",  # FIONBIO on a socket
    "getpeername": "ENOBUFS ENOTCONN",
    "accept4": "EAGAIN ECONNABORTED EHOSTDOWN EHOSTUNREACH EINTR EMFILE ENETDOWN ENETUNREACH ENFILE"
    " ENOBUFS ENOMEM ENOPROTOOPT EOPNOTSUPP EPERM EPROTO ETIMEDOUT",
    "connect": "EACCES EADDRINUSE EADDRNOTAVAIL EAGAIN ECONNREFUSED EHOSTUNREACH EINTR"
    " ENETUNREACH ENOBUFS EPERM ETIMEDOUT",
    "sendto": "EACCES EAGAIN ECONNRESET EHOSTUNREACH EINTR ENETUNREACH ENOBUFS ENOMEM EPERM EPIPE"
    " ETIMEDOUT",
    "recvfrom": "EAGAIN ECONNREFUSED ECONNRESET EHOSTUNREACH EINTR ENETUNREACH ENOMEM ETIMEDOUT",
    "close": "EIO",
    "shutdown": "ENOTCONN",
    "epoll_create1": "EMFILE ENFILE ENOMEM",
    "epoll_ctl": "ENOMEM ENOSPC",
    "epoll_wait": "EINTR",
    "epoll_pwait": "EINTR",
    "poll": "EINTR ENOMEM",
    "ppoll": "EINTR ENOMEM",
    "clock_nanosleep": "EINTR EPERM",
    "write": "EAGAIN EDQUOT EFBIG EINTR EIO ENOSPC EPIPE",
    "openat": "EMFILE ENFILE ENOMEM",
    "clone": "EAGAIN ENOMEM",
    "clone3": "EAGAIN ENOMEM",
    "brk": "ENOMEM",
    "madvise": "EAGAIN ENOMEM",
    "mmap": "ENOMEM",
    "mprotect": "ENOMEM",
    "mremap": "ENOMEM",
    "munmap": "ENOMEM",
}
# main begins with one of these: the server handles SIGTERM, the client blocks it.
BEGINNING = re.compile(r"rt_sigaction\(SIGTERM, {sa_handler=0x|rt_sigprocmask\(.*\[INT TERM\]")
THREADS = {"clone", "clone3", "connect", "madvise", "mmap", "mprotect", "socket"}
MEMORY = {"brk", "madvise", "mmap", "mprotect", "mremap", "munmap"}


class Fault(NamedTuple):
    """An error that a call returns at one of its places, or a signal that arrives there.

    ``place`` counts the calls of this name in each thread, from 1; ``"2+"`` is all from 2 on.
    """

    call: str
    place: int | str
    error: str


def strace(file: Path, fault: Fault | None) -> tuple[str, ...]:
    """Return the strace command that writes a program's calls to a file and injects a fault."""
    calls = ",?".join([*ERRORS, "rt_sigaction", "rt_sigprocmask"])
    # -D makes strace a grandchild, so that the child is the program itself.
    command = ["strace", "-D", "-f", "-qq", "-o", str(file), f"--trace=?{calls}"]
    what = ""
    if fault:
        # brk(2) reports a failure by an address that is too low: "C library/kernel differences".
        what = "retval=0" if fault.call == "brk" else f"error={fault.error}"
        what = f"signal={SIGNAL}" if fault.error == SIGNAL else what
        command.append(f"--inject={fault.call}:{what}:when={fault.place}")
    if not what.startswith("signal"):
        command.append("--seccomp-bpf")  # stops the program at these calls only
    return tuple(command)


def places(file: Path) -> dict[str, list[int]]:
    """Return the places of each call that the program reaches only after main has begun."""
    begun: Counter[str] = Counter()
    counts: Counter[tuple[str, str]] = Counter()
    found: dict[str, set[int]] = {}
    for line in file.read_text(errors="replace").splitlines():
        if not (made := re.match(r"(\d+) +(\w+)\((\d*)", line)):
            continue
        thread, call, number = made.groups()
        counts[thread, call] += 1
        place = counts[thread, call]
        if not begun and BEGINNING.search(line):
            begun.update({name: count for (_, name), count in counts.items()})
        # Without writes to the wake-up pair, which only a signal causes.
        elif begun and place > begun[call] and not (call == "write" and int(number) > 2):
            found.setdefault(call, set()).add(place)
    return {call: sorted(reached) for call, reached in found.items() if call in ERRORS}


def has_struck(file: Path, fault: Fault) -> bool:
    """Tell whether the program has reached the fault after main has begun."""
    return fault.place in places(file).get(fault.call, [])
