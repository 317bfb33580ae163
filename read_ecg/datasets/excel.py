"""Excel workbooks -> the rows of one sheet.

Owns which sheet is read: the one that is named or numbered, else the first that is not hidden. Must
not know what a column means.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ecgpipe.errors import SourceError

Sheet = str | int
"""A name, or a number that counts the sheets one sees from 1."""

_OLD_OR_LOCKED = bytes.fromhex("d0cf11e0a1b11ae1")
"""How .xls files begin, and workbooks that need a password."""


def excel_lines(path: Path, sheet: Sheet | None) -> Iterator[Sequence[Any]]:
    """The rows of a sheet from its first, each cut to the width of the first; cells to the right of
    the table are ignored.

    Raises:
        SourceError: there is no such sheet, it is empty, or its first row is; the message says
            which sheets have cells. Or the file is of old Excel or needs a password.
        ValueError, KeyError, OSError, zipfile.BadZipFile: it is no workbook.
    """
    with _opened(path) as book:
        chosen = _chosen(path, book, sheet)
        rows = _rows(chosen)
        first = next(rows, ())
        width = max(
            (place for place, cell in enumerate(first, 1) if not _is_blank(cell)), default=0
        )
        if not width:
            raise SourceError(_without_header(path, book, chosen, rows))
        yield first[:width]
        for cells in rows:
            yield cells[:width]


def other_sheets(path: Path, sheet: Sheet | None) -> str:
    """A sentence on the other sheets with cells, for a message about this one; '' if there are
    none."""
    with _opened(path) as book:
        return _others(book, _chosen(path, book, sheet))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import openpyxl

    with path.open("rb") as file:
        if file.read(len(_OLD_OR_LOCKED)) == _OLD_OR_LOCKED:
            raise SourceError(
                f"The table {path} is an old .xls file of another name, or needs a password. Open"
                " it in Excel and save it as .xlsx without a password."
            )
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        yield book
    finally:
        book.close()


def _rows(sheet: Any) -> Iterator[Sequence[Any]]:
    # Some programs write a wrong size of the sheet, and openpyxl would read no further.
    sheet.reset_dimensions()
    yield from sheet.iter_rows(values_only=True)


def _chosen(path: Path, book: Any, sheet: Sheet | None) -> Any:
    seen = _seen(book)
    if not seen:
        raise SourceError(f"The table {path} has no sheet with cells.")
    if sheet is None:
        return seen[0]
    if isinstance(sheet, int) and 0 < sheet <= len(seen):
        return seen[sheet - 1]
    for each in book.worksheets:
        if each.title == sheet:
            return each
    wanted = f"number {sheet}" if isinstance(sheet, int) else repr(sheet)
    quotes = " Put a name that is a number into quotes." if isinstance(sheet, int) else ""
    raise SourceError(
        f"The table {path} has no sheet {wanted}. It has {_listed(seen, seen)}.{quotes}"
    )


def _seen(book: Any) -> list[Any]:
    """The sheets that are not hidden."""
    return [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]


def _without_header(path: Path, book: Any, sheet: Any, rest: Iterator[Sequence[Any]]) -> str:
    if _have_cells(rest):
        return (
            f"In the sheet {sheet.title!r} of {path}, row 1 is empty, but the names of the columns"
            " must stand there. Delete the rows above them."
        )
    return f"The sheet {sheet.title!r} of {path} is empty.{_others(book, sheet)}"


def _others(book: Any, sheet: Any) -> str:
    seen = _seen(book)
    others = [each for each in seen if each.title != sheet.title and _have_cells(_rows(each))]
    if not others:
        return ""
    return (
        f" There are cells in {_listed(others, seen)}: set `sheet` of the source to a name or"
        " number, or make it the first sheet."
    )


def _listed(sheets: Sequence[Any], seen: Sequence[Any]) -> str:
    numbers = {sheet.title: number for number, sheet in enumerate(seen, 1)}
    return ", ".join(f"{numbers[sheet.title]} {sheet.title!r}" for sheet in sheets)


def _have_cells(rows: Iterator[Sequence[Any]]) -> bool:
    return any(not _is_blank(cell) for cells in rows for cell in cells)


def _is_blank(cell: Any) -> bool:
    return cell is None or not str(cell).strip()
