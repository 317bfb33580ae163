"""records.parquet: who is in the signal store, in which split, with which findings and report.

Owns the columns and their types. One row is one record that can be trained on or scored; its `slot`
is its place in the signal store. Holds report text and patient ids, so it stays in work_dir.

A JSON file of the same name holds how the table was made and its digest. It is written last, and a
table without it does not count: Parquet would read a flipped bit as another patient or slot.
"""

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ecgpipe.cache.signals.format import matches_checksum, remake_hint, with_checksum
from ecgpipe.errors import StoreError
from ecgpipe.files import open_atomic, read_json_object, sha256_file, write_json_atomic

FORMAT = "ecgpipe-records/3"
SPLITS = ("train", "val", "test")

_ROWS_AT_ONCE = 1024
_REPEATED = (
    *("patient_id", "source", "split", "report", "age", "sex", "site", "recorded_at"),
    "echo_report",
)
"""Columns in which many rows have the same value, as they have in those of lists."""

_LISTS = ("findings", "echo_shown", "echo_known")

_SCHEMA = pa.schema(
    [
        pa.field("slot", pa.int64(), nullable=False),
        pa.field("record_id", pa.string(), nullable=False),
        pa.field("patient_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("findings", pa.list_(pa.string()), nullable=False),
        pa.field("report", pa.string()),
        pa.field("age", pa.float64()),
        pa.field("sex", pa.string()),
        pa.field("site", pa.string()),
        pa.field("recorded_at", pa.string()),
        pa.field("echo_shown", pa.list_(pa.string()), nullable=False),
        pa.field("echo_known", pa.list_(pa.string()), nullable=False),
        pa.field("echo_report", pa.string()),
    ]
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One ECG that can be trained on or scored."""

    slot: int
    record_id: str
    patient_id: str
    source: str
    split: str
    findings: tuple[str, ...]
    """Ids in the taxonomy, in its order."""

    report: str | None = None
    age: float | None = None
    sex: str | None = None
    site: str | None = None
    recorded_at: str | None = None

    echo_shown: tuple[str, ...] = ()
    """Ids of the findings that its echocardiogram shows, in the order of the definitions."""

    echo_known: tuple[str, ...] = ()
    """Ids of those that it shows or surely does not show. Any other is unknown, and all are if the
    ECG has no echocardiogram."""

    echo_report: str | None = None
    """What was written about its echocardiogram."""


@dataclass(frozen=True)
class RecordsTable:
    """All records of a store, and how the table was made."""

    records: tuple[Record, ...]
    about: Mapping[str, Any] = field(default_factory=dict)
    """Digests, counts and provenance."""

    def __len__(self) -> int:
        return len(self.records)

    def of_split(self, split: str) -> "RecordsTable":
        """The records of one split, in the same order."""
        return RecordsTable(tuple(r for r in self.records if r.split == split), self.about)

    def of_sources(self, sources: Collection[str] | None) -> "RecordsTable":
        """The records of some sources, in the same order; all for None."""
        if sources is None:
            return self
        return RecordsTable(tuple(r for r in self.records if r.source in sources), self.about)

    def where(self, kept_N: npt.NDArray[np.bool_]) -> "RecordsTable":
        """Some of the records, (N,), in the same order."""
        return RecordsTable(tuple(self.records[n] for n in np.flatnonzero(kept_N)), self.about)

    def without_findings(self, ids: Collection[str]) -> "RecordsTable":
        """The same records, as if nobody had looked for these findings."""
        if not ids:
            return self
        kept = (
            replace(r, findings=tuple(each for each in r.findings if each not in ids))
            for r in self.records
        )
        return RecordsTable(tuple(kept), self.about)

    @property
    def findings(self) -> frozenset[str]:
        """Ids of the findings that occur."""
        return frozenset(finding for record in self.records for finding in record.findings)

    @property
    def slots(self) -> npt.NDArray[np.int64]:
        """(n,) places in the signal store."""
        return np.array([record.slot for record in self.records], np.int64)

    @property
    def patients(self) -> list[str]:
        """(n,) patient id of each record."""
        return [record.patient_id for record in self.records]


def write_records(
    path: Path, records: Iterable[Record], about: Callable[[], Mapping[str, Any]]
) -> None:
    """Write the table and then the JSON file that makes it count.

    Args:
        path: records.parquet.
        records: the rows, consumed a few at a time.
        about: called once all rows are written; returns JSON values that say how the table was
            made. If it raises, neither file is written.

    Raises:
        StoreError: the folder is not writable or the disk is full.
    """
    rows = iter(records)
    with open_atomic(path) as file:
        with pq.ParquetWriter(file, _SCHEMA) as writer:
            while piece := list(itertools.islice(rows, _ROWS_AT_ONCE)):
                values = [{name: getattr(r, name) for name in _SCHEMA.names} for r in piece]
                writer.write_batch(pa.RecordBatch.from_pylist(values, schema=_SCHEMA))
        made = dict(about())
    entry = {"format": FORMAT, "table_sha256": sha256_file(path), "about": made}
    write_json_atomic(_about_path(path), with_checksum(entry))


def read_records(path: Path) -> RecordsTable:
    """Read a table that `write_records` wrote.

    Raises:
        StoreError: it is missing, damaged, or of another format.
    """
    entry = _read_entry(path)
    if entry is None:
        raise StoreError(f"{path} does not exist. Run `ecgpipe prepare`.")
    if sha256_file(path) != entry["table_sha256"]:
        raise StoreError(f"{path} is damaged: it does not match its digest. {remake_hint(path)}")
    return RecordsTable(tuple(_read_rows(path)), entry["about"])


def read_about(path: Path) -> dict[str, Any] | None:
    """How an existing table was made, without reading it; None if there is no table.

    Raises:
        StoreError: what describes the table is damaged or of another format.
    """
    entry = _read_entry(path)
    return None if entry is None else dict(entry["about"])


def _read_rows(path: Path) -> Iterator[Record]:
    """Every row, a few as Python objects at a time. Equal texts and findings share one object: of a
    million records hardly any has a value that no other has, besides its ids."""
    shared: dict[Any, Any] = {}
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE):
            for row in batch.to_pylist():
                lists = {name: tuple(row[name]) for name in _LISTS}
                once = {name: shared.setdefault(row[name], row[name]) for name in _REPEATED}
                once |= {name: shared.setdefault(ids, ids) for name, ids in lists.items()}
                yield Record(**row | once)


def _about_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _read_entry(path: Path) -> dict[str, Any] | None:
    about_path, hint = _about_path(path), remake_hint(path)
    if not path.exists() or not about_path.exists():
        return None
    entry = read_json_object(about_path, ("format", "table_sha256", "about"), hint)
    if not matches_checksum(entry):
        raise StoreError(f"{about_path} is damaged: it does not match its checksum. {hint}")
    if entry["format"] != FORMAT:
        raise StoreError(f"{about_path} is of format {entry['format']!r}, not {FORMAT!r}. {hint}")
    return entry
