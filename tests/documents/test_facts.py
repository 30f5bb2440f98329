"""What the documents say is so: held against the programs, the Makefile, CI and the benchmark."""

import errno
import json
import os
import re
import tomllib
from typing import NamedTuple
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
import yaml
from dotenv import dotenv_values

from docs.comparison import CASES, COLUMNS, WAITERS
from tests.lib.documents import DOCUMENTS, ROOT, Document, Table
from tests.lib.peers import refused
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
def test_every_exit_code_that_is_named_exists(document: Document) -> None:
    """A sentence or a diagram names no exit code that nothing here has."""
    known = {code for code, _ in CLIENT_CODES | SERVER_CODES} | {1, 2, 124}
    listed = r"\b(?:exit(?: codes?)?|código(?: de saída)?)\s+((?:\d+(?:, | or | ou )?)+)"
    for codes in re.findall(listed, document.text):
        assert set(map(int, re.findall(r"\d+", codes))) <= known, codes


def test_the_ci_steps_are_those_of_the_workflow() -> None:
    """A block of CI steps is what the job `integration` runs, and each other block is YAML."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = [step for step in workflow["jobs"]["integration"]["steps"] if "run" in step]
    texts = [text for document in ENGLISH for kind, text in document.blocks if kind == "yaml"]
    blocks = [yaml.safe_load(text) for text in texts]
    shown = [block for block in blocks if isinstance(block, list) and "run" in block[0]]

    assert shown
    assert all(block == steps for block in shown)


def test_the_oldest_python_is_said_and_tried() -> None:
    """The documents name the Python that pyproject.toml requires; CI tries that one first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    oldest = project["requires-python"].removeprefix(">=")

    assert workflow["jobs"]["fast"]["strategy"]["matrix"]["python"][0] == oldest
    for document in DOCUMENTS.values():
        said = re.findall(r"Python (3\.\d+) (?:or|ou|and|e)\s", document.text)
        assert set(said) <= {oldest}
        assert said or document.name not in {"README.md", "README.pt-BR.md"}


@every_document
def test_every_address_is_one_of_the_example(document: Document) -> None:
    """The addresses of the pair are those of .env.example, its port behind the server's."""
    example = dotenv_values(ROOT / ".env.example")
    for address, port in re.findall(r"\b(192\.168\.15\.\d+(?:/\d+)?)(?::(\d+))?", document.text):
        assert address in example.values()
        if port and address == example["SERVER_HOST"]:
            assert port == example["SERVER_PORT"]


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
    lines = [line for _, text in document.blocks for line in text.splitlines()]
    check_log(lines, said)
    for line in lines:
        if '{"status"' in line:
            assert list(json.loads(line[line.index("{") :])) == keys


def test_the_picture_is_of_a_whole_run(said: Said) -> None:
    """docs/run.svg shows the command, both logs and the result, and nothing else."""
    picture = (ROOT / "docs" / "run.svg").read_text(encoding="utf-8")
    command, start, *run, end = (
        str(node.text) for node in ElementTree.fromstring(picture).findall("{*}text")
    )
    result = f"client | {said.results[-1]}"

    assert command == "$ make run"
    assert start == "starting the client; the server follows once the client waits"
    assert run.count(result) == 1
    assert check_log(run, said) == len(run) - 1
    assert end == "the client ended with exit code 0: all went well"
    assert "prefers-color-scheme: dark" in picture
    assert "href" not in picture


@every_document
def test_the_words_for_a_picture_are_in_it(document: Document) -> None:
    """What the description of a picture quotes can be read in the picture."""
    for address, words in document.pictures:
        quoted = re.findall('"(.+?)"', words)
        picture = (document.path.parent / address).read_bytes().decode(errors="replace")
        assert [text for text in quoted if text not in picture] == []


@every_document
def test_the_code_that_is_shown_is_the_code(document: Document) -> None:
    """Each line of Python in a document is one of the file that it is said to be of."""
    for kind, block in document.blocks:
        if kind == "python":
            path, *lines = block.splitlines()
            code = (ROOT / path.removeprefix("# ")).read_text().splitlines()
            assert {line.strip() for line in lines} <= {line.strip() for line in code}


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


def test_the_comparison_is_of_what_is_played() -> None:
    """Both tables have the waiters of comparison.py; the first has a code for each of its cases."""
    codes, features = DOCUMENTS["docs/comparison.md"].tables
    for table in (codes, features):
        assert [row[0] for row in table[1:]] == [waiter.name for waiter in WAITERS]
    assert tuple(codes[0]) == COLUMNS
    for _, *cells in codes[1:]:
        for cell in cells[: len(CASES)]:
            assert re.fullmatch(r"\*\*0\*\*|[1-9]\d*", cell)
