"""The documents against the programs, the Makefile, CI and the benchmark."""

import errno
import json
import os
import re
import socket
import tomllib
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

# The contract: users' scripts rely on each of these codes.
CLIENT_CODES = {
    *((0, "ok"), (64, ""), (68, "unresolved"), (69, "unavailable"), (74, "closed")),
    *((75, "no-reply"), (76, "wrong-reply"), (78, "config")),
    *((130, "interrupted"), (143, "interrupted")),
}
SERVER_CODES = {(code, "") for code in (0, 64, 71, 78)}

# A figure of the benchmark, and its interval.
SPREAD = r"([\d.]+)(?: times)? \(([\d.]+) to ([\d.]+)\)"

EXAMPLE = {name: str(value) for name, value in dotenv_values(ROOT / ".env.example").items()}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# For each pattern, in both languages, the values that a document may have there.
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

TARGETS = re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text())
FOLDERS = [path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "."]
_SOURCES = [ROOT / "Makefile", ROOT / ".env.example", *ROOT.glob("[!.]*/**/*.py")]
VARIABLES = {*re.findall(r"\b[A-Z_]{4,}\b", "".join(path.read_text() for path in _SOURCES))}

_CAUSE = "|".join(re.escape(os.strerror(number)) for number in errno.errorcode)
_LOG_LINE = r"(?m)\d{4}-\d\d-\d\dT[\d:]+\.\d{3}Z .+$"

# test_languages.py compares tables, blocks, code and numbers of the translations with these.
ENGLISH = [document for document in DOCUMENTS.values() if not document.portuguese]

every_document = pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)


class Said(NamedTuple):
    """The output of both programs, from a failed run and a successful run."""

    log: set[str]
    reply: str
    keys: list[str]


@pytest.fixture(scope="module")
def said() -> Said:
    """Run a client without a server, then a client with a server, and stop the server."""
    with refused() as address:
        failed = run_client(address, OUTPUT="json", DEADLINE="0.3")
    with Server() as server:
        done = run_client(server.address)
        stopped = server.stop()
    log = log_lines(failed.stderr + done.stderr + stopped.stderr)
    return Said({*log}, done.stdout.rstrip(), [*json.loads(failed.stdout)])


def log_lines(text: str) -> list[str]:
    """Return the log lines in a text, without the parts that differ between runs."""
    lines = re.findall(_LOG_LINE, text)
    return [re.sub(r"\d+(?:\.\d+)?", "0", re.sub(_CAUSE, "cause", line)) for line in lines]


def tables_of(first: str) -> list[Table]:
    """Return the English tables whose first column has this title, without backquotes."""
    return [
        [[cell.strip("`") for cell in row] for row in table]
        for document in ENGLISH
        for table in document.tables
        if table[0][0] == first
    ]


@every_document
def test_link_target_exists(document: Document) -> None:
    """Each linked file exists, with the heading that the link names."""
    for link in document.links:
        if not link.startswith(("http:", "https:", "mailto:")):
            path, _, anchor = unquote(link).partition("#")
            target = (document.path.parent / path).resolve() if path else document.path
            assert target.exists(), link
            assert not anchor or anchor in Document(target).anchors, link


@every_document
def test_names_in_commands_exist(document: Document) -> None:
    """Each target, path, module and variable in a command or a code span exists."""
    for command in document.commands:
        for target in re.findall(r"\bmake(?: [A-Z_]+=\S+)* ([a-z][\w-]*)", command):
            assert target in TARGETS, command
        for path in re.findall(rf"(?<![\w/.-])(?:{'|'.join(FOLDERS)})/[\w./-]*\w", command):
            assert (ROOT / path).exists() or path == "docs/packets.html", command  # generated
        for module in re.findall(r"-m (app[.\w]*)", command):
            assert (ROOT / f"{module.replace('.', '/')}.py").exists(), command
        assert {*re.findall(r"(?<![\w$-])([A-Z][A-Z_]+)=", command)} <= VARIABLES, command


def test_tables_have_the_variables_of_the_programs() -> None:
    """The tables list each variable with its program and its default, and no other variable."""
    expected: dict[str, tuple[str, str]] = {}
    for module in ("server", "client"):
        with Program(module, {}, "--help") as program:
            usage = program.outcome().stdout
        for name, default in re.findall(r"(?m)^ +([A-Z_]+)(?:=(.*?))?  ", usage):
            expected[name] = ("both" if name in expected else module, default)
    found = [row[:3] for _, *rows in tables_of("variable") for row in rows]

    assert sorted(found) == sorted([name, *said] for name, said in expected.items())


def test_tables_have_the_exit_codes() -> None:
    """The tables list the exit codes of the contract, each with its status."""
    found = [
        (int(code), word)
        for _, *rows in tables_of("code")
        for codes, word, *_ in rows
        for code in codes.split(",")
    ]

    assert sorted(found) == sorted([*CLIENT_CODES, *SERVER_CODES])


@every_document
def test_values_in_sentences_are_true(document: Document) -> None:
    """Codes, causes, addresses, versions, sizes and durations in a sentence are correct."""
    named = [
        *re.findall(r"`([A-Z_]+)`, (\d+) s", document.text),
        *((n, s) for s, n in re.findall(r"(\d+) \w+\s\(`([A-Z_]+)`\)", document.text)),
    ]

    assert [(name, seconds) for name, seconds in named if EXAMPLE[name] != seconds] == []
    for pattern, allowed in SAID.items():
        for found in re.finditer(pattern, document.text):
            assert {*filter(None, found.groups())} <= allowed, found[0]


def test_ci_steps_are_those_of_the_workflow() -> None:
    """The CI steps that a reader may copy are those of the job `integration`."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = [step for step in workflow["jobs"]["integration"]["steps"] if "run" in step]
    texts = [text for document in ENGLISH for kind, text in document.blocks if kind == "yaml"]
    (shown,) = (text for text in texts if "docker compose run --rm client" in text)

    assert yaml.safe_load(shown) == steps


@every_document
def test_output_is_that_of_the_programs(document: Document, said: Said) -> None:
    """A document shows the log lines and the JSON keys that the programs print."""
    run = {command.shown for command in commands_for("loopback")}  # test_commands.py tests these
    text = "\n".join(text for _, text in document.blocks if text not in run)
    results = [json.loads(result) for result in re.findall(r'\{"status".*\}', text)]

    assert {*log_lines(text)} <= said.log
    assert all([*result] == said.keys for result in results)


def test_picture_shows_a_real_run(said: Said) -> None:
    """docs/run.svg shows the command, both logs and the result."""
    picture = ElementTree.parse(ROOT / "docs" / "run.svg").findall("{*}text")
    command, *lines = (str(node.text) for node in picture)
    log = log_lines("\n".join(lines))

    assert command == "$ make run"
    assert f"client | {said.reply}" in lines
    assert {*log} <= said.log
    assert len(log) == len(lines) - 3


@every_document
def test_description_quotes_its_picture(document: Document) -> None:
    """A picture contains the text that its description quotes."""
    for address, words in document.pictures:
        picture = (document.path.parent / address).read_bytes().decode(errors="replace")
        assert [text for text in re.findall('"(.+?)"', words) if text not in picture] == []


def flat(code: str) -> str:
    """Return code without indentation, because a document may show less of it."""
    return re.sub("(?m)^ +", "", code)


@every_document
def test_python_block_quotes_its_file(document: Document) -> None:
    """A Python block quotes consecutive lines of the file that it names."""
    for kind, block in document.blocks:
        if kind == "python":
            path, code = block.removeprefix("# ").split("\n", 1)
            source = (ROOT / path).read_text(encoding="utf-8")
            assert f"\n{flat(code)}" in flat(source), code


def test_figures_are_those_of_the_benchmark() -> None:
    """Each median and each interval in the documents is in results.md."""
    results = DOCUMENTS["bench/results/results.md"]
    texts = [" ".join(document.text.split()) for document in ENGLISH if document is not results]
    quoted = {figures for text in texts for figures in re.findall(SPREAD, text)}

    assert quoted
    assert quoted <= {*re.findall(SPREAD, results.text)}


def test_table_has_the_keys_of_the_json(said: Said) -> None:
    """The table lists the keys of a JSON result, in their order."""
    ((_, *rows),) = tables_of("key")

    assert re.findall(r"\w+", " ".join(row[0] for row in rows)) == said.keys


def test_comparison_has_each_waiter_and_case() -> None:
    """The comparison has a row for each waiter, with an exit code for each case."""
    (titles, *rows), *_ = DOCUMENTS["docs/comparison.md"].tables

    assert tuple(titles) == COLUMNS
    assert [row[0] for row in rows] == [waiter.name for waiter in WAITERS]
    for _, *cells in rows:
        assert all(re.fullmatch(r"\*\*0\*\*|[1-9]\d*", cell) for cell in cells[: len(CASES)])
