"""ja.po: each English message, and the Japanese for it.

Owns how the file is read. It is a gettext catalogue, kept with Babel (`make messages`); it is read
as it is, because a compiled copy would be one more file that may lag behind.
"""

import functools
import json
from collections.abc import Iterator
from importlib import resources


@functools.cache
def japanese() -> dict[str, str]:
    """The translation of each message; those without one are left out."""
    file = resources.files("ecgpipe.language") / "ja.po"
    return dict(read_catalogue(file.read_text(encoding="utf-8")))


def read_catalogue(text: str) -> Iterator[tuple[str, str]]:
    """Message and translation of each entry of a .po file that has both.

    What is marked as fuzzy is a guess, and left out. There may be neither plural forms nor
    contexts; ours has none.
    """
    for block in text.split("\n\n"):
        if "\n#, fuzzy" in f"\n{block}":
            continue
        parts: dict[str, str] = {}
        name = ""
        for line in block.splitlines():
            if not line.startswith("#"):
                name = line.partition(" ")[0] if line.startswith("msg") else name
                quoted = line[line.index('"') :]  # escaped as in JSON
                parts[name] = parts.get(name, "") + json.loads(quoted)
        if parts.get("msgid") and parts.get("msgstr"):
            yield parts["msgid"], parts["msgstr"]
