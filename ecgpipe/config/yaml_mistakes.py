"""Mistakes of YAML in plain words: tabs, and the full-width characters of a Japanese keyboard.

Owns only the words. A text is looked at once it was refused, so a correct file with such characters
in its prompt or notice is never spoken of. (pure)
"""

import re
import unicodedata

import yaml

_PATTERNS = (
    (re.compile(r"^ *\t"), "is indented with a tab. YAML takes spaces only: put spaces there"),
    (
        re.compile(r"^[\s\u3000]*(?:- )?\w+[\s\u3000]*："),
        "has a full-width colon （：） after the name. Write a plain one and a space: `name: x`",
    ),
    (
        re.compile(r"^[ \t]*\u3000|^[^#]*?: *\u3000|^ *-\u3000"),
        "has a full-width space, which YAML does not take for a space. Write a plain space",
    ),
    (
        re.compile(r"^ *[－ー−]"),
        "begins with a full-width dash. Write a plain dash and a space: `- `",
    ),
    (
        re.compile(r"^[^#]*?(?:: |- )[［｛]"),
        "has a full-width bracket. Write plain brackets: [ ] or { }",
    ),
)


def explain_yaml(text: str, error: yaml.YAMLError) -> str:
    """A mistake of YAML text on one line, without a full stop at its end.

    In plain words if a tab or a full-width character stands at or before the place where YAML gave
    up, else in those of the parser.
    """
    mark = getattr(error, "problem_mark", None)
    return full_width_mistake(text, mark.line + 1 if mark else None) or " ".join(str(error).split())


def full_width_mistake(text: str, before: int | None = None) -> str:
    """The last line up to `before`, counted from 0, with such a character; '' if there is none."""
    lines = text.split("\n")[: None if before is None else before + 1]
    for number in range(len(lines), 0, -1):
        for pattern, what in _PATTERNS:
            if pattern.search(lines[number - 1]):
                return f"line {number} {what}"
    return ""


def value_hint(met: object) -> str:
    """A sentence about a refused key or value with full-width characters; '' otherwise."""
    if not isinstance(met, str):
        return ""
    if what := full_width_mistake(met):
        return f" It {what.removeprefix('line 1 ')}." if "\n" not in met else f" Of it {what}."
    plain = unicodedata.normalize("NFKC", met)
    is_number = re.fullmatch(r"[-+.\w]+", plain) and plain != met and plain.isascii()
    return f" It is in full-width characters: write {plain}." if is_number else ""
