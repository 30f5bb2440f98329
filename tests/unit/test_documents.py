"""What the documents show is so, and the same in both languages."""

import re
from xml.etree import ElementTree

import pytest

from tests.support import ROOT

PAIRS = [("README.md", "README.pt-BR.md"), ("docs/how-it-works.md", "docs/como-funciona.md")]

in_both_languages = pytest.mark.parametrize(("english", "portuguese"), PAIRS)


def read(path: str) -> str:
    """Read a document."""
    return (ROOT / path).read_text(encoding="utf-8")


def blocks(text: str) -> list[tuple[str, str]]:
    """Return what stands between fences, with its language, without comments of a shell."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(kind, re.sub(r"  # .*", "", block)) for kind, block in found]


def facts(line: str) -> list[str]:
    """Return what no translation changes: code, numbers, emphasis and marks."""
    return re.findall(r"`[^`]+`|\*\*.+?\*\*|\d+(?:[.,]\d+)*|[✓\u2013]", line)


def tables(text: str) -> list[list[list[str]]]:
    """Return what no translation changes, of each cell of each row of a table."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[facts(cell) for cell in row.split("|")] for row in rows]


@in_both_languages
def test_both_languages_show_the_same(english: str, portuguese: str) -> None:
    """They have the same commands, code and output; a diagram has the same lines."""
    ours, theirs = blocks(read(english)), blocks(read(portuguese))

    assert [kind for kind, _ in ours] == [kind for kind, _ in theirs]
    for (kind, one), (_, other) in zip(ours, theirs, strict=True):
        if kind == "mermaid":
            drawn = r"^ *\w+|[\[{]|--> \w+"
            assert re.findall(drawn, one, re.M) == re.findall(drawn, other, re.M)
        else:
            assert one == other


@in_both_languages
def test_both_languages_have_the_same_tables(english: str, portuguese: str) -> None:
    """Each cell has the same code, numbers and marks."""
    assert tables(read(english)) == tables(read(portuguese))


@in_both_languages
def test_both_languages_have_the_same_sections(english: str, portuguese: str) -> None:
    """Their headings have the same levels, in the same order."""
    ours, theirs = (re.findall(r"^#+ ", read(path), re.M) for path in (english, portuguese))

    assert ours == theirs


def test_the_code_in_the_explanation_is_the_code() -> None:
    """Each line of Python in docs/how-it-works.md is one of the file that it is said to be of."""
    shown = [block for kind, block in blocks(read("docs/how-it-works.md")) if kind == "python"]
    assert shown
    for block in shown:
        path, *lines = block.splitlines()
        code = read(path.removeprefix("# ")).splitlines()
        assert set(lines) <= {line.strip() for line in code}


def test_the_picture_is_of_a_whole_run() -> None:
    """docs/run.svg shows the command first, the result last, and nothing from elsewhere."""
    picture = read("docs/run.svg")
    shown = [node.text for node in ElementTree.fromstring(picture).findall("{*}text")]

    assert shown[0] == "$ make run"
    assert shown[-1] == "the client ended with exit code 0: all went well"
    assert "client | SERVER OK - STATUS 200" in shown
    assert "prefers-color-scheme: dark" in picture
    assert "href" not in picture
