"""The project's documents, as a Markdown parser sees them."""

import re
from collections import defaultdict
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

ROOT = Path(__file__).parents[2]
Table = list[list[str]]


class Document:
    """One Markdown file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path.relative_to(ROOT))
        self.text = path.read_text(encoding="utf-8")
        # A translation links to its English original.
        self.portuguese = "[In English](" in self.text

        parsed = MarkdownIt("commonmark").enable("table").parse(self.text)
        nodes: dict[str, list[SyntaxTreeNode]] = defaultdict(list)
        for node in SyntaxTreeNode(parsed).walk():
            nodes[node.type].append(node)

        # Paragraphs, headings and cells, as they are written.
        self.prose = [node.content for node in nodes["inline"]]
        # The level and the text of each heading, and the anchors for links.
        self.headings = [(node.tag, node.children[0].content) for node in nodes["heading"]]
        self.anchors = {
            re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for _, text in self.headings
        }
        # The fenced blocks with their languages; then the same without shell comments.
        self.fences = [(node.info, node.content) for node in nodes["fence"]]
        self.blocks = [(kind, re.sub(r"  # .*", "", text)) for kind, text in self.fences]
        # Code spans and lines of shell blocks, which a reader may type.
        shells = [text for kind, text in self.blocks if kind in {"sh", "console", "yaml"}]
        self.commands = "\n".join(shells).replace("\\\n", " ").splitlines()
        self.commands += [node.content for node in nodes["code_inline"]]
        # The address of each picture, and its alternative text.
        self.pictures = [(str(node.attrs["src"]), node.content) for node in nodes["image"]]
        # The targets of all links, pictures included.
        self.links = [str(node.attrs["href"]) for node in nodes["link"]]
        self.links += [address for address, _ in self.pictures]
        # All tables, as lists of rows, which are lists of cells. The first row is the header.
        self.tables: list[Table] = []
        for table in nodes["table"]:
            rows = [row for part in table.children for row in part.children]
            self.tables.append(
                [[cell.children[0].content for cell in row.children] for row in rows]
            )


DOCUMENTS = {
    document.name: document
    for depth in ("", "*/", "*/*/")
    for document in map(Document, sorted(ROOT.glob(f"{depth}*.md")))
    if not document.name.startswith(".") and "/." not in document.name
    if document.path.stem != "quick"
}
