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
    in_three = [_in_three(column, table, place) for place, column in enumerate(table.columns)]
    columns = list(zip(table.columns, in_three, strict=True))
    writer.writerow([safe(name) for column, three in columns for name in _heads(column, three)])
    for row in table.rows:
        cells = zip(columns, row, strict=True)
        writer.writerow([cell for each, value in cells for cell in _cells(*each, value)])
    return file.getvalue().encode("utf-8-sig")


def safe(text: str) -> str:
    """The text, behind an apostrophe if a spreadsheet would run it as a formula.

    Source: OWASP, CSV injection.
    """
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA_BEGINS) else text


def _in_three(column: Column, table: Table, place: int) -> bool:
    """Whether the lower and upper bound of an interval have columns of their own."""
    if column.kind == "number":
        return any(isinstance(row[place], Mapping) for row in table.rows)
    return column.kind in ("share", "area", "metric")


def _heads(column: Column, in_three: bool) -> Iterator[str]:
    if in_three:
        yield from (column.key, f"{column.key}_low", f"{column.key}_high")
    elif column.kind == "words":
        yield from (f"{column.key}_ja", f"{column.key}_en")
    else:
        yield column.key


def _cells(column: Column, in_three: bool, value: Any) -> Iterator[str]:
    if in_three:
        if not isinstance(value, Mapping):
            value = {"value": value, "low": None, "high": None}
        yield from (_number(value[part]) for part in ("value", "low", "high"))
    elif column.kind == "words":
        yield from (safe(value[language]) for language in ("ja", "en"))
    elif column.kind in ("count", "number"):
        yield _number(value)
    else:
        yield safe(str(value))


def _number(value: float | None) -> str:
    """As in the results file; a negative number is no formula."""
    return "" if value is None else repr(value)
