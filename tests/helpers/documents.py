"""Markdown documents as their parts: headings, links, code spans, fenced blocks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATHS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "benchmarks/*.md", "examples/**/*.md")
    for path in ROOT.glob(pattern)
)

_FENCE = re.compile(r"^\s*```(\w*)\s*$")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`([^`\n]+)`")


@dataclass
class Document:
    """One Markdown file."""

    path: Path
    outline: list[tuple[int, str]] = field(default_factory=list)
    """(level, heading)."""

    n_table_rows: list[int] = field(default_factory=list)
    """Rows of tables below each heading."""

    links: list[str] = field(default_factory=list)
    spans: list[str] = field(default_factory=list)
    """What is written between single backticks."""

    blocks: list[tuple[str, str]] = field(default_factory=list)
    """(language, text) of each fenced block, without its indentation."""

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def headings(self) -> list[str]:
        return [heading for _, heading in self.outline]

    @property
    def anchors(self) -> set[str]:
        """The anchors that GitHub gives the headings."""
        found: set[str] = set()
        for heading in self.headings:
            plain = re.sub(r"[`*_]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
            anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
            number = sum(
                1 for other in found if re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", other)
            )
            found.add(f"{anchor}-{number}" if number else anchor)
        return found

    def commands(self) -> list[str]:
        """The lines of all shell blocks, with continued lines joined."""
        text = "\n".join(text for language, text in self.blocks if language == "sh")
        return [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def run_example(document: str, heading: str) -> dict[str, Any]:
    """The names that the first Python block under a heading defines."""
    text = (ROOT / document).read_text(encoding="utf-8").split(f"\n## {heading}\n")[1]
    names: dict[str, Any] = {"__name__": "example"}
    exec(text.split("```python\n")[1].split("```")[0], names)
    return names


def read_document(path: Path) -> Document:
    document = Document(path)
    prose: list[str] = []
    lines = iter(path.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if fence := _FENCE.match(line):
            document.blocks.append((fence[1], "\n".join(_until_fence(lines))))
        elif line.startswith("#"):
            text = line.lstrip("#")
            document.outline.append((len(line) - len(text), text.strip()))
            document.n_table_rows.append(0)
            prose.append(line)
        else:
            if document.n_table_rows:
                document.n_table_rows[-1] += line.lstrip().startswith("|")
            prose.append(line)
    text = "\n".join(prose)
    document.spans = _SPAN.findall(text)
    document.links = _LINK.findall(_SPAN.sub("`code`", text))
    return document


def _until_fence(lines: Iterator[str]) -> list[str]:
    block = []
    for line in lines:
        if _FENCE.match(line):
            break
        block.append(line)
    indent = min((len(line) - len(line.lstrip()) for line in block if line.strip()), default=0)
    return [line[indent:] for line in block]
