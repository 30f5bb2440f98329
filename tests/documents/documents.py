"""The project's documents, as a Markdown parser sees them."""

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
Table = list[list[str]]


class Document:
    """One Markdown file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path.relative_to(ROOT))
        self.text = path.read_text(encoding="utf-8")
        self._tokens = MarkdownIt("commonmark").enable("table").parse(self.text)

    @property
    def portuguese(self) -> bool:
        """Whether this is the translation of an English one, to which it leads."""
        return "[In English](" in self.text

    @cached_property
    def blocks(self) -> list[tuple[str, str]]:
        """What stands between fences, with its language, without comments of a shell."""
        fences = [token for token in self._tokens if token.type == "fence"]
        return [(token.info, re.sub(r"  # .*", "", token.content)) for token in fences]

    @cached_property
    def commands(self) -> list[str]:
        """What a reader may type: code spans, and the lines of blocks that show a shell."""
        shells = [text for kind, text in self.blocks if kind in {"sh", "console", "yaml"}]
        lines = "\n".join(shells).replace("\\\n", " ").splitlines()
        return [token.content for token in self._inner("code_inline")] + lines

    @cached_property
    def prose(self) -> list[str]:
        """Paragraphs, headings and cells, each as it is written."""
        return [token.content for token in self._tokens if token.type == "inline"]

    @cached_property
    def tables(self) -> list[Table]:
        """All tables: their rows, the first of which is the header, as lists of cells."""
        found: list[Table] = []
        for before, token in zip(self._tokens, self._tokens[1:], strict=False):
            if before.type == "table_open":
                found.append([])
            elif before.type == "tr_open":
                found[-1].append([])
            if before.type in {"th_open", "td_open"}:
                found[-1][-1].append(token.content)
        return found

    @cached_property
    def headings(self) -> list[tuple[str, str]]:
        """The level and the text of each heading."""
        pairs = zip(self._tokens, self._tokens[1:], strict=False)
        return [(one.tag, two.content) for one, two in pairs if one.type == "heading_open"]

    @cached_property
    def anchors(self) -> set[str]:
        """What a link may name behind #, as GitHub makes it of the headings."""
        return {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for _, text in self.headings}

    @cached_property
    def pictures(self) -> list[tuple[str, str]]:
        """The address of each picture, and the words for who cannot see it."""
        return [(str(token.attrs["src"]), token.content) for token in self._inner("image")]

    @cached_property
    def links(self) -> list[str]:
        """Where its links lead, pictures included."""
        links = [str(token.attrs["href"]) for token in self._inner("link_open")]
        return links + [address for address, _ in self.pictures]

    def _inner(self, kind: str) -> Iterator[Token]:
        for token in self._tokens:
            for child in token.children or []:
                if child.type == kind:
                    yield child


def all_documents() -> list[Document]:
    """Return every document of the project."""
    found = (path for depth in ("", "*/", "*/*/") for path in ROOT.glob(f"{depth}*.md"))
    ours = [p for p in sorted(found) if not any(part[0] == "." for part in p.parts[-3:])]
    return [Document(path) for path in ours if path.stem != "quick"]


DOCUMENTS = {document.name: document for document in all_documents()}
