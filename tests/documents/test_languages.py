"""The documents in English against their Portuguese translations."""

import re

import pytest

from tests.lib.documents import DOCUMENTS, ROOT, Document

TRANSLATIONS = {
    document.name: (document, DOCUMENTS[str((document.path.parent / link[1]).relative_to(ROOT))])
    for document in DOCUMENTS.values()
    if (link := re.search(r"\[Em português\]\((.+?)\)", document.text))
}

in_both_languages = pytest.mark.parametrize(
    ("english", "portuguese"), TRANSLATIONS.values(), ids=TRANSLATIONS
)


def facts(cell: str) -> list[str]:
    """Return what a translation keeps: code, numbers, emphasis, marks and program names."""
    cell = {"servidor": "server", "cliente": "client", "ambos": "both"}.get(cell, cell)
    kept = r"`[^`]+`|\*\*.+?\*\*|\d+(?:[.,]\d+)*|[✓\u2013]|^(?:server|client|both)$"
    return re.findall(kept, cell)


def test_every_translation_has_its_original() -> None:
    """An English document links to each Portuguese document."""
    portuguese = {name for name, document in DOCUMENTS.items() if document.portuguese}

    assert portuguese == {other.name for _, other in TRANSLATIONS.values()} != set()


@in_both_languages
def test_translation_has_the_same_structure(english: Document, portuguese: Document) -> None:
    """A translation has the same commands, code, output, headings and facts in table cells."""
    ours, theirs = (
        (
            # tests/packets compares the blocks of packets with the program, in each language.
            [(kind, text * (kind != "packets")) for kind, text in document.blocks],
            [level for level, _ in document.headings],
            {*document.commands},
            [[[*map(facts, row)] for row in table] for table in document.tables],
        )
        for document in (english, portuguese)
    )

    assert ours == theirs


@in_both_languages
def test_translation_has_the_same_numbers(english: Document, portuguese: Document) -> None:
    """A translation's sentences have the same numbers, with its language's decimal mark."""
    ours = re.sub(r"(?<=\d),(?=\d{3}\b)", "", "\n".join(english.prose))
    theirs = re.sub(r"(?<![\d.])(\d{1,3})\.(?=\d{3}(?!\.?\d))", r"\1", "\n".join(portuguese.prose))
    theirs = re.sub(r"(?<=\d),(?=\d)", ".", theirs)
    number = r"\d+(?:\.\d+)*"

    assert set(re.findall(number, ours)) == set(re.findall(number, theirs))
