"""The documents that are there in two languages show the same in both."""

import re

import pytest

from tests.lib.documents import DOCUMENTS, ROOT, Document


def translations() -> dict[str, tuple[Document, Document]]:
    """Return each English document that leads to a Portuguese one, with that."""
    found = {}
    for document in DOCUMENTS.values():
        if link := re.search(r"\[Em português\]\((.+?)\)", document.text):
            path = (document.path.parent / link[1]).relative_to(ROOT)
            found[document.name] = (document, DOCUMENTS[str(path)])
    return found


in_both_languages = pytest.mark.parametrize(
    ("english", "portuguese"), translations().values(), ids=translations()
)


def facts(cell: str) -> list[str]:
    """Return what no translation changes: code, numbers, emphasis, marks, and who reads."""
    cell = {"servidor": "server", "cliente": "client", "ambos": "both"}.get(cell, cell)
    kept = r"`[^`]+`|\*\*.+?\*\*|\d+(?:[.,]\d+)*|[✓\u2013]|^(?:server|client|both)$"
    return re.findall(kept, cell)


def test_every_translation_is_held() -> None:
    """Each Portuguese document is one to which an English one leads."""
    portuguese = {name for name, document in DOCUMENTS.items() if document.portuguese}

    assert portuguese == {other.name for _, other in translations().values()}
    assert portuguese


@in_both_languages
def test_both_have_the_same_blocks(english: Document, portuguese: Document) -> None:
    """They have the same commands, code and output; a diagram has the same lines and numbers."""
    ours, theirs = english.blocks, portuguese.blocks

    assert [kind for kind, _ in ours] == [kind for kind, _ in theirs]
    for (kind, one), (_, other) in zip(ours, theirs, strict=True):
        if kind == "mermaid":
            drawn = r"(?m)^ *\w+|[\[{]|--> \w+|[\d.:]+|[A-Z_]{4,}"
            assert re.findall(drawn, one) == re.findall(drawn, other)
        elif kind != "packets":  # which tests/packets holds against the program, in each language
            assert one == other


@in_both_languages
def test_both_have_the_same_tables(english: Document, portuguese: Document) -> None:
    """Each cell has the same code, numbers and marks, and each variable the same readers."""
    ours, theirs = (
        [[[facts(cell) for cell in row] for row in table] for table in document.tables]
        for document in (english, portuguese)
    )

    assert ours == theirs


@in_both_languages
def test_both_have_the_same_sections(english: Document, portuguese: Document) -> None:
    """Their headings have the same levels, in the same order."""
    assert [level for level, _ in english.headings] == [level for level, _ in portuguese.headings]


@in_both_languages
def test_both_name_the_same_code(english: Document, portuguese: Document) -> None:
    """What stands in code marks is the same, however the sentences are turned."""
    assert set(english.commands) == set(portuguese.commands)


@in_both_languages
def test_both_name_the_same_numbers(english: Document, portuguese: Document) -> None:
    """Each number in a sentence of the one is in the other, with its own decimal mark."""
    ours = re.sub(r"(?<=\d),(?=\d{3}\b)", "", "\n".join(english.prose))
    theirs = re.sub(r"(?<![\d.])(\d{1,3})\.(?=\d{3}(?!\.?\d))", r"\1", "\n".join(portuguese.prose))
    theirs = re.sub(r"(?<=\d),(?=\d)", ".", theirs)
    number = r"\d+(?:\.\d+)*"

    assert set(re.findall(number, ours)) == set(re.findall(number, theirs))
