"""What was seen when each call failed, as tests/all/faults/table.txt."""

import platform

from tests.lib.injection import ERRORS, SIGNAL
from tests.lib.support import ROOT

# What happened, by scenario, call and error; more than one, where it differs from place to place.
Seen = dict[tuple[str, str, str], set[str]]

INTRODUCTION = """\
What happens when a system call fails, written by `make faults`: one run for each error at each
place of the code that makes the call ({runs}). "or": it depends on the place.
"""


def write_table(seen: Seen) -> None:
    """Write the table, with one line for the errors after which the same happens."""
    where = f"Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}"
    lines = [INTRODUCTION.format(runs=where)]
    for scenario in dict.fromkeys(scenario for scenario, _, _ in seen):
        lines += [f"The {scenario}", "", "| call | fails with | what happens |", "|---|---|---|"]
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
        if by_signal := [seen[key] for key in seen if key[::2] == (scenario, SIGNAL)]:
            happened = " or ".join(sorted(set().union(*by_signal), key=len))
            lines.append(f"| any of these | no error: `{SIGNAL}` comes | {happened} |")
        lines.append("")
    (ROOT / "tests/all/faults/table.txt").write_text("\n".join(lines).rstrip() + "\n")
