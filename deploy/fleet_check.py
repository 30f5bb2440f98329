"""Let every node of this swarm make one check, and say what came of it, node by node."""

import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

from app.protocol import unescape
from scripts.common import Problem, end_with, say
from scripts.docker import Json, compose_config, make_ready, output, run

STACK = "tcp-pair"
SERVER, CLIENT = f"{STACK}_server", f"{STACK}_client"

# Seconds that Docker may take: beside a client's DEADLINE, to start and end it on every node,
# with a pull of its image; to replace the server, with the pull of its image.
START, REPLACE = 60.0, 120.0
# Seconds between two looks: tasks are not among Docker's events.
POLL = 0.5
# Bytes of MESSAGE and of REPLY: two full segments and more, where a packet has 1,500 bytes.
FULL = 4000

# What is shown of a client's result.
SHOWN = ("attempts", "connect_ms", "reply_ms", "rtt_ms", "mss", "resent")

ENDED = {"complete", "shutdown", "failed", "rejected", "remove", "orphaned"}

_LOG_LINE = re.compile(r"\S+\.(?P<task>[0-9a-z]{25})@.*?\| (?P<result>\{.*\})")


class Row(NamedTuple):
    """What came of the check of one node."""

    node: str
    status: str
    why: str
    result: Json


def read_environment() -> dict[str, str]:
    """Take from .env what docker stack deploy does not: it reads the environment alone."""
    files = ["--file", "docker-compose.yml", "--file", "deploy/overlay.yml"]
    # With the example in front no variable is without a value.
    for env in (".env.example", *filter(os.path.exists, [".env"])):
        files += "--env-file", env
    services = compose_config(*files)["services"]
    values = {f"{name.upper()}_IMAGE": service["image"] for name, service in services.items()}
    for service in services.values():
        values |= service["environment"]
    # Compose doubles every $ that it prints.
    values = {name: text.replace("$$", "$") for name, text in values.items()}
    # A path may let small packets pass and drop large ones. The server reads a long message in
    # pieces, and may answer each of them. An empty MESSAGE it would not answer at all, so that
    # one is filled too; an empty REPLY stays the error that it is.
    reply = values["REPLY"] and fill(values["REPLY"])
    values |= {"MESSAGE": fill(values["MESSAGE"]), "REPLY": reply, "REPLY_MATCH": "prefix"}
    return {**os.environ, **values}


def fill(text: str) -> str:
    """Add dots until this stands for FULL bytes."""
    with suppress(ValueError):  # what is not valid is refused by the programs, who say why
        text += "." * (FULL - len(unescape(text)))
    return text


def read_deadline(text: str) -> float:
    """Return the seconds that a client may take."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return 0.0  # the clients refuse it at once, with a better sentence
    if not float(text):
        raise Problem("DEADLINE=0 lets a client wait for ever, and this check too: change it.")
    return float(text)


def read_nodes() -> list[Json]:
    """List the nodes of the swarm."""
    lines = output("node", "ls", "--format", "{{json .}}").splitlines()
    return sorted((json.loads(line) for line in lines), key=lambda node: str(node["Hostname"]))


def read_service(name: str) -> Json:
    """Return what Docker knows of a service; nothing if it is not there."""
    found: list[Json] = json.loads(run("service", "inspect", name).stdout or "[]")
    return found[0] if found else {}


def read_tasks(service: str) -> list[Json]:
    """List the tasks of a service, the latest first."""
    names = output("service", "ps", "--quiet", "--no-trunc", service).split()
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
    output("stack", "deploy", "--with-registry-auth", *files, STACK, env=environment)
    after = read_service(SERVER)
    if before and before["Spec"]["TaskTemplate"] != after["Spec"]["TaskTemplate"]:
        # What the clients have asked by then may be the old server.
        wait_for_server()
        output("service", "update", "--quiet", "--detach", "--force", CLIENT)
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
        waited_for = [node["ID"] for node in nodes if can_check(node)]
        if time.monotonic() > until or all(state(tasks.get(n)) in ENDED for n in waited_for):
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
        why = result["error"] or ""
        if resent := result["resent"]:
            why += f", {resent} segment{'s' if resent > 1 else ''} sent again"
        return Row(name, result["status"], why, result)
    if state(task) == "complete":
        return Row(name, "ok", "its log cannot be read", {})
    if node["Status"] == "Down":
        return Row(name, "down", "the manager has lost it", {})
    if node["Availability"] != "Active":
        return Row(name, node["Availability"].lower(), "it takes no tasks", {})
    why = str(task["Status"].get("Err", "")) if task else ""
    return Row(name, "no-result", why or f"its client is {state(task)}", {})


def table(rows: Iterable[Row]) -> str:
    """Line the rows up, under their titles."""
    lines = [("node", "status", *(key.replace("_", " ") for key in SHOWN))]
    for row in rows:
        values = map(row.result.get, SHOWN)
        lines.append((row.node, row.status, *("-" if v is None else str(v) for v in values)))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    form = "  ".join(f"{{:{'<>'[place > 1]}{width}}}" for place, width in enumerate(widths))
    return "\n".join(form.format(*line) for line in lines)


def check() -> int:
    """Run one round, print it, and return how many nodes did not get the expected reply."""
    environment = read_environment()
    seconds = read_deadline(environment["DEADLINE"]) + START
    names = [node["Hostname"] for node in read_nodes()]
    say(f"fleet-check: one check from each node: {', '.join(names)}")
    nodes, tasks = wait_for_tasks(start_round(environment), seconds)
    results = read_results()
    found = [(node, tasks.get(node["ID"])) for node in nodes]
    rows = [judge(node, task, results.get(task["ID"]) if task else None) for node, task in found]
    say(table(rows))
    wrong = [row for row in rows if row.status != "ok"]
    for row in wrong:
        say(f"fleet-check: {row.node} did not get the expected reply: {row.why}")
    if wrong:
        hosts = {node["ID"]: node["Hostname"] for node in nodes}
        server = read_tasks(SERVER)[0]
        where = hosts.get(server.get("NodeID"), "no node")
        why = server["Status"].get("Err", "")
        say(f"fleet-check: the server is {state(server)} on {where}{why and ': '}{why}")
    say(f"fleet-check: {len(rows) - len(wrong)} of {len(rows)} nodes got the expected reply")
    return len(wrong)


def main() -> int:
    try:
        make_ready()
        return 1 if check() else 0
    except Problem as problem:
        raise Problem(f"fleet-check: {problem}") from None


if __name__ == "__main__":
    end_with(main)
