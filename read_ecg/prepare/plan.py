"""The plan of a preparation: which record of which source takes which slot.

Owns the order (by record id, so that a re-ordered table changes nothing), the refusal of duplicate
ids, and the plan's hash. The rows stay in one Arrow table, because there may be a million.
"""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from ecgpipe.cache.records_table import SPLITS
from ecgpipe.config.data import DataConfig
from ecgpipe.errors import SourceError
from ecgpipe.read_ecg.datasets.adapters import planned_rows, read_source, source_roots
from ecgpipe.read_ecg.datasets.row_table import RowTable
from ecgpipe.read_ecg.datasets.source import Planned, SourceRow, SourceRows
from ecgpipe.read_ecg.datasets.splits import assign_splits

_RECORDS_AT_ONCE = 1024


class Plan:
    """All planned records, by slot."""

    def __init__(self, sources: Iterable[tuple[SourceRows, Sequence[str]]]) -> None:
        """Put the rows in order.

        Args:
            sources: each with the split of every row; an iterator lets each go once it was taken.

        Raises:
            SourceError: two rows have the same record id.
        """
        self.sources: list[SourceRows] = []
        tables = [_source_table(0, (), ())]
        for source, splits in sources:
            tables.append(_source_table(len(self.sources), source.rows, splits))
            self.sources.append(dataclasses.replace(source, rows=()))
            del source, splits
        self._table = pa.concat_tables(tables)
        tables.clear()
        order = pc.sort_indices(self._table["record_id"]).to_numpy()
        if (np.diff(order.astype(np.int64)) < 0).any():
            for place, name in enumerate(self._table.column_names):
                # By column, so that the rows are never held twice.
                column = self._table[name].take(pa.array(order))
                self._table = self._table.set_column(place, name, column)
        self.record_ids: Sequence[str] = _Texts(self._table["record_id"])
        self._check_unique(order)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def of_slots(self, slots: range) -> list[Planned]:
        """The records of consecutive slots."""
        return list(self._planned(self._table.slice(slots.start, len(slots))))

    def __iter__(self) -> Iterator[Planned]:
        for first in range(0, len(self), _RECORDS_AT_ONCE):
            yield from self._planned(self._table.slice(first, _RECORDS_AT_ONCE))

    def count_patients(self, among: npt.NDArray[np.bool_]) -> int:
        """The number of patients of some records.

        Args:
            among: (n,) whether a record counts.
        """
        return len(np.unique(self._codes("patient_id")[among]))

    def in_several_splits(self) -> Iterator[Planned]:
        """The records of patients who have records in more than one split; hardly ever any."""
        patients = self._codes("patient_id")
        pairs = np.unique(patients * len(SPLITS) + self._codes("split"))
        leaking = (np.bincount(pairs // len(SPLITS)) > 1)[patients]
        for planned in self._planned(self._table.filter(pa.array(leaking))):
            if planned.row.patient_id:
                yield planned

    def public_codes(self) -> Counter[str]:
        """How often each code of a public list occurs, in the order of the plan."""
        coded = self._table.filter(self._table["public_codes"])
        counts = pc.list_flatten(coded["findings"]).value_counts().to_pylist()
        return Counter({entry["values"]: entry["counts"] for entry in counts})

    def hash(self) -> str:
        """Changes when other recordings are planned, or under other ids; not with the root."""
        digest = hashlib.sha256()
        for planned in self:
            digest.update(_line(planned.row, planned.source).encode())
        return digest.hexdigest()

    def _planned(self, table: pa.Table) -> Iterator[Planned]:
        numbers = table["source"].to_pylist()
        for row, number in zip(RowTable(table), numbers, strict=True):
            yield Planned(row, self.sources[number])

    def _codes(self, name: str) -> npt.NDArray[np.int64]:
        """(n,) equal numbers for equal values of a column, counted from 0."""
        encoded = self._table[name].combine_chunks().dictionary_encode()
        return np.asarray(encoded.indices.to_numpy(), np.int64)

    def _check_unique(self, order: npt.NDArray[np.uint64]) -> None:
        """Name the earliest duplicate by its place in the tables."""
        ids = self._table["record_id"].combine_chunks()
        repeated = np.flatnonzero(pc.equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)) + 1
        if not len(repeated):
            return
        second = int(repeated[np.argmin(order[repeated])])
        one, other = (self._table["place"][n] for n in (ids.index(ids[second]).as_py(), second))
        raise SourceError(
            f"Two rows have the same record_id: {one} and {other}. Give every ECG its own."
        )


def request_digest(planned: Planned) -> str:
    """A digest of what is to be read: path, part and reader.

    With the recording's content and the settings of the window, a signal depends on nothing else.
    """
    request = _request(planned.row, planned.source).encode()
    return xxhash.xxh3_128(request).hexdigest()


class _Texts(Sequence[str]):
    """A column of texts, each decoded when it is read."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, place: Any) -> Any:
        found = self._column[place]
        return found.to_pylist() if isinstance(place, slice) else found.as_py()


def read_plan(config: DataConfig) -> Plan:
    """Every row of every source.

    Raises:
        SourceError: a table is unusable, a root is no folder, two rows have the same record id, or
            a split is stated for some rows only.
    """
    return Plan(_read_sources(config))


def _read_sources(config: DataConfig) -> Iterator[tuple[SourceRows, Sequence[str]]]:
    labels = list(source_roots(config))
    for number, settings in enumerate(config.sources):
        source = planned_rows(read_source(settings), config)
        source = dataclasses.replace(source, label=labels[number])
        if not source.root.is_dir():
            raise SourceError(f"data.sources.{number}.root, {source.root}, is not a folder.")
        yield source, assign_splits(source.rows, config.split)


def _source_table(number: int, rows: Sequence[SourceRow], splits: Sequence[str]) -> pa.Table:
    """The rows with their assigned splits and the number of their source."""
    table = RowTable.of(rows).table
    place = table.column_names.index("split")
    table = table.set_column(place, "split", pa.array(splits, pa.string()))
    return table.append_column("source", pa.array(np.full(len(rows), number, np.int32)))


def _line(row: SourceRow, source: SourceRows) -> str:
    return f"{row.record_id}\0{source.label}\0{_request(row, source)}\n"


def _request(row: SourceRow, source: SourceRows) -> str:
    request = row.path
    if row.start_s is not None:
        request += f"\0{row.start_s!r}\0{row.length_s!r}"
    if source.read is not None:
        request += f"\0{source.kind}"
    return request
