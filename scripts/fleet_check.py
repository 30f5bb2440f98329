"""Let every node of this swarm make one check, and say what came of it, node by node."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from preflight import Json, Problem

STACK = "tcp-pair"
SERVER, CLIENT = f"{STACK}_server", f"{STACK}_client"

# Seconds that Docker may take: for one answer; beside a client's DEADLINE, to start and end it
# on every node, with a pull of its image; to replace the server, with the pull of its image.
ANSWER, START, REPLACE = 60.0, 60.0, 120.0
# Seconds between two looks: tasks are not among Docker's events.
POLL = 0.5

ENDED = {"complete", "shutdown", "failed", "rejected", "remove", "orphaned"}

_LOG_LINE = re.compile(r"\S+\.(?P<task>[0-9a-z]{25})@.*?\| (?P<result>\{.*\})")


class Row(NamedTuple):
    """What came of the check of one node."""

    node: str
    status: str
    attempts: str = "-"
    connect_ms: str = "-"
    reply_ms: str = "-"
    why: str = ""


def run(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run docker to its end. Raises Problem if that does not come."""
    try:
        return subprocess.run(
            ["docker", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            check=False,
            timeout=ANSWER,
            env=env,
        )
    except subprocess.TimeoutExpired:
        name = " ".join(arguments[:2])
        raise Problem(f"docker {name} has not answered for {ANSWER:g} s.") from None


def docker(*arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Return what docker prints. Raises Problem."""
    answer = run(*arguments, env=env)
    if answer.returncode:
        name = " ".join(arguments[:2])
        why = answer.stderr.strip().splitlines() or ["no reason given"]
        raise Problem(f"docker {name}: {why[-1]}")
    return answer.stdout


def read_environment() -> dict[str, str]:
    """Take from .env what docker stack deploy does not: it reads the environment alone."""
    files = ("--file", "docker-compose.yml", "--file", "deploy/overlay.yml")
    services = json.loads(docker("compose", *files, "config", "--format", "json"))["services"]
    values = {f"{name.upper()}_IMAGE": service["image"] for name, service in services.items()}
    for service in services.values():
        values |= service["environment"]
    # Compose doubles every $ that it prints.
    return {**os.environ, **{name: text.replace("$$", "$") for name, text in values.items()}}


def read_deadline(text: str) -> float:
    """Return the seconds that a client may take."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return 0.0  # the clients refuse it at once, with a better sentence
    if not float(text):
        raise Problem("DEADLINE=0 lets a client wait for ever, and this check too: change it.")
    return float(text)


def read_nodes() -> list[Json]:
    """List the nodes of the swarm."""
    lines = docker("node", "ls", "--format", "{{json .}}").splitlines()
    return sorted((json.loads(line) for line in lines), key=lambda node: str(node["Hostname"]))


def read_service(name: str) -> Json:
    """Return what Docker knows of a service; nothing if it is not there."""
    if name not in docker("service", "ls", "--format", "{{.Name}}").split():
        return {}
    (service,) = json.loads(docker("service", "inspect", name))
    known: Json = service
    return known


def read_tasks(service: str) -> list[Json]:
    """List the tasks of a service, the latest first."""
    names = docker("service", "ps", "--quiet", "--no-trunc", service).split()
    # One that has gone meanwhile is left out, with an exit code that says so.
    tasks: list[Json] = json.loads(run("inspect", "--type", "task", *names).stdout or "[]")
    return sorted(tasks, key=lambda task: str(task["CreatedAt"]), reverse=True)


def read_results() -> dict[str, Json]:
    """Return what the clients have printed, by task."""
    # The exit code tells of any node that cannot be asked; the others have answered all the same.
    lines = run("service", "logs", "--no-trunc", CLIENT).stdout.splitlines()
    found = filter(None, map(_LOG_LINE.fullmatch, lines))
    return {line["task"]: json.loads(line["result"]) for line in found}


def read_round(client: Json) -> int:
    """Return the number of the last round of checks; -1 if there was none."""
    return int(client["JobStatus"]["JobIteration"].get("Index", 0)) if client else -1


def start_round(environment: Mapping[str, str]) -> int:
    """Deploy the stack, which starts a round of checks, and return its number."""
    before, last = read_service(SERVER), read_round(read_service(CLIENT))
    files = ("--compose-file", "deploy/stack.yml")
    docker("stack", "deploy", "--with-registry-auth", *files, STACK, env=environment)
    after = read_service(SERVER)
    if before and before["Spec"]["TaskTemplate"] != after["Spec"]["TaskTemplate"]:
        # What the clients have asked by then may be the old server.
        wait_for_server()
        docker("service", "update", "--quiet", "--detach", "--force", CLIENT)
    number = read_round(read_service(CLIENT))
    if number <= last:
        raise Problem("Docker has not started the checks anew.")
    return number


def wait_for_server() -> None:
    """Wait until the server has been replaced. Raises Problem if its new version does not run."""
    until = time.monotonic() + REPLACE
    while time.monotonic() < until:
        state = (read_service(SERVER).get("UpdateStatus") or {}).get("State", "")
        if state == "completed":
            return
        if state.startswith("rollback") or state == "paused":
            raise Problem(f"the server cannot be replaced by what is configured now: {state}.")
        time.sleep(POLL)
    raise Problem(f"the server has not been replaced for {REPLACE:g} s.")


def wait_for_tasks(number: int, seconds: float) -> tuple[list[Json], dict[str, Json]]:
    """Return the nodes, and the tasks of a round by node, once each has ended or cannot come."""
    until = time.monotonic() + seconds
    while True:
        nodes = read_nodes()
        if read_round(read_service(CLIENT)) != number:
            raise Problem("somebody else has started the checks anew: try again.")
        tasks = of_round(read_tasks(CLIENT), number)
        settled = all(
            state(tasks.get(node["ID"])) in ENDED or not can_check(node) for node in nodes
        )
        if settled or time.monotonic() > until:
            return nodes, tasks
        time.sleep(POLL)


def of_round(tasks: Iterable[Json], number: int) -> dict[str, Json]:
    """Return a round's tasks by node; a node that has been away has those of others still."""
    return {
        task["NodeID"]: task for task in tasks if task["JobIteration"].get("Index", 0) == number
    }


def can_check(node: Json) -> bool:
    """Tell whether a task may end on this node."""
    return bool(node["Status"] != "Down" and node["Availability"] == "Active")


def state(task: Json | None) -> str:
    """Return the word for how far a task is."""
    return str(task["Status"]["State"]) if task else "not started"


def judge(node: Json, task: Json | None, result: Json | None) -> Row:
    """Say what came of the check of one node."""
    name = str(node["Hostname"])
    if result:
        attempts, connect_ms, reply_ms = (
            "-" if result[key] is None else str(result[key])
            for key in ("attempts", "connect_ms", "reply_ms")
        )
        why = result["error"] or ""
        return Row(name, result["status"], attempts, connect_ms, reply_ms, why)
    if state(task) == "complete":
        return Row(name, "ok", why="its log cannot be read")
    if node["Status"] == "Down":
        return Row(name, "down", why="the manager has lost it")
    if node["Availability"] != "Active":
        return Row(name, node["Availability"].lower(), why="it takes no tasks")
    why = str(task["Status"].get("Err", "")) if task else ""
    return Row(name, "no-result", why=why or f"its client is {state(task)}")


def table(rows: Iterable[Row]) -> str:
    """Line the rows up, under their titles."""
    lines = [("node", "status", "attempts", "connect ms", "reply ms"), *(row[:5] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def check() -> int:
    """Run one round, print it, and return how many nodes did not get the right reply."""
    environment = read_environment()
    seconds = read_deadline(environment["DEADLINE"]) + START
    names = [node["Hostname"] for node in read_nodes()]
    print(f"fleet-check: one check from each node: {', '.join(names)}", flush=True)
    nodes, tasks = wait_for_tasks(start_round(environment), seconds)
    results = read_results()
    rows = []
    for node in nodes:
        task = tasks.get(node["ID"])
        rows.append(judge(node, task, results.get(task["ID"]) if task else None))
    print(table(rows))
    wrong = [row for row in rows if row.status != "ok"]
    for row in wrong:
        print(f"fleet-check: {row.node} did not get the right reply: {row.why}")
    if wrong:
        hosts = {node["ID"]: node["Hostname"] for node in nodes}
        server = read_tasks(SERVER)[0]
        where = hosts.get(server.get("NodeID"), "no node")
        why = server["Status"].get("Err", "")
        print(f"fleet-check: the server is {state(server)} on {where}{why and ': '}{why}")
    print(f"fleet-check: {len(rows) - len(wrong)} of {len(rows)} nodes got the right reply")
    return len(wrong)


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the stack stays as it is: no last words
    try:
        return 1 if check() else 0
    except Problem as problem:
        print(f"fleet-check: {problem}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
