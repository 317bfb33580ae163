"""Any text as one word of a shell script.

Owns quoting. Folders of hospitals have spaces, Japanese letters, quotes and dollar signs in their
names.
"""

import re
import shlex
from collections.abc import Sequence

_VARIABLE = re.compile(r"\$([A-Za-z_]\w*)", re.ASCII)


def line_of(words: Sequence[str]) -> str:
    """A command as one line that a shell reads back to these very words."""
    return shlex.join(words)


def lines_of(words: Sequence[str], indent: str = "    ") -> str:
    """The same over several lines, one option a line; for people."""
    lines, current = [], [shlex.quote(words[0])]
    for word in words[1:]:
        if word.startswith("-"):
            lines.append(" ".join(current))
            current = []
        current.append(shlex.quote(word))
    lines.append(" ".join(current))
    return f" \\\n{indent}".join(lines)


def with_variables(text: str) -> str:
    """A word in which $NAME is the shell's variable, empty where it is not set, and all else is
    meant literally."""
    parts, end = [], 0
    for match in _VARIABLE.finditer(text):
        parts += [_in_double_quotes(text[end : match.start()]), f"${{{match[1]}-}}"]
        end = match.end()
    return '"' + "".join(parts) + _in_double_quotes(text[end:]) + '"'


def _in_double_quotes(text: str) -> str:
    return re.sub(r'([\\"`$])', r"\\\1", text)
