"""Rows of a source in little memory: 150 bytes or so each, not the kilobyte of Python objects.

Owns how they are kept: by column; texts as UTF-8 back to back, values that many rows share once. A
`SourceRow` is made when it is asked for. What a column means it does not know.
"""

import itertools
import json
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any, Protocol, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ecgpipe.read_ecg.datasets.source import SourceRow

# Of the values of a column, so many are known again; beyond, equal ones are kept twice.
_REMEMBERED = 4096

_WIDER_FROM = {1 << 8: "H", 1 << 16: "I"}


class PackedRows(Sequence[SourceRow]):
    """Rows that do not change, as they were given."""

    def __init__(self, rows: Iterable[SourceRow]) -> None:
        """Take the rows one at a time, so that never more than one is there whole."""
        self._columns = {name: _KIND.get(name, Shared)() for name in _NAMES}
        add = [(name, column.append) for name, column in self._columns.items()]
        for row in rows:
            for name, append in add:
                append(getattr(row, name))
        for column in self._columns.values():
            column.finish()

    def __len__(self) -> int:
        return len(self._columns["record_id"])

    @overload
    def __getitem__(self, place: int) -> SourceRow: ...

    @overload
    def __getitem__(self, place: slice) -> "PackedRows": ...

    def __getitem__(self, place: int | slice) -> "SourceRow | PackedRows":
        if isinstance(place, slice):
            return PackedRows(self[number] for number in range(*place.indices(len(self))))
        number = range(len(self))[place]
        values: dict[str, Any] = {name: column[number] for name, column in self._columns.items()}
        return SourceRow(**values)

    @property
    def record_ids(self) -> "Texts":
        """The ids, as they lie."""
        texts = self._columns["record_id"]
        assert isinstance(texts, Texts)
        return texts

    def column(self, name: str) -> "Column":
        """What all rows say under one name; far quicker than row by row."""
        return self._columns[name]


def packed(rows: Sequence[SourceRow]) -> PackedRows:
    """The same rows, packed."""
    return rows if isinstance(rows, PackedRows) else PackedRows(rows)


def sorted_places(parts: Sequence["Texts"]) -> npt.NDArray[np.int64]:
    """The places of all texts, counted through the parts, in their order; equal ones as they
    come."""
    import pyarrow.compute as pc  # workers have no need of it

    arrays = [
        pa.LargeStringArray.from_buffers(len(t), pa.py_buffer(t.ends), pa.py_buffer(t.content))
        for t in parts
    ]
    places = pc.sort_indices(pa.chunked_array(arrays, pa.large_string()))
    # Not to_numpy(), which imports pandas for 0.3 s.
    found = np.frombuffer(places.buffers()[1], np.uint64, len(places), places.offset * 8)
    return found.astype(np.int64)


class Column(Protocol):
    """The values of one field, by row."""

    def append(self, value: Any) -> None:
        """Add the next row's."""

    def finish(self) -> None:
        """Let go of what only `append` needs."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...


class Texts:
    """Texts back to back."""

    def __init__(self) -> None:
        self.ends = array("q", [0])
        """Where each text begins, and the last ends: Arrow's offsets."""

        self.content = bytearray()
        """UTF-8; names of files may hold lone surrogates, which are kept."""

    def append(self, value: str) -> None:
        """Add the next."""
        self.content += value.encode("utf-8", "surrogatepass")
        self.ends.append(len(self.content))

    def finish(self) -> None:
        """Nothing is to be let go of."""

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, number: int) -> str:
        encoded = self.content[self.ends[number] : self.ends[number + 1]]
        return encoded.decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))


class _Numbers:
    """Numbers, or None; a column of None takes no room."""

    def __init__(self) -> None:
        self._n = 0
        self._values = array("d")

    def append(self, value: float | None) -> None:
        if value is not None and not self._values:
            self._values.extend(itertools.repeat(math.nan, self._n))
        self._n += 1
        if value is not None or self._values:
            self._values.append(math.nan if value is None else value)

    def finish(self) -> None:
        pass

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, number: int) -> float | None:
        value = self._values[number] if self._values else math.nan
        return None if value != value else value

    def __iter__(self) -> Iterator[float | None]:
        return map(self.__getitem__, range(len(self)))


class Shared:
    """Values that many rows have in common: None, texts, tuples of texts, truth."""

    def __init__(self) -> None:
        self._codes = array("B")
        self._remembered: list[Any] = []
        self._code_of: dict[Any, int] = {}
        self._others = Texts()
        """As JSON."""

    def append(self, value: Any) -> None:
        """Add the next."""
        code = self._code_of.get(value)
        if code is None:
            code = self._new(value)
        self._codes.append(code)

    def finish(self) -> None:
        """Values that come now are no longer known again."""
        self._code_of = {}

    def __len__(self) -> int:
        return len(self._codes)

    def __getitem__(self, number: int) -> Any:
        code = self._codes[number]
        if code < len(self._remembered):
            return self._remembered[code]
        value = json.loads(self._others[code - len(self._remembered)])
        return tuple(value) if isinstance(value, list) else value

    def __iter__(self) -> Iterator[Any]:
        return map(self.__getitem__, range(len(self)))

    def _new(self, value: Any) -> int:
        code = len(self._remembered) + len(self._others)
        if code in _WIDER_FROM:
            self._codes = array(_WIDER_FROM[code], self._codes)
        if code < _REMEMBERED:
            self._remembered.append(value)
            self._code_of[value] = code
        else:
            self._others.append(json.dumps(value, ensure_ascii=False))
        return code


_NAMES = tuple(field.name for field in fields(SourceRow))
_KIND: dict[str, type[Texts | _Numbers | Shared]] = {
    "record_id": Texts,
    "patient_id": Texts,
    "path": Texts,
    "place": Texts,
    "age": _Numbers,
    "start_s": _Numbers,
    "length_s": _Numbers,
}
