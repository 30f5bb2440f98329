"""The project's documents, as a Markdown parser sees them."""

import re
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
Table = list[list[str]]


class Document:
    """One Markdown file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path.relative_to(ROOT))
        self.text = path.read_text(encoding="utf-8")
        # Whether this is the translation of an English one, to which it leads.
        self.portuguese = "[In English](" in self.text

        tokens = MarkdownIt("commonmark").enable("table").parse(self.text)
        pairs = list(pairwise(tokens))
        children = [child for token in tokens for child in token.children or []]

        # Paragraphs, headings and cells, each as it is written.
        self.prose = [token.content for token in tokens if token.type == "inline"]
        # The level and the text of each heading, and what a link may name behind #.
        self.headings = [(one.tag, two.content) for one, two in pairs if one.type == "heading_open"]
        self.anchors = {
            re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for _, text in self.headings
        }
        # What stands between fences, with its language; and without comments of a shell.
        self.fences = [(token.info, token.content) for token in tokens if token.type == "fence"]
        self.blocks = [(kind, re.sub(r"  # .*", "", text)) for kind, text in self.fences]
        # What a reader may type: code spans, and the lines of blocks that show a shell.
        shells = [text for kind, text in self.blocks if kind in {"sh", "console", "yaml"}]
        self.commands = "\n".join(shells).replace("\\\n", " ").splitlines()
        self.commands += [child.content for child in children if child.type == "code_inline"]
        # The address of each picture, and the words for who cannot see it.
        images = [child for child in children if child.type == "image"]
        self.pictures = [(str(image.attrs["src"]), image.content) for image in images]
        # Where its links lead, pictures included.
        self.links = [str(child.attrs["href"]) for child in children if child.type == "link_open"]
        self.links += [address for address, _ in self.pictures]
        # All tables: their rows, the first of which is the header, as lists of cells.
        self.tables: list[Table] = []
        for before, token in pairs:
            if before.type == "table_open":
                self.tables.append([])
            elif before.type == "tr_open":
                self.tables[-1].append([])
            if before.type in {"th_open", "td_open"}:
                self.tables[-1][-1].append(token.content)


DOCUMENTS = {
    document.name: document
    for depth in ("", "*/", "*/*/")
    for document in map(Document, sorted(ROOT.glob(f"{depth}*.md")))
    if not document.name.startswith(".") and "/." not in document.name
    if document.path.stem != "quick"
}
