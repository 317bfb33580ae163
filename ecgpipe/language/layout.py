"""Lines of text whose characters may be two columns wide.

Owns where Japanese may be broken: between any two characters, but neither before punctuation that
closes nor behind a bracket that opens; words in other scripts stay whole.
"""

import re
import textwrap
import unicodedata

_WIDE = re.compile(r"[\u3000-\u9fff\uff00-\uffef]")
_PIECE = re.compile(
    r"[「（『【\[(]*(?:[!-~]+|[ァ-ヶー]+|[^\s!-~])[」）』】、。，．：；？！々]*|\s+"
)


def width_of(text: str) -> int:
    """Columns on a terminal."""
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in text)


def padded(text: str, width: int) -> str:
    """A text, with spaces up to a width in columns."""
    return text + " " * (width - width_of(text))


def wrapped(text: str, width: int, first: str = "", then: str = "") -> list[str]:
    """Lines of at most this many columns; a longer word stands alone.

    Args:
        text: of one paragraph.
        width: in columns, with the indentation.
        first: put before the first line.
        then: put before the others.
    """
    if not _WIDE.search(first + text):
        return textwrap.wrap(
            text, width, initial_indent=first, subsequent_indent=then,
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    lines, line = [], first
    is_empty = True
    for piece in _PIECE.findall(text):
        if not is_empty and width_of(line + piece.rstrip()) > width:
            lines.append(line.rstrip())
            line, is_empty = then, True
        if not (is_empty and piece.isspace()):
            line, is_empty = line + piece, False
    return [*lines, line.rstrip()]
