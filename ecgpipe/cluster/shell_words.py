"""Quoting for shell scripts.

Folder names in hospitals contain spaces, Japanese characters, quotes and dollar signs.
"""

import re
import shlex
from collections.abc import Sequence

_VARIABLE = re.compile(r"\$([A-Za-z_]\w*)", re.ASCII)


def join_lines(words: Sequence[str], indent: str = "    ") -> str:
    """Quote a command like shlex.join, but put each option on its own line for readability."""
    lines, current = [], [shlex.quote(words[0])]
    for word in words[1:]:
        if word.startswith("-"):
            lines.append(" ".join(current))
            current = []
        current.append(shlex.quote(word))
    lines.append(" ".join(current))
    return f" \\\n{indent}".join(lines)


def quote_except_variables(text: str) -> str:
    """Quote a word but let the shell expand each $NAME in it; an unset variable becomes empty."""
    parts, end = [], 0
    for match in _VARIABLE.finditer(text):
        parts += [_escape(text[end : match.start()]), f"${{{match[1]}-}}"]
        end = match.end()
    return '"' + "".join(parts) + _escape(text[end:]) + '"'


def _escape(text: str) -> str:
    return re.sub(r'([\\"`$])', r"\\\1", text)
