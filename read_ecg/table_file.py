"""Tables as people keep them: CSV, TSV, Parquet or Excel, in UTF-8 or Shift-JIS.

Owns encodings and delimiters. Every cell comes out as text without surrounding spaces, an empty one
as ''; what a column means is the adapter's. Rows keep the number a person sees, counting the header
and blank rows.
"""

import csv
import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ecgpipe.errors import SourceError
from ecgpipe.files import decode_text

Row = dict[str, str]
NumberedRow = tuple[int, Row]

_LEAST_FIELD_LIMIT = 131_072


def read_table(path: Path) -> list[NumberedRow]:
    """Read all rows of a table, in order, each with its number; the header is row 1.

    Raises:
        SourceError: the file is missing, of another kind, in another encoding, has no header, names
            a column twice, has a quote that is not closed, or a row has more cells than the header.
    """
    if not path.is_file():
        raise SourceError(f"The table {path} does not exist.")
    suffix = path.suffix.casefold()
    try:
        if suffix == ".parquet":
            return _read_parquet(path)
        if suffix in (".xlsx", ".xlsm"):
            return _read_excel(path)
        if suffix in (".csv", ".tsv", ".txt"):
            return _read_delimited(path)
    except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
        raise SourceError(f"The table {path} cannot be read: {error}.") from error
    raise SourceError(f"The table {path} must be .csv, .tsv, .parquet or .xlsx.")


def require_columns(path: Path, rows: Sequence[NumberedRow], wanted: Iterable[str]) -> None:
    """Raise SourceError unless the table has rows and every wanted column."""
    if not rows:
        raise SourceError(f"The table {path} has no rows.")
    columns = rows[0][1]
    if missing := [name for name in wanted if name not in columns]:
        raise SourceError(
            f"The table {path} has no column {', '.join(missing)}. It has: {', '.join(columns)}."
        )


def _read_delimited(path: Path) -> list[NumberedRow]:
    text = decode_text(path.read_bytes())
    first_line = text.split("\n", 1)[0]
    delimiter = max("\t,;", key=first_line.count)
    lines = _cells(path, text, delimiter)
    header = _header(path, lines[0] if lines else [])
    for number, cells in enumerate(lines[1:], 2):
        if len(cells) > len(header):
            raise SourceError(
                f"The table {path}, row {number}, has {len(cells)} cells for {len(header)} columns."
                " Put quotes around a cell that holds the delimiter."
            )
    return _numbered(header, lines)


def _cells(path: Path, text: str, delimiter: str) -> list[list[str]]:
    """The cells of every row; strictly, or one stray quote would swallow the rows behind it."""
    csv.field_size_limit(max(len(text), _LEAST_FIELD_LIMIT))
    lines: list[list[str]] = []
    try:
        lines.extend(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise SourceError(
            f"The table {path}, row {len(lines) + 1}, cannot be read: {error}. Look for a quotation"
            " mark that is not closed, or stands inside a cell: write it twice there."
        ) from None
    return lines


def _read_parquet(path: Path) -> list[NumberedRow]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    header = _header(path, table.column_names)
    return _numbered(header, [header, *(list(row.values()) for row in table.to_pylist())])


def _read_excel(path: Path) -> list[NumberedRow]:
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        if not book.worksheets:
            raise ValueError("the workbook has no sheet with cells")
        lines = list(book.worksheets[0].iter_rows(values_only=True))
    finally:
        book.close()
    header = _header(path, lines[0] if lines else [])
    return _numbered(header, [cells[: len(header)] for cells in lines])


def _numbered(header: Sequence[str], lines: Sequence[Sequence[Any]]) -> list[NumberedRow]:
    """Every row behind the header that is not blank."""
    rows = [(number, _row(header, cells)) for number, cells in enumerate(lines[1:], 2)]
    return [(number, row) for number, row in rows if any(row.values())]


def _header(path: Path, cells: Sequence[Any]) -> list[str]:
    names = [_text(cell) for cell in cells]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise SourceError(f"The table {path} has no header row.")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SourceError(f"The table {path} has the column {', '.join(twice)} more than once.")
    return names


def _row(header: Sequence[str], cells: Sequence[Any]) -> Row:
    texts = [_text(cell) for cell in cells]
    texts += [""] * (len(header) - len(texts))
    return dict(zip(header, texts, strict=True))


def _text(cell: Any) -> str:
    if cell is None or cell != cell:  # NaN is how some writers keep an empty cell
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)  # Excel keeps the id 17 as 17.0
    if isinstance(cell, list | tuple):
        return ";".join(_text(inner) for inner in cell)
    return str(cell).strip()
