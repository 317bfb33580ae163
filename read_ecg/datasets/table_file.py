"""Tables as people keep them: CSV, TSV, Parquet or Excel; text in UTF-8, Shift-JIS or ISO-2022-JP.

Owns encodings and delimiters. Every cell becomes text without surrounding spaces, an empty one ''.
Rows keep the number a person sees, which counts the header and blank rows. They are read one at a
time, because there may be a million. Must not know what a column means.
"""

import csv
import itertools
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgpipe.errors import SourceError
from ecgpipe.files import text_encoding
from ecgpipe.read_ecg.datasets.excel import Sheet, excel_lines, other_sheets

Row = dict[str, str]
NumberedRow = tuple[int, Row]

_LEAST_FIELD_LIMIT = 131_072
_ROWS_AT_ONCE = 1024

WORKBOOKS = (".xlsx", ".xlsm")
_OTHER_WORKBOOKS = (".xls", ".xlsb", ".ods")


@dataclass(frozen=True)
class TableRows:
    """The rows of a table, for one iteration: they are read lazily."""

    columns: tuple[str, ...]
    first: NumberedRow | None
    """None if there are no rows."""

    others: Iterator[NumberedRow]
    more: Callable[[], str] = lambda: ""
    """A sentence on other sheets of the file, for a message that something is missing here."""

    def __iter__(self) -> Iterator[NumberedRow]:
        """Each row with its number.

        Raises:
            SourceError: a row cannot be read, or has more cells than the header.
        """
        return itertools.chain(() if self.first is None else (self.first,), self.others)


def read_table(path: Path, sheet: Sheet | None = None) -> TableRows:
    """Read a table: its rows in order, each with its number; the header is row 1.

    Args:
        path: .csv, .tsv, .txt, .parquet, .xlsx or .xlsm.
        sheet: of a workbook, and of nothing else; None for the first.

    Raises:
        SourceError: the file is missing, of an unknown kind or encoding, has no header or names a
            column twice; while iterating, a row has an unclosed quote or too many cells.
    """
    if not path.is_file():
        raise SourceError(f"The table {path} does not exist.")
    suffix = path.suffix.casefold()
    if suffix in WORKBOOKS:
        return _table_rows(path, excel_lines(path, sheet), lambda: other_sheets(path, sheet))
    lines_of = _LINES_OF.get(suffix)
    if lines_of is None:
        wanted = "must be .csv, .tsv, .parquet or .xlsx"
        advice = ". Open it in Excel and save it as .xlsx" if suffix in _OTHER_WORKBOOKS else ""
        raise SourceError(f"The table {path} {wanted}{advice}.")
    return _table_rows(path, lines_of(path), lambda: "")


def _table_rows(path: Path, lines: "Lines", more: Callable[[], str]) -> TableRows:
    lines = _readable(path, lines)
    header = _header(path, next(lines, ()))
    rows = _numbered(header, lines)
    return TableRows(tuple(header), next(rows, None), rows, more)


def require_columns(path: Path, rows: TableRows, wanted: Iterable[str]) -> None:
    """Raise SourceError unless the table has rows and every wanted column."""
    if rows.first is None:
        raise SourceError(f"The table {path} has no rows.{rows.more()}")
    if missing := [name for name in wanted if name not in rows.columns]:
        raise SourceError(
            f"The table {path} has no column {', '.join(missing)}."
            f" It has: {', '.join(rows.columns)}.{rows.more()}"
        )


Lines = Iterator[Sequence[Any]]


def _readable(path: Path, lines: Lines) -> Lines:
    try:
        yield from lines
    except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
        raise SourceError(f"The table {path} cannot be read: {error}.") from error


def _delimited_lines(path: Path) -> Lines:
    """The cells of every row; strict, or one stray quote would swallow the rows after it."""
    with path.open(encoding=text_encoding(path), newline="") as file:
        first_line = file.readline()
        file.seek(0)
        delimiter = max("\t,;", key=first_line.count)
        csv.field_size_limit(max(path.stat().st_size, _LEAST_FIELD_LIMIT))
        number, n_columns = 0, 0
        try:
            for number, cells in enumerate(csv.reader(file, delimiter=delimiter, strict=True), 1):
                n_columns = n_columns or len(_names(cells))
                if number > 1 and len(cells) > n_columns:
                    raise SourceError(
                        f"The table {path}, row {number}, has {len(cells)} cells for {n_columns}"
                        " columns. Put quotes around a cell that holds the delimiter."
                    )
                yield cells
        except csv.Error as error:
            raise SourceError(
                f"The table {path}, row {number + 1}, cannot be read: {error}. Look for a quotation"
                " mark that is not closed; inside a cell it must be doubled."
            ) from None


def _parquet_lines(path: Path) -> Lines:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        yield file.schema_arrow.names
        for batch in file.iter_batches(_ROWS_AT_ONCE):
            for row in batch.to_pylist():
                yield list(row.values())


_LINES_OF: dict[str, Callable[[Path], Lines]] = {
    ".parquet": _parquet_lines,
    ".csv": _delimited_lines,
    ".tsv": _delimited_lines,
    ".txt": _delimited_lines,
}


def _numbered(header: Sequence[str], lines: Lines) -> Iterator[NumberedRow]:
    """Every row after the header that is not blank."""
    for number, cells in enumerate(lines, 2):
        row = _row(header, cells)
        if any(row.values()):
            yield number, row


def _header(path: Path, cells: Sequence[Any]) -> list[str]:
    names = _names(cells)
    if not names:
        raise SourceError(f"The table {path} has no header row.")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SourceError(f"The table {path} has the column {', '.join(twice)} more than once.")
    return names


def _names(cells: Sequence[Any]) -> list[str]:
    names = [_text(cell) for cell in cells]
    while names and not names[-1]:
        names.pop()
    return names


def _row(header: Sequence[str], cells: Sequence[Any]) -> Row:
    texts = [_text(cell) for cell in cells]
    texts += [""] * (len(header) - len(texts))
    return dict(zip(header, texts, strict=True))


def _text(cell: Any) -> str:
    if cell is None or cell != cell:  # some writers store an empty cell as NaN
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)  # Excel stores the id 17 as 17.0
    if isinstance(cell, list | tuple):
        return ";".join(_text(inner) for inner in cell)
    return str(cell).strip()
