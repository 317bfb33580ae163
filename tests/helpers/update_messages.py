"""Bring the catalogue in line with the source: `make messages`.

Adds what is new without a translation, drops what is gone, and marks as fuzzy what has changed.
"""

from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from messages import messages
from sources import ROOT

CATALOGUE = ROOT / "ecgpipe" / "language" / "ja.po"
HEADER = """\
# What ecgpipe says, in Japanese. `make messages` brings it in line with the source.
msgid ""
msgstr ""
"Language: ja\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""


def main(path: Path = CATALOGUE) -> None:
    """Write the catalogue anew, and say what is left to translate."""
    template = Catalog()
    for message, places in messages().items():
        # Without line numbers, which would change with every edit.
        template.add(message, locations=[(place, 0) for place in places])
    with path.open("rb") as file:
        catalogue = read_po(file, locale="ja")
    catalogue.update(template)
    catalogue.obsolete.clear()
    with path.open("wb") as file:
        file.write(HEADER.encode())  # Babel's own has dates, which would change each time
        write_po(file, catalogue, width=100, omit_header=True, include_lineno=False)
    entries = [entry for entry in catalogue if entry.id]
    left = [entry.id for entry in entries if entry.fuzzy or not entry.string]
    print(f"{len(entries)} messages; without a finished translation: {len(left)}")
    for message in left:
        print(f"  {message}")


if __name__ == "__main__":
    main()
