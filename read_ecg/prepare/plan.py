"""The plan of a preparation: which record of which source takes which slot.

Owns the order (by record id, so that a re-ordered table changes nothing), the refusal of an id that
is there twice, and the plan's hash. What is held of a record are its packed row and a few numbers.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.records_table import SPLITS
from ecgpipe.config.data import DataConfig
from ecgpipe.errors import SourceError
from ecgpipe.read_ecg.datasets.adapters import planned_rows, read_source
from ecgpipe.read_ecg.datasets.packed_rows import PackedRows, packed, sorted_places
from ecgpipe.read_ecg.datasets.source import SourceRow, SourceRows
from ecgpipe.read_ecg.datasets.splits import assign_splits, perhaps_in_two_splits


@dataclass(frozen=True, slots=True)
class Planned:
    """A row with its place in the plan."""

    row: SourceRow
    source: SourceRows
    split: str


class Plan(Sequence[Planned]):
    """All planned records by slot; one is made when it is asked for."""

    def __init__(self, sources: Sequence[tuple[SourceRows, Sequence[str]]]) -> None:
        """Put the rows in order.

        Args:
            sources: each with the split of every row.

        Raises:
            SourceError: a record id is there twice.
        """
        self.sources = tuple(source for source, _ in sources)
        self._rows = [packed(source.rows) for source in self.sources]
        self._ends = np.cumsum([len(rows) for rows in self._rows], dtype=np.int64)
        self._order = sorted_places([rows.record_ids for rows in self._rows])
        codes = [_split_codes(splits) for _, splits in sources]
        self._splits = np.concatenate([np.empty(0, np.uint8), *codes])[self._order]
        self.record_ids: Sequence[str] = PlanColumn(self, "record_id")
        self._check_unique()

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, slot: int) -> Planned: ...

    @overload
    def __getitem__(self, slot: slice) -> list[Planned]: ...

    def __getitem__(self, slot: int | slice) -> Planned | list[Planned]:
        if isinstance(slot, slice):
            return [self[number] for number in range(*slot.indices(len(self)))]
        source, number = self.find(slot)
        split = SPLITS[self._splits[slot]]
        return Planned(self._rows[source][number], self.sources[source], split)

    def find(self, slot: int) -> tuple[int, int]:
        """The number of the source, and that of the row in it."""
        number = int(self._order[slot])
        source = int(self._ends.searchsorted(number, "right"))
        return source, number - (int(self._ends[source - 1]) if source else 0)

    def value(self, slot: int, name: str) -> Any:
        """One field of a row, without the others."""
        source, number = self.find(slot)
        return self._rows[source].column(name)[number]

    def patients(self) -> npt.NDArray[np.int64]:
        """(n,) a hash of whose ECG each record is; two in 10^8 plans of a million patients would
        give two of them one."""
        return np.fromiter(map(hash, PlanColumn(self, "patient_id")), np.int64, len(self))

    def suspects(self) -> Iterator[Planned]:
        """Records in whose patient's other splits one should look: hardly ever any."""
        for slot in perhaps_in_two_splits(self.patients(), self._splits):
            planned = self[int(slot)]
            if planned.row.patient_id:
                yield planned

    def public_codes(self) -> Counter[str]:
        """How often each code of public lists is said, in the order of the plan."""
        counts: Counter[str] = Counter()
        if any(any(rows.column("public_codes")) for rows in self._rows):
            for slot in range(len(self)):
                if self.value(slot, "public_codes"):
                    counts.update(self.value(slot, "findings"))
        return counts

    def hash(self) -> str:
        """Changes when other recordings are planned, or under other ids."""
        digest = hashlib.sha256()
        for slot in range(len(self)):
            source, number = self.find(slot)
            digest.update(_line(self.sources[source], self._rows[source], number).encode())
        return digest.hexdigest()

    def _check_unique(self) -> None:
        """Of several ids that are there twice, the first is named."""
        slots, ids = range(1, len(self)), iter(self.record_ids)
        before, again = next(ids, None), []
        for slot, record_id in zip(slots, ids, strict=True):
            if record_id == before:
                again.append(slot)
            before = record_id
        if not again:
            return
        second = min(again, key=lambda slot: int(self._order[slot]))
        first = second - 1
        while first and self.record_ids[first - 1] == self.record_ids[second]:
            first -= 1
        raise SourceError(
            f"A record_id is there twice: {self.value(first, 'place')} and"
            f" {self.value(second, 'place')}. Give every ECG its own."
        )


class PlanColumn(Sequence[Any]):
    """One field of all planned rows, by slot."""

    def __init__(self, plan: Plan, name: str) -> None:
        self._plan = plan
        self._name = name

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, slot: Any) -> Any:
        if isinstance(slot, slice):
            return [self[number] for number in range(*slot.indices(len(self)))]
        return self._plan.value(slot, self._name)


def read_plan(config: DataConfig) -> Plan:
    """Every row of every source.

    Raises:
        SourceError: a table is unusable, a root is no folder, a record id is there twice, or a
            split is stated for some rows only.
    """
    sources = []
    for number, settings in enumerate(config.sources):
        source = planned_rows(read_source(settings), config)
        if not source.root.is_dir():
            raise SourceError(f"data.sources.{number}.root, {source.root}, is not a folder.")
        sources.append((source, assign_splits(source.rows, config.split)))
    return Plan(sources)


def _split_codes(splits: Sequence[str]) -> npt.NDArray[np.uint8]:
    return np.fromiter(map(SPLITS.index, splits), np.uint8, len(splits))


def _line(source: SourceRows, rows: PackedRows, number: int) -> str:
    record_id, path = rows.column("record_id")[number], rows.column("path")[number]
    line = f"{record_id}\0{source.root}\0{path}"
    start_s = rows.column("start_s")[number]
    if start_s is not None:
        line += f"\0{start_s!r}\0{rows.column('length_s')[number]!r}"
    if source.read is not None:
        line += f"\0{source.name}"
    return f"{line}\n"
