"""CSV and Excel files that people open in a spreadsheet.

Owns what every one of them needs: UTF-8 with a byte-order mark, without which Excel garbles
Japanese; lines that end as RFC 4180 says; and no cell that a spreadsheet would run as a formula.
Knows no table.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import BinaryIO

Cell = str | int | float | bool | None

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # no Excel file may hold them
_FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    """A whole file, as `write_csv` writes it."""
    file = io.BytesIO()
    write_csv(file, header, rows)
    return file.getvalue()


def write_csv(file: BinaryIO, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Write a header and rows, one at a time; the file stays open.

    Args:
        file: opened for bytes.
        header: names of the columns.
        rows: texts are guarded against formulas; numbers are written exactly; None is an empty
            cell, True and False are yes and no.
    """
    text = io.TextIOWrapper(file, "utf-8-sig", errors="backslashreplace", newline="")
    table = csv.writer(text, lineterminator="\r\n")
    table.writerow([_written(name) for name in header])
    table.writerows([_written(cell) for cell in row] for row in rows)
    text.detach()  # flushes, and leaves the file open


def xlsx_bytes(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    """A whole Excel file of one sheet, with the cells of `write_csv`; numbers stay numbers."""
    from openpyxl import Workbook  # imported here: it takes half a second

    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in (header, *rows):
        sheet.append(
            [
                cell
                if isinstance(cell, int | float) and not isinstance(cell, bool)
                else _CONTROL.sub("", _written(cell))
                for cell in row
            ]
        )
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def _written(cell: Cell) -> str:
    if isinstance(cell, str):
        return _guarded(cell)
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return "" if cell is None else repr(cell)


def _guarded(text: str) -> str:
    """The text, behind an apostrophe if a spreadsheet would run it as a formula.

    Source: OWASP, CSV injection.
    """
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA_BEGINS) else text
