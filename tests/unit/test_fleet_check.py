"""How the fleet check reads Docker's output; tests/all/swarm runs it on a real swarm."""

from typing import Any

import pytest

from deploy.fleet_check import Row, fill, judge, read_deadline, table
from scripts.common import Problem

READY = {"Hostname": "one", "Status": "Ready", "Availability": "Active"}
MEASURED = {"connect_ms": 0.5, "reply_ms": 1.25, "rtt_ms": 0.25, "mss": 1398, "resent": 0}
OK = {"status": "ok", "error": None, "attempts": 2} | MEASURED
UNRESOLVED = {"status": "unresolved", "error": "no answer", "attempts": 3, "resent": None}
CUT = {"status": "no-reply", "error": "nothing came", "attempts": 3}
DOWN, DRAIN = {"Status": "Down"}, {"Availability": "Drain"}
LOST, NO_TASKS = "the manager has lost it", "it takes no tasks"


@pytest.mark.parametrize(
    ("node", "its_task", "result", "status", "why"),
    [
        ({}, "complete", OK, "ok", ""),
        ({}, "failed non-zero exit (68)", UNRESOLVED, "unresolved", "no answer"),
        ({}, "failed", CUT | {"resent": 0}, "no-reply", "nothing came"),
        ({}, "failed", CUT | {"resent": 1}, "no-reply", "nothing came, 1 segment sent again"),
        ({}, "failed", CUT | {"resent": 5}, "no-reply", "nothing came, 5 segments sent again"),
        ({}, "complete", None, "ok", "its log cannot be read"),
        (DOWN, "complete", OK, "ok", ""),
        (DOWN, "assigned", None, "down", LOST),
        (DOWN, "", None, "down", LOST),
        (DRAIN, "", None, "drain", NO_TASKS),
        ({}, "rejected No such image: x", None, "no-result", "No such image: x"),
        ({}, "preparing", None, "no-result", "its client is preparing"),
        ({}, "", None, "no-result", "its client is not started"),
    ],
)
def test_client_result_decides_the_node_status(
    node: dict[str, str], its_task: str, result: dict[str, Any] | None, status: str, why: str
) -> None:
    """The client's result decides a node's status; without it the task's or node's state does."""
    state, _, error = its_task.partition(" ")
    task = {"Status": {"State": state, "Err": error}} if state else None

    assert judge(READY | node, task, result) == Row("one", status, why, result or {})


def test_text_is_padded_until_it_needs_full_packets() -> None:
    """A text is padded with dots to 4,000 bytes; a longer or invalid text stays unchanged."""
    dots = {
        "Testando conexão": 3983,
        r"a\r\n\\\x00": 3995,
        1999 * "é": 2,
        2001 * "é": 0,
        "not\\": 0,
    }

    assert {text: fill(text) for text in dots} == {text: text + n * "." for text, n in dots.items()}


def test_table_columns_are_aligned() -> None:
    """Text is aligned left, numbers are aligned right, and an unknown number is a dash."""
    result = {"attempts": 12} | MEASURED | {"connect_ms": None}
    rows = [Row("a-long-name", "ok", "", result), Row("b", "down", "lost", {})]

    assert table(rows).splitlines() == [
        "node         status  attempts  connect ms  reply ms  rtt ms   mss  resent",
        "a-long-name  ok            12           -      1.25    0.25  1398       0",
        "b            down           -           -         -       -     -       -",
    ]


def test_check_without_a_deadline_is_refused() -> None:
    """The fleet check refuses DEADLINE=0, which would make it wait forever."""
    for text in ("0", "0.0"):
        with pytest.raises(Problem, match="DEADLINE=0"):
            read_deadline(text)
    assert [read_deadline(text) for text in ("2.5", "soon")] == [2.5, 0]
