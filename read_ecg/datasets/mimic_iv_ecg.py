"""Adapter: MIMIC-IV-ECG as PhysioNet ships it.

Owns the join of record_list.csv (paths) and machine_measurements.csv (reports) by study. Both are
read in parallel, a line at a time, because there are 800,000 rows. There are no findings, so
text.source must be report. Subjects are split by data.split.

Source: Gow et al. 2023, MIMIC-IV-ECG 1.0, doi 10.13026/4nqg-sb35.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from ecgpipe.config.data import MimicIvEcgSource
from ecgpipe.errors import SourceError
from ecgpipe.read_ecg.datasets.row_table import RowTable
from ecgpipe.read_ecg.datasets.source import SourceRow, SourceRows

_LINES = tuple(f"report_{number}" for number in range(18))


def read_mimic_iv_ecg(source: MimicIvEcgSource) -> SourceRows:
    """All rows of record_list.csv; those without a report are rejected later.

    Raises:
        SourceError: a table is missing, lacks a column, cannot be read, or has a study twice.
    """
    records, measurements = mimic_iv_ecg_tables(source)
    reports = _Reports(measurements, source.separator)
    columns = ("subject_id", "study_id", "ecg_time", "path")
    rows = RowTable.of(
        SourceRow(
            record_id=f"mimic-iv-ecg-{study}",
            patient_id=f"mimic-iv-{subject}" if subject else "",
            path=path,
            findings=(),
            report=reports.take(study),
            recorded_at=time or None,
            place=f"row {number} of {source.called}",
        )
        for number, (subject, study, time, path) in _columns(records, columns)
    )
    reports.finish()
    if not rows:
        raise SourceError(f"The table {records} has no rows.")
    return SourceRows(
        name=source.called, kind=source.kind, root=source.root, table=records, rows=rows
    )


def mimic_iv_ecg_tables(source: MimicIvEcgSource) -> list[Path]:
    """record_list.csv and machine_measurements.csv."""
    return [source.root / "record_list.csv", source.root / "machine_measurements.csv"]


class _Reports:
    """The report of each study. Both tables are usually in the same order, so few reports wait for
    their study. In any other order more of them wait, which only takes memory."""

    def __init__(self, table: Path, separator: str) -> None:
        self._table = table
        self._separator = separator
        self._rows = _columns(table, ("study_id", *_LINES))
        self._waiting: dict[str, str | None] = {}
        self._studies: set[str] = set()

    def take(self, study: str) -> str | None:
        """The report of a study, to be called once for each; None if it has none."""
        while study not in self._waiting and self._read_on():
            pass
        return self._waiting.pop(study, None)

    def finish(self) -> None:
        """Read to the end. Raises SourceError: a study appears twice."""
        while self._read_on():
            self._waiting.clear()

    def _read_on(self) -> bool:
        number, row = next(self._rows, (0, []))
        if row:
            study, *lines = row
            if study in self._studies:
                raise SourceError(
                    f"The table {self._table}, row {number}: its study already has a row."
                )
            self._studies.add(study)
            self._waiting[study] = self._separator.join(line for line in lines if line) or None
        return bool(row)


def _columns(table: Path, wanted: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """The wanted cells of each row with its number, one row at a time."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            header = next(lines, [])
            if missing := [name for name in wanted if name not in header]:
                raise SourceError(f"The table {table} has no column {', '.join(missing)}.")
            places = [header.index(name) for name in wanted]
            for number, cells in enumerate(lines, 2):
                if len(cells) != len(header):
                    raise SourceError(
                        f"The table {table}, row {number}, has {len(cells)} cells for"
                        f" {len(header)} columns: it is truncated, or a quote is not closed."
                    )
                yield number, [cells[place].strip() for place in places]
    except FileNotFoundError:
        raise SourceError(
            f"{table} does not exist. Set data.sources.N.root to the folder that holds"
            " record_list.csv, machine_measurements.csv and files/."
        ) from None
    except (OSError, ValueError, csv.Error) as error:
        raise SourceError(f"The table {table} cannot be read: {type(error).__name__}.") from None
