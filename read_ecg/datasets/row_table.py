"""The rows of a source in one Arrow table: some 200 bytes each, a fifth of the Python objects.

Owns how rows are stored. Must not know what a column means.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any

import pyarrow as pa

from ecgpipe.errors import SourceError
from ecgpipe.read_ecg.datasets.source import SourceRow

_ROWS_AT_ONCE = 4096

# Arrow's default allocator takes twice the memory for many small columns.
pa.set_memory_pool(pa.system_memory_pool())

_NAMES = [field.name for field in fields(SourceRow)]
_TYPES = {
    "findings": pa.list_(pa.string()),
    "public_codes": pa.bool_(),
    "start_s": pa.float64(),
    "length_s": pa.float64(),
    "report": pa.large_string(),  # together they may exceed the 2 GB of a string column
    "echo": pa.map_(pa.string(), pa.string()),
    "age": pa.float64(),
}
_SCHEMA = pa.schema([(name, _TYPES.get(name, pa.string())) for name in _NAMES])


class RowTable(Sequence[SourceRow]):
    """Immutable rows; each `SourceRow` is created when it is read."""

    def __init__(self, table: pa.Table) -> None:
        """Serve the rows of a table that has a column for each field of SourceRow."""
        self.table = table

    @staticmethod
    def of(rows: Iterable[SourceRow]) -> "RowTable":
        """Store rows, only a few thousand of which exist as objects at a time.

        Raises:
            SourceError: a value is not valid Unicode, such as a file name in another encoding.
        """
        if isinstance(rows, RowTable):
            return rows
        remaining, batches = iter(rows), []
        while part := list(itertools.islice(remaining, _ROWS_AT_ONCE)):
            values = {name: [getattr(row, name) for row in part] for name in _NAMES}
            try:
                batches.append(pa.RecordBatch.from_pydict(values, _SCHEMA))
            except UnicodeEncodeError:
                raise SourceError(
                    f"Between {part[0].place} and {part[-1].place}, a path or value is not valid"
                    " Unicode. Rename the file or folder in UTF-8."
                ) from None
        return RowTable(pa.Table.from_batches(batches, _SCHEMA))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getitem__(self, place: Any) -> Any:
        """One row, or the `RowTable` of a slice."""
        if isinstance(place, slice):
            return RowTable(self.table[place])
        number = range(len(self))[place]
        return next(iter(self[number : number + 1]))

    def __iter__(self) -> Iterator[SourceRow]:
        for batch in self.table.to_batches(_ROWS_AT_ONCE):
            columns = [batch.column(name).to_pylist() for name in _NAMES]
            for values in zip(*columns, strict=True):
                row: dict[str, Any] = dict(zip(_NAMES, values, strict=True))
                row["findings"] = tuple(row["findings"])
                row["echo"] = None if row["echo"] is None else tuple(row["echo"])
                yield SourceRow(**row)
