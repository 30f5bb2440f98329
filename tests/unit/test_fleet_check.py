"""What the fleet check makes of what Docker says; tests/cluster has it ask a real swarm."""

from typing import Any

import pytest
from fleet_check import Row, can_check, judge, of_round, read_deadline, table
from preflight import Problem

READY = {"Hostname": "one", "Status": "Ready", "Availability": "Active"}
OK = {"status": "ok", "error": None, "attempts": 2, "connect_ms": 0.5, "reply_ms": 1.25}
WHY = "no answer from the name server"
UNRESOLVED = {
    "status": "unresolved",
    "error": WHY,
    "attempts": 3,
    "connect_ms": None,
    "reply_ms": None,
}
LOST = Row("one", "down", why="the manager has lost it")


def task(state: str, **status: str) -> dict[str, Any]:
    """Return a task, as docker inspect has it."""
    return {"Status": {"State": state, **status}}


@pytest.mark.parametrize(
    ("node", "its_task", "result", "row"),
    [
        ({}, task("complete"), OK, Row("one", "ok", "2", "0.5", "1.25")),
        (
            *({}, task("failed", Err="task: non-zero exit (68)"), UNRESOLVED),
            Row("one", "unresolved", "3", why=WHY),
        ),
        ({}, task("complete"), None, Row("one", "ok", why="its log cannot be read")),
        ({"Status": "Down"}, task("complete"), OK, Row("one", "ok", "2", "0.5", "1.25")),
        ({"Status": "Down"}, task("assigned"), None, LOST),
        ({"Status": "Down"}, None, None, LOST),
        ({"Availability": "Drain"}, None, None, Row("one", "drain", why="it takes no tasks")),
        ({"Availability": "Pause"}, None, None, Row("one", "pause", why="it takes no tasks")),
        (
            *({}, task("rejected", Err="No such image: tcp-pair-client:latest"), None),
            Row("one", "no-result", why="No such image: tcp-pair-client:latest"),
        ),
        ({}, task("preparing"), None, Row("one", "no-result", why="its client is preparing")),
        ({}, None, None, Row("one", "no-result", why="its client is not started")),
    ],
)
def test_a_node_is_judged_by_its_client_first(
    node: dict[str, str],
    its_task: dict[str, Any] | None,
    result: dict[str, Any] | None,
    row: Row,
) -> None:
    """Only the right reply is ok, and anything else has its reason."""
    assert judge(READY | node, its_task, result) == row


@pytest.mark.parametrize(
    ("node", "can"),
    [
        ({}, True),
        ({"Status": "Unknown"}, True),
        ({"Status": "Down"}, False),
        ({"Availability": "Drain"}, False),
    ],
)
def test_a_node_is_waited_for_while_it_may_check(node: dict[str, str], can: bool) -> None:
    """A node that is down, or takes no tasks, is not waited for; one not yet heard of is."""
    assert can_check(READY | node) is can


@pytest.mark.parametrize("number", [0, 1])
def test_only_tasks_of_the_round_count(number: int) -> None:
    """What a node still has of another round says nothing of this one."""
    # Docker leaves out the number of the first round.
    tasks = [
        {"ID": f"{node} {iteration}", "NodeID": node, "JobIteration": iteration}
        for node in ("one", "two")
        for iteration in ({"Index": 2}, {"Index": 1}, {})
    ]

    found = of_round(tasks, number)

    iteration = {"Index": 1} if number else {}
    assert {node: task["ID"] for node, task in found.items()} == {
        "one": f"one {iteration}",
        "two": f"two {iteration}",
    }


def test_the_rows_stand_under_their_titles() -> None:
    """Names are flush left, numbers flush right, and no row is without its dashes."""
    rows = [Row("a-long-name", "ok", "12", "0.5", "10.25"), Row("b", "down", why="lost")]

    assert table(rows).splitlines() == [
        "node         status  attempts  connect ms  reply ms",
        "a-long-name  ok            12         0.5     10.25",
        "b            down           -           -         -",
    ]


def test_a_check_without_end_is_refused() -> None:
    """DEADLINE=0 would have the check wait for ever; any other is what a client may take."""
    for text in ("0", "0.0"):
        with pytest.raises(Problem, match="DEADLINE=0"):
            read_deadline(text)
    assert [read_deadline(text) for text in ("2.5", "soon")] == [2.5, 0]
