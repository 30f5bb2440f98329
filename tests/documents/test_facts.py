"""What the documents say is so: held against the programs, the Makefile, CI and the benchmark."""

import errno
import json
import os
import re
import tomllib
from collections import Counter
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
import yaml
from dotenv import dotenv_values

from tests.documents.conftest import Said
from tests.documents.documents import DOCUMENTS, ROOT, Document, Table

# The contract: scripts of others rely on each of these.
CLIENT_CODES = {
    *((0, "ok"), (64, ""), (68, "unresolved"), (69, "unavailable"), (74, "closed")),
    *((75, "no-reply"), (76, "wrong-reply"), (78, "config")),
    *((130, "interrupted"), (143, "interrupted")),
}
SERVER_CODES = {(code, "") for code in (0, 64, 71, 78)}
COLUMNS = {"lida por": "read by", "padrão": "default", "variável": "variable", "código": "code"}
READERS = {"servidor": "server", "cliente": "client", "ambos": "both"}

# The figures of the benchmark that the documents quote, in this order.
QUOTED = [
    ("CPU per exchange, a new connection each, nothing logged", "times the C floor"),
    ("CPU per exchange, a new connection each, default log", "times the C floor"),
    ("CPU per exchange, 64 kept connections, nothing logged", "times the C floor"),
]
SPREAD = r"([\d.]+)(?: \w+)? \(([\d.]+) (?:to|a) ([\d.]+)\)"

_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+:\d+")
_CAUSE = re.compile("|".join(re.escape(os.strerror(number)) for number in errno.errorcode))
_LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT[\d:]+\.\d{3}Z (DEBUG|INFO|WARNING|ERROR) (.+)")

every_document = pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
in_each_language = pytest.mark.parametrize("portuguese", [False, True], ids=["en", "pt"])


def tables_of(first: str, *, portuguese: bool) -> list[Table]:
    """Return a language's tables that begin with this column, with English titles, no marks."""
    found = []
    for document in DOCUMENTS.values():
        for header, *rows in document.tables if document.portuguese == portuguese else ():
            titles = [COLUMNS.get(cell, cell) for cell in header]
            if titles[0] == first:
                found.append([titles, *([cell.strip("`") for cell in row] for row in rows)])
    return found


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
def test_every_variable_is_one_of_ours(
    document: Document, variables: dict[str, dict[str, str]]
) -> None:
    """What a document sets is read by a program, by Compose, or by what make runs."""
    known = {name for names in variables.values() for name in names}
    known |= set(dotenv_values(ROOT / ".env.example"))
    sources = [ROOT / "Makefile", ROOT / "docker-compose.yml"]
    sources += [
        path
        for folder in ("scripts", "deploy", "bench", "tests")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".sh", ".yml"} and ".venv" not in path.parts
    ]
    known |= set(re.findall(r"\b[A-Z_]{4,}\b", "".join(path.read_text() for path in sources)))
    for command in document.commands:
        assert set(re.findall(r"(?<![\w$-])([A-Z][A-Z_]+)=", command)) <= known, command


@in_each_language
def test_every_variable_is_in_the_table(
    portuguese: bool, variables: dict[str, dict[str, str]]
) -> None:
    """The tables have each variable of the programs, who reads it and its default; no other."""
    expected: list[tuple[str, str, str]] = []
    for name, default in (variables["server"] | variables["client"]).items():
        readers = [program for program, names in variables.items() if name in names]
        expected.append((name, "both" if len(readers) == 2 else readers[0], default))
    found = []
    for titles, *rows in tables_of("variable", portuguese=portuguese):
        for row in rows:
            cells = dict(zip(titles, row, strict=True))
            reader = READERS[cells["read by"]] if portuguese else cells["read by"]
            found.append((cells["variable"], reader, cells["default"]))

    assert Counter(found) == Counter(expected)


@in_each_language
def test_every_exit_code_is_in_the_tables(portuguese: bool) -> None:
    """All rows of the tables of exit codes are those of the contract, each with its word."""
    found: dict[bool, list[tuple[int, str]]] = {True: [], False: []}
    for titles, *rows in tables_of("code", portuguese=portuguese):
        of_client = titles[1] == "status"
        for codes, word, *_ in rows:
            status = word if of_client else ""
            found[of_client] += [(int(code), status) for code in codes.split(",")]

    assert Counter(found[True]) == Counter(CLIENT_CODES)
    assert Counter(found[False]) == Counter(SERVER_CODES)


@every_document
def test_every_exit_code_that_is_named_exists(document: Document) -> None:
    """A sentence or a diagram names no exit code that nothing here has."""
    known = {code for code, _ in CLIENT_CODES | SERVER_CODES} | {1, 2, 124}
    listed = r"\b(?:exit(?: codes?)?|código(?: de saída)?)\s+((?:\d+(?:, | or | ou )?)+)"
    for codes in re.findall(listed, document.text):
        assert set(map(int, re.findall(r"\d+", codes))) <= known, codes


@in_each_language
def test_the_ci_steps_are_those_of_the_workflow(portuguese: bool) -> None:
    """A block of CI steps is what the job `integration` runs, and each other block is YAML."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = [step for step in workflow["jobs"]["integration"]["steps"] if "run" in step]
    blocks = [
        yaml.safe_load(text)
        for document in DOCUMENTS.values()
        for kind, text in document.blocks
        if kind == "yaml" and document.portuguese == portuguese
    ]
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


@in_each_language
def test_the_figures_are_those_of_the_benchmark(portuguese: bool) -> None:
    """The documents quote the benchmark's medians with their intervals, as results.md has them."""
    results = DOCUMENTS["bench/results/results.md"]
    targets = results.tables[0]
    expected = [
        match.groups()
        for figure, unit in QUOTED
        for name, target, measured, _ in targets
        if name == figure and target.endswith(unit) and (match := re.match(SPREAD, measured))
    ]
    found = []
    for document in DOCUMENTS.values():
        if document.portuguese == portuguese and document is not results:
            for text in document.prose:
                dotted = re.sub(r"(?<=\d),(?=\d)", "." if portuguese else "", text)
                found += re.findall(SPREAD, " ".join(dotted.split()))

    assert found == expected
    assert len(found) == len(QUOTED)
