"""A folder of sealed parts, read: which texts have a vector, and the vectors.

Owns what a reader may rely on: parts are only ever added, whole; the folder is named by the
fingerprint; a restart is a listing. Where two parts hold the same text, the first in name order
wins, for every reader.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from ecgpipe.cache.vectors.fingerprint import Fingerprint
from ecgpipe.cache.vectors.part import (
    KEY_BYTES,
    Part,
    as_float32,
    check_sums,
    read_part,
)
from ecgpipe.errors import CacheMismatchError, StoreError
from ecgpipe.files import read_json_object

Keys = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]
Stored = npt.NDArray[np.uint16] | npt.NDArray[np.float32]

_LISTINGS = 5


class VectorCache:
    """The vectors kept under one fingerprint, as they were when the folder was listed."""

    def __init__(self, folder: Path, fingerprint: Fingerprint, parts: Sequence[Part]) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self._parts = list(parts)
        self._starts = np.cumsum([0, *(len(part.rows.keys) for part in parts)])
        self._checked = np.zeros(self._starts[-1], np.bool_)
        self._scattered = _ScatteredRows([p.rows.vectors for p in parts]) if len(self) else None
        self._keys = np.concatenate([np.empty((0, KEY_BYTES), np.uint8), *_all_keys(parts)])
        prefixes = _prefixes(self._keys)
        # Stable, so that of two rows with one key the one in the first part comes first.
        self._order = np.argsort(prefixes, kind="stable")
        self._sorted_prefixes = prefixes[self._order]

    @classmethod
    def open(cls, root: Path, fingerprint: Fingerprint) -> "VectorCache":
        """List the parts kept under `fingerprint` below `root`; none is an empty cache.

        Raises:
            CacheMismatchError: the folder holds vectors of another fingerprint.
            StoreError: a part is damaged.
        """
        folder = root / fingerprint.short
        if (folder / "fingerprint.json").exists():
            check_fingerprint(folder, fingerprint)
        parts = _read_parts(folder, fingerprint)
        if len({part.rows.vectors.shape[1] for part in parts}) > 1:
            raise StoreError(
                f"{folder}: parts hold vectors of different widths. Move one kind away."
            )
        return cls(folder, fingerprint, parts)

    def __len__(self) -> int:
        """Rows, counting a text twice that two parts hold."""
        return int(self._starts[-1])

    @property
    def dim(self) -> int:
        """Width of a vector. Only for a cache that holds one."""
        return int(self._parts[0].rows.vectors.shape[1])

    @property
    def keys(self) -> Keys:
        """(rows, 32) key of each row."""
        return self._keys

    def rows(self, keys: Keys) -> Rows:
        """The row of each of `keys` (n, 32), -1 where the text has no vector."""
        wanted = _prefixes(keys)
        found = np.full(len(keys), -1, np.int64)
        place = np.searchsorted(self._sorted_prefixes, wanted)
        open_ = np.arange(len(keys))
        while len(open_):  # more than one round only where 8-byte prefixes collide
            open_ = open_[place[open_] < len(self._order)]
            open_ = open_[self._sorted_prefixes[place[open_]] == wanted[open_]]
            row = self._order[place[open_]]
            same = (self._keys[row] == keys[open_]).all(axis=1)
            found[open_[same]] = row[same]
            open_ = open_[~same]
            place[open_] += 1
        return found

    def missing(self, keys: Keys) -> Rows:
        """Positions in `keys` (n, 32) of the texts that have no vector yet."""
        return np.flatnonzero(self.rows(keys) < 0)

    def vectors(self, keys: Keys) -> npt.NDArray[np.float32]:
        """The vectors (n, dim) of `keys` (n, 32), as `gather` hands them out.

        Raises:
            StoreError: a text has no vector, or a row is damaged.
        """
        rows = self.rows(keys)
        if n_missing := int((rows < 0).sum()):
            raise StoreError(
                f"{self.folder} lacks {n_missing:,} of {len(keys):,} texts. Run `ecgpipe embed`."
            )
        if len(rows) == 0:
            return np.empty((0, self.dim if self._parts else 0), np.float32)
        return as_float32(self.gather(rows))

    def gather(self, rows: Rows) -> Stored:
        """The vectors (n, dim) of `rows`, as they are stored.

        Each row is checked against its sum the first time it is handed out.

        Raises:
            StoreError: a row is damaged.
        """
        self._check_once(rows)
        assert self._scattered is not None, "an empty cache has no rows"
        return self._scattered.take(rows)

    def n_tokens(self, rows: Rows) -> npt.NDArray[np.uint32]:
        """(n,) tokens that the model read of the texts in `rows`."""
        counts = [np.empty(0, np.uint32), *(part.rows.n_tokens for part in self._parts)]
        return np.concatenate(counts)[rows]

    def was_cut(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """(n,) which of the texts `keys` were cut at the length limit; False where none is kept."""
        cut = np.concatenate([np.empty(0, np.bool_), *(p.rows.was_cut for p in self._parts)])
        rows = self.rows(keys)
        found = np.zeros(len(keys), np.bool_)
        found[rows >= 0] = cut[rows[rows >= 0]]
        return found

    def _check_once(self, rows: Rows) -> None:
        if self._checked[rows].all():
            return
        new = np.unique(rows[~self._checked[rows]])
        part_of = np.searchsorted(self._starts, new, side="right") - 1
        for number in np.unique(part_of):
            check_sums(self._parts[number], new[part_of == number] - self._starts[number])
        self._checked[new] = True


def part_paths(folder: Path) -> list[Path]:
    """The sealed parts of a cache folder, in the order in which they win."""
    return sorted(folder.glob("part-*.h5"))


def check_fingerprint(folder: Path, wanted: Fingerprint) -> None:
    """Raise CacheMismatchError unless the cache folder is of the fingerprint `wanted`."""
    mend = f"Move {folder} away and run `ecgpipe embed`."
    found = read_json_object(folder / "fingerprint.json", (), mend)
    if differences := wanted.differences(found):
        raise CacheMismatchError(
            f"{folder} holds text vectors made under other settings:\n  "
            + "\n  ".join(differences)
            + "\nThey cannot be used here. Move that folder away and run `ecgpipe embed`."
        )


def _read_parts(folder: Path, fingerprint: Fingerprint) -> list[Part]:
    """Every part; listed again where one vanishes meanwhile, because somebody compacts."""
    for _ in range(_LISTINGS):
        try:
            return [read_part(path, fingerprint) for path in part_paths(folder)]
        except FileNotFoundError:
            continue
    raise StoreError(f"{folder} changes while it is read. Wait for the others, and try again.")


class _ScatteredRows:
    """Equally long rows that lie in hundreds of mapped files, looked up in one step.

    numpy gathers from one array only, and a look-up a file costs more than the rows. So the files
    are seen as one array of records that begins at the lowest address and steps by one byte; a
    row's place in it is a distance in bytes. Between the files there may be no memory at all: only
    these places may be looked up, so the array never leaves this class, and cannot be pickled.
    """

    def __init__(self, blocks: Sequence[Stored]) -> None:
        self._blocks = [block for block in blocks if block.size]  # keeps the files mapped
        lowest = min(self._blocks, key=_address)
        row_bytes = lowest[0].nbytes
        self._places = np.concatenate(
            [
                _address(block) - _address(lowest) + row_bytes * np.arange(len(block))
                for block in self._blocks
            ]
        )
        records = lowest.reshape(-1).view(f"V{row_bytes}")
        n_places = int(self._places.max()) + 1
        self._records = as_strided(records, (n_places,), (1,), writeable=False)

    def take(self, rows: Rows) -> Stored:
        """The rows (n, dim), copied."""
        stored = self._blocks[0]
        taken: Stored = self._records[self._places[rows]].view(stored.dtype)
        return taken.reshape(len(rows), stored.shape[1])

    def __getstate__(self) -> object:
        raise TypeError("an open cache cannot be pickled: open it again where it is needed")


def _address(block: Stored) -> int:
    return int(block.ctypes.data)


def _all_keys(parts: Sequence[Part]) -> list[Keys]:
    return [part.rows.keys for part in parts]


def _prefixes(keys: Keys) -> npt.NDArray[np.uint64]:
    """The first 8 bytes of each key as a number: enough to sort by, verified in full later."""
    first: npt.NDArray[np.uint64] = np.ascontiguousarray(keys[:, :8]).view(">u8").reshape(-1)
    return first.astype(np.uint64)
