"""What was seen when each call failed, as docs/faults.md."""

import platform

from tests.lib.injection import ERRORS, SIGNAL
from tests.lib.support import ROOT

# What happened, by scenario, call and error; more than one, where it differs from place to place.
Seen = dict[tuple[str, str, str], set[str]]

INTRODUCTION = """\
# What happens when a system call fails

A program asks the kernel for everything that it cannot do alone, such as to open a connection, to
wait or to write: each time by a *system call*, and each can fail. What can pass is worth another
try; what concerns one client must not concern the others; and without some things a program cannot
do its work, and says so. Each `E…` is explained in the manual page of the call (`man 2 accept`).

`make faults` has written this table: it runs the programs under `strace`, which lets one call fail
without asking the kernel. There was one run for each error at each place of the code that makes
the call ({runs}). Where two things can happen, it depends on the place.
"""


def write_table(seen: Seen) -> None:
    """Write the document, with one line for the errors after which the same happens."""
    where = f"Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}"
    lines = [INTRODUCTION.format(runs=where)]
    for scenario in dict.fromkeys(scenario for scenario, _, _ in seen):
        lines += [f"## The {scenario}", "", "| call | fails with | what happens |", "|---|---|---|"]
        rows: dict[tuple[str, str], list[str]] = {}
        for call in ERRORS:
            for error in ERRORS[call].split():
                if outcomes := seen.get((scenario, call, error)):
                    rows.setdefault((call, " or ".join(sorted(outcomes, key=len))), []).append(
                        error
                    )
        for (call, happened), errors in rows.items():
            lines.append(
                f"| `{call}` | {' '.join(f'`{error}`' for error in errors)} | {happened} |"
            )
        by_signal = [seen[key] for key in seen if key[::2] == (scenario, SIGNAL)]
        happened = " or ".join(sorted(set().union(*by_signal), key=len))
        lines += [f"| any of these | no error: `{SIGNAL}` comes | {happened} |", ""]
    (ROOT / "docs/faults.md").write_text("\n".join(lines).rstrip() + "\n")
