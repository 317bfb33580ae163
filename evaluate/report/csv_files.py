"""Every table of the report as a CSV file, for a spreadsheet.

Owns how a metric becomes three columns and a name two. Values are as exact as the results file's.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ecgpipe.evaluate.table import Column, Table
from ecgpipe.spreadsheet import Cell, csv_bytes


def table_csv(table: Table) -> bytes:
    """The file of one table."""
    in_three = [_in_three(column, table, place) for place, column in enumerate(table.columns)]
    columns = list(zip(table.columns, in_three, strict=True))
    header = [name for column, three in columns for name in _heads(column, three)]
    return csv_bytes(header, (_row(columns, row) for row in table.rows))


def _row(columns: Sequence[tuple[Column, bool]], row: Sequence[Any]) -> list[Cell]:
    cells = zip(columns, row, strict=True)
    return [cell for each, value in cells for cell in _cells(*each, value)]


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


def _cells(column: Column, in_three: bool, value: Any) -> Iterator[Cell]:
    if in_three:
        if not isinstance(value, Mapping):
            value = {"value": value, "low": None, "high": None}
        yield from (value[part] for part in ("value", "low", "high"))
    elif column.kind == "words":
        yield from (value[language] for language in ("ja", "en"))
    else:
        yield value if column.kind in ("count", "number") else str(value)
