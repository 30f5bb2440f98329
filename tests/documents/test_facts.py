"""What the documents say is so: held against the programs, the Makefile, CI and the benchmark."""

import errno
import json
import os
import re
import socket
import struct
import tomllib
from textwrap import indent
from typing import NamedTuple
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
import yaml
from dotenv import dotenv_values

from app import __version__
from app.exchange import SHOWN_BYTES
from docs.comparison import CASES, COLUMNS, WAITERS
from tests.lib.commands import commands_for
from tests.lib.documents import DOCUMENTS, ROOT, Document, Table
from tests.lib.peers import MESSAGE, REPLY, refused
from tests.lib.programs import Program, Server, run_client

# The contract: scripts of others rely on each of these.
CLIENT_CODES = {
    *((0, "ok"), (64, ""), (68, "unresolved"), (69, "unavailable"), (74, "closed")),
    *((75, "no-reply"), (76, "wrong-reply"), (78, "config")),
    *((130, "interrupted"), (143, "interrupted")),
}
SERVER_CODES = {(code, "") for code in (0, 64, 71, 78)}

# The figures of the benchmark that the documents quote, in this order.
QUOTED = [
    ("CPU per exchange, a new connection each, nothing logged", "times the C floor"),
    ("CPU per exchange, a new connection each, default log", "times the C floor"),
    ("CPU per exchange, 64 kept connections, nothing logged", "times the C floor"),
]
SPREAD = r"([\d.]+)(?: times)? \(([\d.]+) to ([\d.]+)\)"

EXAMPLE = {name: str(value) for name, value in dotenv_values(ROOT / ".env.example").items()}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# What a document may say where this is found, in both languages.
SAID: dict[str, set[str]] = {
    r"(?:exit(?: codes?)?|código(?: de saída)?)\s(\d+)(?:(?:, | or | ou )(\d+))?": {
        *(str(code) for code, _ in CLIENT_CODES | SERVER_CODES),
        *("1", "2", "124"),
    },
    r"\b(E(?!RROR)(?:AI_)?[A-Z]{4,})\b": {*dir(errno), *dir(socket)},
    r"\b(192\.168\.15\.\d+(?:/\d+)?)": {*EXAMPLE.values()},
    rf"{EXAMPLE['SERVER_HOST']}:(\d+)": {EXAMPLE["SERVER_PORT"]},
    r"Python (3\.\d+) (?:or|ou|and|e)\s": {str(PROJECT["requires-python"]).removeprefix(">=")},
    r"OWNER/tcp-pair(?:\.git#|@)v([\d.]+\d)": {__version__},
    r"([\w-]+)\.pyz": {"tcp-pair"},
    r"(\d+) (?:characters|caracteres)": {str(len(MESSAGE.decode()))},
    r"(?:characters and|caracteres e) (\d+) bytes": {str(len(MESSAGE))},
    r"(\d+) (?:and|e) (\d+) bytes": {str(len(MESSAGE)), str(len(REPLY))},
    r"(?:first|primeiros) (\d+) bytes": {str(SHOWN_BYTES)},
    r"(?:most|to|até|a) (\d+) KiB": {"64"},
}

# Of code in a file, which a document shows without its indentation.
DEPTHS = [" " * 4 * depth for depth in range(5)]

_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+:\d+")
_CAUSE = re.compile("|".join(re.escape(os.strerror(number)) for number in errno.errorcode))
_LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT[\d:]+\.\d{3}Z (DEBUG|INFO|WARNING|ERROR) (.+)")

# test_languages.py holds tables, blocks, code and numbers of the others against these.
ENGLISH = [document for document in DOCUMENTS.values() if not document.portuguese]

every_document = pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)


class Said(NamedTuple):
    """What both programs have said in a run that failed and in one that did not."""

    log: list[str]
    results: list[str]


@pytest.fixture(scope="module")
def said() -> Said:
    """Let a client find nobody, then another one a server, and stop that."""
    with refused() as address:
        failed = run_client(address, OUTPUT="json", DEADLINE="0.3")
    with Server() as server:
        done = run_client(server.address)
        stopped = server.stop()
    log = failed.stderr + done.stderr + stopped.stderr
    return Said(log.splitlines(), (failed.stdout + done.stdout).splitlines())


def tables_of(first: str) -> list[Table]:
    """Return the English tables that begin with this column, without marks."""
    return [
        [[cell.strip("`") for cell in row] for row in table]
        for document in ENGLISH
        for table in document.tables
        if table[0][0] == first
    ]


@every_document
def test_every_link_leads_somewhere(document: Document) -> None:
    """The files that are linked to are there, and have the headings that are named."""
    for link in document.links:
        if not link.startswith(("http:", "https:", "mailto:")):
            path, _, anchor = unquote(link).partition("#")
            target = (document.path.parent / path).resolve() if path else document.path
            assert target.exists(), link
            if anchor:
                assert anchor in Document(target).anchors, link


@every_document
def test_every_target_is_one_of_the_makefile(document: Document) -> None:
    """Whatever a document tells to make, make can make."""
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))
    for command in document.commands:
        for named in re.findall(r"\bmake(?: [A-Z_]+=\S+)* ([a-z][\w-]*)", command):
            assert named in targets, command


@every_document
def test_every_path_is_there(document: Document) -> None:
    """Each file of the project that a document names in code exists, and so does each module."""
    folders = [path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "."]
    for command in document.commands:
        for path in re.findall(rf"(?<![\w/.-])(?:{'|'.join(folders)})/[\w./-]*\w", command):
            assert (ROOT / path).exists(), command
        for module in re.findall(r"-m (app[.\w]*)", command):
            assert (ROOT / f"{module.replace('.', '/')}.py").exists(), command


@every_document
def test_every_variable_is_one_of_ours(document: Document) -> None:
    """What a document sets is read by a program, by Compose, or by what make runs."""
    sources = [ROOT / name for name in ("Makefile", "docker-compose.yml", ".env.example")]
    sources += [
        path
        for folder in ("app", "scripts", "deploy", "bench", "tests")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".sh", ".yml"} and ".venv" not in path.parts
    ]
    known = set(re.findall(r"\b[A-Z_]{4,}\b", "".join(path.read_text() for path in sources)))
    for command in document.commands:
        assert set(re.findall(r"(?<![\w$-])([A-Z][A-Z_]+)=", command)) <= known, command


def test_every_variable_is_in_the_table() -> None:
    """The tables have each variable of the programs, who reads it and its default; no other."""
    expected: dict[str, tuple[str, str]] = {}
    for module in ("server", "client"):
        with Program(module, {}, "--help") as program:
            usage = program.outcome().stdout
        for name, default in re.findall(r"(?m)^ +([A-Z_]+)(?:=(.*?))?  ", usage):
            expected[name] = ("both" if name in expected else module, default)
    found = []
    for titles, *rows in tables_of("variable"):
        for row in rows:
            cells = dict(zip(titles, row, strict=True))
            found.append((cells["variable"], cells["read by"], cells["default"]))

    assert sorted(found) == sorted((name, *said) for name, said in expected.items())


def test_every_exit_code_is_in_the_tables() -> None:
    """All rows of the tables of exit codes are those of the contract, each with its word."""
    found: dict[str, list[tuple[int, str]]] = {"status": [], "": []}
    for titles, *rows in tables_of("code"):
        for codes, word, *_ in rows:
            status = word if titles[1] else ""
            found[titles[1]] += [(int(code), status) for code in codes.split(",")]

    assert sorted(found["status"]) == sorted(CLIENT_CODES)
    assert sorted(found[""]) == sorted(SERVER_CODES)


@every_document
def test_what_is_said_is_so(document: Document) -> None:
    """Codes, causes, addresses, versions and sizes are those of the programs and their settings."""
    for pattern, allowed in SAID.items():
        for found in re.finditer(pattern, document.text):
            assert {*filter(None, found.groups())} <= allowed, found[0]


def test_the_ci_steps_are_those_of_the_workflow() -> None:
    """A block of CI steps is what the job `integration` runs, and each other block is YAML."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = [step for step in workflow["jobs"]["integration"]["steps"] if "run" in step]
    texts = [text for document in ENGLISH for kind, text in document.blocks if kind == "yaml"]
    blocks = [yaml.safe_load(text) for text in texts]
    shown = [block for block in blocks if isinstance(block, list) and "run" in block[0]]

    assert shown
    assert all(block == steps for block in shown)


def shape(message: str) -> str:
    """Return a line of the log without what differs from run to run."""
    return re.sub(r"\d+(?:\.\d+)?", "0", _CAUSE.sub("cause", _ADDRESS.sub("address", message)))


def check_log(lines: list[str], said: Said) -> int:
    """Hold all lines of a log among these against what the programs say; return their number."""
    known = {(m[1], shape(m[2])) for m in map(_LOG_LINE.fullmatch, said.log) if m}
    shown = [m for m in map(_LOG_LINE.search, lines) if m]
    for line in shown:
        assert (line[1], shape(line[2])) in known, line[0]
    return len(shown)


@every_document
def test_every_output_is_one_of_the_programs(document: Document, said: Said) -> None:
    """Each line of a log has words that the programs write, and each JSON result their keys."""
    keys = list(json.loads(said.results[0]))
    run = {command.shown for command in commands_for("loopback")}  # held against what it prints
    shown = [text for _, text in document.blocks if text not in run]
    lines = [line for text in shown for line in text.splitlines()]
    check_log(lines, said)
    for line in lines:
        if '{"status"' in line:
            assert list(json.loads(line[line.index("{") :])) == keys


def test_the_picture_is_of_a_run(said: Said) -> None:
    """docs/run.svg shows what is typed, both logs and the result."""
    picture = ElementTree.parse(ROOT / "docs" / "run.svg").findall("{*}text")
    command, *lines = (str(node.text) for node in picture)

    assert command == "$ make run"
    assert f"client | {said.results[-1]}" in lines
    assert check_log(lines, said) == len(lines) - 3


@every_document
def test_the_words_for_a_picture_are_in_it(document: Document) -> None:
    """What the description of a picture quotes can be read in the picture."""
    for address, words in document.pictures:
        quoted = re.findall('"(.+?)"', words)
        picture = (document.path.parent / address).read_bytes().decode(errors="replace")
        assert [text for text in quoted if text not in picture] == []


@every_document
def test_the_code_that_is_shown_is_the_code(document: Document) -> None:
    """Python in a document is valid, and is so many lines of the file that it names, in a row."""
    for kind, block in document.blocks:
        if kind == "python":
            path, code = block.removeprefix("# ").split("\n", 1)
            source = (ROOT / path).read_text(encoding="utf-8")
            assert any(f"\n{indent(code, depth)}" in source for depth in DEPTHS)
            compile(f"def f():\n while 1:\n{indent(code, '  ')}", path, "exec")


@every_document
def test_every_default_in_a_sentence_is_the_default(document: Document) -> None:
    """Seconds beside the name of a variable are its default."""
    named = [
        *re.findall(r"`([A-Z_]+)`, (\d+) s", document.text),
        *((n, s) for s, n in re.findall(r"(\d+) \w+\s\(`([A-Z_]+)`\)", document.text)),
    ]
    assert [(name, seconds) for name, seconds in named if EXAMPLE[name] != seconds] == []


@pytest.mark.parametrize("name", ["docs/how-it-works.md", "docs/como-funciona.md"])
def test_the_numbers_are_those_of_the_capture(name: str) -> None:
    """The table of a connection has each TCP packet of docs/packets.pcap, counted from the SYNs."""
    expected: list[list[str]] = []
    start: dict[bytes, int] = {}
    with (ROOT / "docs" / "packets.pcap").open("rb") as capture:
        capture.seek(24)
        while header := capture.read(16):
            packet = capture.read(int.from_bytes(header[8:12], "little"))
            if packet[12:14] == b"\x08\x00":  # IPv4
                ports, seq, ack, size, flags = struct.unpack("!4s2IBB", packet[34:48])
                start.setdefault(ports, seq)
                peer = start.get(ports[2:] + ports[:2], 0)
                data = int.from_bytes(packet[16:18]) - 20 - size // 16 * 4
                way = "server → client" if ports[:2] == b"\x22\xb8" else "client → server"
                tags = [tag for bit, tag in ((2, "SYN"), (1, "FIN")) if flags & bit]
                tags += ["ACK"] if flags & 16 and flags & 3 != 1 else []
                what = f"{data} bytes" if data else " ".join(tags)
                counted = seq - start[ports], ack - peer if flags & 16 else ""
                expected.append([f"{way}, {what}", *map(str, counted)])
    (shown,) = (table for table in DOCUMENTS[name].tables if table[0][1:3] == ["seq", "ack"])

    assert [row[:3] for row in shown[1:]] == expected
    assert f"192.168.15.20:{int.from_bytes(max(start)[:2])}" in DOCUMENTS[name].text


def test_the_figures_are_those_of_the_benchmark() -> None:
    """The documents quote the benchmark's medians with their intervals, as results.md has them."""
    results = DOCUMENTS["bench/results/results.md"]
    expected = [
        match.groups()
        for figure, unit in QUOTED
        for name, target, measured, _ in results.tables[0]
        if name == figure and target.endswith(unit) and (match := re.match(SPREAD, measured))
    ]
    texts = [text for document in ENGLISH if document is not results for text in document.prose]
    found = [figures for text in texts for figures in re.findall(SPREAD, " ".join(text.split()))]

    assert found == expected
    assert len(found) == len(QUOTED)


def test_every_key_of_the_json_is_in_the_table(said: Said) -> None:
    """The table has the keys of a result, in their order."""
    ((_, *rows),) = tables_of("key")
    assert re.findall(r"\w+", " ".join(row[0] for row in rows)) == [*json.loads(said.results[0])]


def test_the_comparison_is_of_what_is_played() -> None:
    """The table has the waiters of comparison.py, with a code for each of its cases."""
    (titles, *rows), *_ = DOCUMENTS["docs/comparison.md"].tables

    assert tuple(titles) == COLUMNS
    assert [row[0] for row in rows] == [waiter.name for waiter in WAITERS]
    for _, *cells in rows:
        assert all(re.fullmatch(r"\*\*0\*\*|[1-9]\d*", cell) for cell in cells[: len(CASES)])
