"""Adapter: a hospital's own table, one row an ECG.

Owns the columns' names. A table may have both `findings` and `report`; text.source decides which
is used.
"""

import difflib
import functools
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import pyarrow as pa

from ecgpipe.config.data import TableSource
from ecgpipe.errors import SourceError
from ecgpipe.read_ecg.datasets.person import parse_age, understand_sexes
from ecgpipe.read_ecg.datasets.row_table import RowTable
from ecgpipe.read_ecg.datasets.source import SourceRow, SourceRows, parse_split
from ecgpipe.read_ecg.datasets.table_file import Row, TableRows, read_table, require_columns

_SEPARATORS = re.compile("[;、\n]")
_SIMILAR = 0.4  # of two Japanese characters, one
_REQUIRED = ("record_id", "patient_id", "path")


@dataclass(frozen=True)
class UnclearCell:
    """A cell that is not understood; its value counts as unknown."""

    column: str
    place: str
    record_id: str
    text: str
    """It may hold anything, so it is not for a log."""


@dataclass
class TableFaults:
    """What is wrong with a table's rows, while the others are read."""

    bad_rows: list[tuple[str, SourceError]] = field(default_factory=list)
    """The place and the error of each."""

    unclear: list[UnclearCell] = field(default_factory=list)


def read_hospital_table(source: TableSource, faults: TableFaults | None = None) -> SourceRows:
    """All rows of the table. Ages and sexes that are not understood are unknown and counted.

    Args:
        source: its settings.
        faults: if given, receives bad rows and unclear cells, and the other rows are returned;
            otherwise the first bad row is raised.

    Raises:
        SourceError: the table cannot be read, lacks a column (record_id, patient_id, path, one of
            findings and report, or one that the settings name), or has a bad row: without a
            record_id, or with an unknown split.
    """
    table = read_table(source.table, source.sheet)
    names = _columns(source, table)
    bad_rows = None if faults is None else faults.bad_rows
    unclear = [] if faults is None else faults.unclear
    rows = RowTable.of(_rows(table, source.called, names, bad_rows, unclear))
    rows = _with_sexes(rows, unclear)
    return SourceRows(
        name=source.called,
        kind=source.kind,
        root=source.root or source.table.parent,
        table=source.table,
        rows=rows,
        left_out={
            f"{column} of {source.called} not understood": n
            for column in ("age", "sex")
            if (n := sum(cell.column == column for cell in unclear))
        },
    )


def _columns(source: TableSource, table: TableRows) -> Mapping[str, str]:
    """What the table calls each column that we know. Raises SourceError: it lacks one."""
    require_columns(source.table, table, ())
    mapped = {key: name for key, name in asdict(source.columns).items() if name is not None}
    names = {key: mapped.get(key, key) for key in asdict(source.columns)}
    lacking = [
        key for key in names if key in (*_REQUIRED, *mapped) and names[key] not in table.columns
    ]
    if lacking:
        free = [header for header in table.columns if header not in names.values()]
        told = ", ".join(_lacking(names[key], key, free) for key in lacking)
        raise SourceError(
            f"The table {source.table} has no column {told}. It has:"
            f" {', '.join(table.columns)}. If one is called otherwise, say so in `columns` of the"
            f" source.{table.more()}"
        )
    if names["findings"] not in table.columns and names["report"] not in table.columns:
        raise SourceError(
            f"The table {source.table} has neither a findings nor a report column, so there is no"
            " text to train on. If one is called otherwise, say so in `columns` of the source. If"
            " only data.echo says something of these ECGs, add an empty column findings."
        )
    return names


def _lacking(name: str, key: str, free: Sequence[str]) -> str:
    """The column, what it is for, and the nearest of those that are not something else."""
    by_plain = {_plain(header): header for header in free}
    near = difflib.get_close_matches(_plain(name), by_plain, 1, _SIMILAR)
    about = [f"for {key}"] if name != key else []
    about += [f"did you mean {by_plain[near[0]]}?"] if near else []
    return f"{name} ({'; '.join(about)})" if about else name


def _plain(name: str) -> str:
    """A name without differences of width, case, spaces and underscores."""
    return re.sub(r"[\s_]", "", unicodedata.normalize("NFKC", name).casefold())


def _rows(
    table: TableRows,
    called: str,
    names: Mapping[str, str],
    bad_rows: list[tuple[str, SourceError]] | None,
    unclear: list[UnclearCell],
) -> Iterator[SourceRow]:
    for number, row in table:
        place = f"row {number} of {called}"
        try:
            yield _row(row, place, names, unclear)
        except SourceError as error:
            if bad_rows is None:
                raise
            bad_rows.append((place, error))


@functools.lru_cache(4096)  # many rows have the same findings and share one tuple
def split_findings(cell: str) -> tuple[str, ...]:
    """The distinct findings of a cell, separated by ; or 、 or a line break, in order."""
    parts = _SEPARATORS.split(unicodedata.normalize("NFKC", cell))
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _row(row: Row, place: str, names: Mapping[str, str], unclear: list[UnclearCell]) -> SourceRow:
    cells = {key: row.get(name, "") for key, name in names.items()}
    if not cells["record_id"]:
        raise SourceError(f"{place} has no {names['record_id']}.")
    age = None
    try:
        age = parse_age(cells["age"])
    except ValueError:
        unclear.append(UnclearCell("age", place, cells["record_id"], cells["age"]))
    return SourceRow(
        record_id=cells["record_id"],
        patient_id=cells["patient_id"],
        path=cells["path"],
        findings=split_findings(cells["findings"]),
        report=cells["report"] or None,
        split=parse_split(cells["split"], place) if cells["split"] else None,
        age=age,
        sex=cells["sex"] or None,
        site=cells["site"] or None,
        recorded_at=cells["recorded_at"] or None,
        place=place,
    )


def _with_sexes(rows: RowTable, unclear: list[UnclearCell]) -> RowTable:
    """The rows with what the cells of their column mean, which the whole column decides."""
    column = rows.table["sex"].combine_chunks().dictionary_encode()
    written = column.dictionary.to_pylist()
    means = understand_sexes(written)
    odd = pa.array([text not in means for text in written], pa.bool_()).take(column.indices)
    for row in RowTable(rows.table.filter(odd.fill_null(False))):
        unclear.append(UnclearCell("sex", row.place, row.record_id, row.sex or ""))
    sexes = pa.array([means.get(text) for text in written], pa.string()).take(column.indices)
    place = rows.table.column_names.index("sex")
    return RowTable(rows.table.set_column(place, "sex", sexes))
