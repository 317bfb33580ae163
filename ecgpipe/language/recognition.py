"""Which message a finished text is, and what fills its holes.

Messages are f-strings, so the catalogue holds templates such as "{path} has {n:,} rows". Owns how a
text is read backwards through them.
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from string import Formatter

from ecgpipe.language.catalogue import japanese

_NUMBER = r"[-+]?(?:\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?|\.\d+|nan|inf)%?"
_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[-+\w.]+(?:\(.*?\))?|[\[({].*?[\])}])"""
_TEXT = "(.*?)"
_BORDER = r"[.,;:] |\n| · | \(| and | or | with "
_UP_TO_BORDER = rf"((?:(?!{_BORDER}).)*)"

# Messages of fewer letters than this, such as "{name} of {called}", would fit too much.
_STRONG = 10

# The dots of a path such as ../ecg belong to it.
_ENDS = re.compile(r"(?s)((?:[\s。、：]|[,;:.]+(?=\s|$))*)(.*?)([\s,;:.。、：]*)")


@dataclass(frozen=True)
class Template:
    """One message of the catalogue, ready to be recognised without the punctuation at its ends."""

    message: str
    translation: str
    pattern: re.Pattern[str]

    longest: str
    """Its longest piece without a hole: a text without it need not be matched."""

    names: tuple[str, ...]
    """Of the holes, in the order of the groups of the pattern."""

    is_weak: bool
    """Whether it has so few letters that it fits by chance."""


@functools.cache
def templates() -> tuple[Template, ...]:
    """All messages with holes, those with the most letters first."""
    found = [template_of(*entry) for entry in japanese().items() if names_in(entry[0])]
    return tuple(sorted(found, key=lambda each: _weight(each.message), reverse=True))


def matches(bare: str) -> Iterator[tuple[Template, dict[str, str]]]:
    """The templates that fit a text, best first, each with what fills its holes.

    `bare` has no punctuation at its ends.
    """
    for template in templates():
        if template.longest in bare and (match := template.pattern.fullmatch(bare)):
            yield template, dict(zip(template.names, match.groups(""), strict=True))


def names_in(message: str) -> list[str]:
    """The names of a message's holes."""
    return [name for _, name, *_ in Formatter().parse(message) if name is not None]


def template_of(message: str, translation: str) -> Template:
    """A message, ready to be recognised.

    Each hole ends where what follows it comes first, and only the last is tried further: trying
    all ends of all holes would take minutes for a long text.
    """
    plain = re.sub(r"(?<!{){(\w+)[!:][^{}]*}", r"{\1}", translation)
    pieces, names, segments, holes = [], [], [], ""
    for literal, name, form, conversion in Formatter().parse(parts(message)[1]):
        pieces.append(literal)
        if literal:
            segments.append(holes + re.escape(literal))
            holes = ""
        if name is not None:
            names.append(name)
            hole = _pattern_of(name, form or "", conversion)
            if hole == _TEXT and holes.endswith(_TEXT):
                if f"{{{names[-2]}}}{{{name}}}" in plain:  # they stay together: take them as one
                    hole = "()"
                else:
                    holes = holes.removesuffix(_TEXT) + _UP_TO_BORDER
            holes += hole
    if holes and (end := re.fullmatch(r"(?s)(.*?)(\\\.(?:\\ )?)", segments[-1])):
        segments[-1:] = [f"{end[1]}(?:{end[2]}{holes})?"]  # such as a hint, which may be empty
    elif holes:
        segments.append(holes)
    *first, last = segments
    return Template(
        message,
        plain,
        re.compile("".join(f"(?>{each})" for each in first) + last, re.DOTALL),
        max(pieces, key=len).rstrip(".,; "),
        tuple(names),
        _weight(message)[0] < _STRONG,
    )


def _pattern_of(name: str, form: str, conversion: str | None) -> str:
    if name.rstrip("0123456789") == "s":  # of a plural
        return "(s?)"
    if form and form[-1] in ",dfg%":
        padding = "" if form[0] in ",.:" or len(form) == 1 else r"\s*"
        return f"({padding}{_NUMBER})"
    return f"({_QUOTED})" if conversion else _TEXT


def _weight(message: str) -> tuple[int, int]:
    """Letters outside the holes first; among as many, everything outside them."""
    literal = "".join(literal for literal, *_ in Formatter().parse(message))
    return sum(map(str.isalpha, literal)), len(literal)


def parts(text: str) -> tuple[str, str, str]:
    """The punctuation before a text, the text, and the punctuation behind it."""
    match = _ENDS.fullmatch(text)
    assert match is not None
    return match[1], match[2], match[3]
