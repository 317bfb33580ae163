"""Every table of the report as a CSV file, for a spreadsheet.

Owns what a spreadsheet needs: UTF-8 with a byte-order mark, without which Excel garbles Japanese; a
metric in three columns; names in both languages; and no cell that a spreadsheet would run as a
formula. Values are as exact as the results file's.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from ecgpipe.evaluate.table import Column, Table

_FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_bytes(table: Table) -> bytes:
    """The file of one table."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_MINIMAL, lineterminator="\r\n")
    writer.writerow([safe(name) for column in table.columns for name in _heads(column)])
    for row in table.rows:
        cells = zip(table.columns, row, strict=True)
        writer.writerow([cell for column, value in cells for cell in _cells(column, value)])
    return file.getvalue().encode("utf-8-sig")


def safe(text: str) -> str:
    """The text, behind an apostrophe if a spreadsheet would run it as a formula.

    Source: OWASP, CSV injection.
    """
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA_BEGINS) else text


def _heads(column: Column) -> Iterator[str]:
    if column.kind in ("share", "area", "metric"):
        yield from (column.key, f"{column.key}_low", f"{column.key}_high")
    elif column.kind == "words":
        yield from (f"{column.key}_ja", f"{column.key}_en")
    else:
        yield column.key


def _cells(column: Column, value: Any) -> Iterator[str]:
    if column.kind in ("share", "area", "metric"):
        if not isinstance(value, Mapping):
            value = {"value": value, "low": None, "high": None}
        yield from (_number(value[part]) for part in ("value", "low", "high"))
    elif column.kind == "words":
        yield from (safe(value[language]) for language in ("ja", "en"))
    elif column.kind in ("count", "number"):
        yield _number(value["value"] if isinstance(value, Mapping) else value)
    else:
        yield safe(str(value))


def _number(value: float | None) -> str:
    """As in the results file; a negative number is no formula."""
    return "" if value is None else repr(value)
