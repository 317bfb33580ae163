"""records.parquet: who is in the signal store, in which split, with which findings and report.

Owns the columns and their types. One row is one record that can be trained on or scored; its `slot`
is its place in the signal store. Holds report text and patient ids, so it stays in work_dir.

The file's metadata carry a sum over what is known of the table and one over its rows, because
Parquet gives back a flipped bit as another patient or another slot.
"""

import itertools
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from ecgpipe.errors import StoreError
from ecgpipe.files import open_atomic

FORMAT = "ecgpipe-records/1"
_ROWS_AT_ONCE = 1024
SPLITS = ("train", "val", "test")

# What pyarrow raises on a damaged file, wherever the damage meets it.
_DECODING = (OSError, pa.ArrowException, ValueError, TypeError, OverflowError, MemoryError)

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


@dataclass(frozen=True)
class RecordsTable:
    """All records of a store, with what is known of how the table was made."""

    records: tuple[Record, ...]
    about: Mapping[str, Any] = field(default_factory=dict)
    """Digests, counts and provenance, as kept in the file."""

    def __len__(self) -> int:
        return len(self.records)

    def of_split(self, split: str) -> "RecordsTable":
        """The records of one split, in the same order."""
        return RecordsTable(tuple(r for r in self.records if r.split == split), self.about)

    def of_sources(self, sources: Collection[str] | None) -> "RecordsTable":
        """The records of some sources, in the same order; None: all."""
        if sources is None:
            return self
        return RecordsTable(tuple(r for r in self.records if r.source in sources), self.about)

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
        """(n,) whose ECG each is."""
        return [record.patient_id for record in self.records]


def write_records(
    path: Path,
    records: Iterable[Record],
    about: Mapping[str, Any] | Callable[[], Mapping[str, Any]],
) -> None:
    """Write the table, whole or not at all.

    Args:
        path: records.parquet.
        records: the rows, taken a few at a time.
        about: JSON values kept in the file's metadata; or what gives them once all rows are taken.
            What it raises leaves no file behind.

    Raises:
        StoreError: the folder is not writable or the disk is full.
    """
    rows, rows_sum = iter(records), xxhash.xxh3_128()
    with open_atomic(path) as file, pq.ParquetWriter(file, _SCHEMA) as writer:
        piece = list(itertools.islice(rows, _ROWS_AT_ONCE))
        while True:
            _add_to_sum(rows_sum, map(_row_text, piece))
            writer.write_batch(_batch(piece))
            if not (piece := list(itertools.islice(rows, _ROWS_AT_ONCE))):
                break
        about_text = json.dumps(dict(about() if callable(about) else about), ensure_ascii=False)
        writer.add_key_value_metadata(
            {
                "format": FORMAT,
                "ecgpipe": about_text,
                "about_sum": _sum([about_text]),
                "rows_sum": rows_sum.hexdigest(),
            }
        )


def read_records(path: Path) -> RecordsTable:
    """Read a table we wrote.

    Raises:
        StoreError: it is missing, damaged, or of another format.
    """
    try:
        table, metadata = _read_table(path)
        rows = table.to_pylist()
        records = tuple(Record(**row | {"findings": tuple(row["findings"])}) for row in rows)
    except _DECODING as error:
        raise _damaged(path, error) from error
    wanted = metadata.get(b"rows_sum")
    if wanted is not None and _sum(map(_row_text, records)).encode() != wanted:
        raise _damaged(path, "its rows differ from their sum")
    return RecordsTable(records, _about(path, metadata))


def read_about(path: Path) -> dict[str, Any] | None:
    """How an existing table was made, without reading it; None if there is no table.

    Raises:
        StoreError: the file is damaged or of another format.
    """
    if not path.exists():
        return None
    try:
        metadata = pq.read_metadata(path).metadata or {}
    except _DECODING as error:
        raise _damaged(path, error) from error
    _check_format(path, metadata)
    return _about(path, metadata)


def _about(path: Path, metadata: Mapping[bytes, bytes]) -> dict[str, Any]:
    text = metadata.get(b"ecgpipe", b"")
    wanted = metadata.get(b"about_sum")  # older tables have none
    try:
        if wanted is not None and _sum([text.decode()]).encode() != wanted:
            raise ValueError("what it says of itself differs from its sum")
        about = json.loads(text)
        if not isinstance(about, dict):
            raise ValueError("what it says of itself is no object")
    except ValueError as error:
        raise _damaged(path, error) from error
    return about


def _row_text(record: Record) -> str:
    age = None if record.age is None else float(record.age)  # as Parquet gives it back
    row = [age if item.name == "age" else getattr(record, item.name) for item in fields(Record)]
    return json.dumps(row)


def _sum(texts: Iterable[str]) -> str:
    digest = xxhash.xxh3_128()
    _add_to_sum(digest, texts)
    return str(digest.hexdigest())


def _add_to_sum(digest: xxhash.xxh3_128, texts: Iterable[str]) -> None:
    for text in texts:
        digest.update(text.encode())
        digest.update(b"\n")


def _batch(records: Sequence[Record]) -> pa.RecordBatch:
    """The columns, from their bytes: `pa.array` would import pandas for it, which takes 0.3 s."""
    columns = [_column(item, [getattr(r, item.name) for r in records]) for item in _SCHEMA]
    return pa.RecordBatch.from_arrays(columns, schema=_SCHEMA)


def _column(item: pa.Field, values: Sequence[Any]) -> pa.Array:
    n = len(values)
    if pa.types.is_list(item.type):
        texts = _texts(list(itertools.chain.from_iterable(values)))
        return pa.ListArray.from_buffers(
            item.type, n, [None, _offsets(map(len, values))], children=[texts]
        )
    if pa.types.is_string(item.type):
        return _texts(values)
    kind = np.int64 if pa.types.is_integer(item.type) else np.float64
    plain = np.array([0 if value is None else value for value in values], kind)
    return pa.Array.from_buffers(item.type, n, [_known(values), pa.py_buffer(plain)])


def _texts(values: Sequence[str | None]) -> pa.Array:
    encoded = [b"" if value is None else value.encode() for value in values]
    buffers = [_known(values), _offsets(map(len, encoded)), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(values), buffers)


def _offsets(lengths: Iterable[int]) -> pa.Buffer:
    ends: Iterator[int] = itertools.accumulate(lengths, initial=0)
    return pa.py_buffer(np.fromiter(ends, np.int32))


def _known(values: Sequence[Any]) -> pa.Buffer | None:
    """The bits that say which values there are; None where all are."""
    if None not in values:
        return None
    return pa.py_buffer(np.packbits([value is not None for value in values], bitorder="little"))


def _read_table(path: Path) -> tuple[pa.Table, Mapping[bytes, bytes]]:
    if not path.exists():
        raise StoreError(f"{path} does not exist. Run `ecgpipe prepare`.")
    try:
        with pq.ParquetFile(path) as file:
            # The file's, not its schema's, which had to be there before the rows were.
            metadata = file.metadata.metadata or {}
            _check_format(path, metadata)
            table = file.read()
    except _DECODING as error:
        raise _damaged(path, error) from error
    if not table.schema.equals(_SCHEMA):
        raise StoreError(
            f"{path} has other columns than {FORMAT}. Remove it and run `ecgpipe prepare`."
        )
    return table, metadata


def _check_format(path: Path, metadata: Mapping[bytes, bytes]) -> None:
    found = metadata.get(b"format", b"").decode(errors="replace")
    if found != FORMAT:
        raise StoreError(
            f"{path} is of format {found!r}, not {FORMAT!r}. Remove it and run `ecgpipe prepare`."
        )


def _damaged(path: Path, error: Exception | str) -> StoreError:
    return StoreError(f"{path} is damaged ({error}). Remove it and run `ecgpipe prepare`.")
