"""Adapter: a hospital's own table, one row an ECG.

Owns the columns' names. A table may have both `findings` and `report`; text.source decides which
is used.
"""

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator

from ecgpipe.config.data import TableSource
from ecgpipe.errors import SourceError
from ecgpipe.read_ecg.datasets.row_table import RowTable
from ecgpipe.read_ecg.datasets.source import SourceRow, SourceRows, parse_number, parse_split
from ecgpipe.read_ecg.datasets.table_file import NumberedRow, Row, read_table, require_columns

_SEPARATORS = re.compile("[;、\n]")


def read_hospital_table(
    source: TableSource, bad_rows: list[tuple[str, SourceError]] | None = None
) -> SourceRows:
    """All rows of the table.

    Args:
        source: its settings.
        bad_rows: if given, receives the place and the error of each bad row, and the other rows are
            returned; otherwise the first error is raised.

    Raises:
        SourceError: the table cannot be read, lacks a column (record_id, patient_id, path, one of
            findings and report, or the named split column), or has a bad row: without a record_id,
            or with an unknown split.
    """
    rows = read_table(source.table, source.sheet)
    require_columns(source.table, rows, ("record_id", "patient_id", "path"))
    if "findings" not in rows.columns and "report" not in rows.columns:
        raise SourceError(
            f"The table {source.table} has neither a findings nor a report column, so there is no"
            " text to train on."
        )
    if source.split_column is not None:
        require_columns(source.table, rows, (source.split_column,))
    column = source.split_column or "split"
    return SourceRows(
        name=source.called,
        kind=source.kind,
        root=source.root or source.table.parent,
        table=source.table,
        rows=RowTable.of(_rows(rows, source, column, bad_rows)),
    )


def _rows(
    rows: Iterable[NumberedRow],
    source: TableSource,
    split_column: str,
    bad_rows: list[tuple[str, SourceError]] | None,
) -> Iterator[SourceRow]:
    for number, row in rows:
        place = f"row {number} of {source.called}"
        try:
            yield _row(row, place, split_column)
        except SourceError as error:
            if bad_rows is None:
                raise
            bad_rows.append((place, error))


@functools.lru_cache(4096)  # many rows have the same findings and share one tuple
def split_findings(cell: str) -> tuple[str, ...]:
    """The distinct findings of a cell, separated by ; or 、 or a line break, in order."""
    parts = _SEPARATORS.split(unicodedata.normalize("NFKC", cell))
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _row(row: Row, place: str, split_column: str) -> SourceRow:
    if not row["record_id"]:
        raise SourceError(f"{place} has no record_id.")
    split = row.get(split_column, "")
    return SourceRow(
        record_id=row["record_id"],
        patient_id=row["patient_id"],
        path=row["path"],
        findings=split_findings(row.get("findings", "")),
        report=row.get("report") or None,
        split=parse_split(split, place) if split else None,
        age=parse_number(row.get("age", "")),
        sex=row.get("sex") or None,
        site=row.get("site") or None,
        recorded_at=row.get("recorded_at") or None,
        place=place,
    )
