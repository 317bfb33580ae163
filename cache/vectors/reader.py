"""Reading a folder of sealed part files: which texts have a vector, and the vectors.

Owns what a reader may rely on: complete part files are added and never changed; the folder is named
by the fingerprint; resuming means listing it again. If two parts hold the same text, the first in
name order wins, for every reader.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

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
    """The vectors of one fingerprint that existed when the folder was listed."""

    def __init__(self, folder: Path, fingerprint: Fingerprint, parts: Sequence[Part]) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self._parts = list(parts)
        self._starts = np.cumsum([0, *(len(part.rows.keys) for part in parts)])
        self._checked = np.zeros(self._starts[-1], np.bool_)
        keys = (part.rows.keys for part in parts)
        self._keys = np.concatenate([np.empty((0, KEY_BYTES), np.uint8), *keys])
        prefixes = _prefixes(self._keys)
        # Stable, so that of two rows with the same key the one in the first part comes first.
        self._order = np.argsort(prefixes, kind="stable")
        self._sorted_prefixes = prefixes[self._order]

    @classmethod
    def open(cls, root: Path, fingerprint: Fingerprint) -> "VectorCache":
        """Open the parts of `fingerprint` below `root`; without any, the cache is empty.

        Raises:
            CacheMismatchError: the folder holds vectors of another fingerprint.
            StoreError: a part is damaged.
        """
        folder = root / fingerprint.short
        if fingerprint_path(folder).exists():
            check_fingerprint(folder, fingerprint)
        parts = _read_parts(folder, fingerprint)
        if len({part.rows.vectors.shape[1] for part in parts}) > 1:
            raise StoreError(
                f"{folder}: parts hold vectors of different widths. Move one kind away."
            )
        return cls(folder, fingerprint, parts)

    def __len__(self) -> int:
        """Number of rows; a text in two parts counts twice."""
        return int(self._starts[-1])

    @property
    def paths(self) -> list[Path]:
        """The part files."""
        return [part.path for part in self._parts]

    @property
    def dim(self) -> int:
        """Width of a vector.

        Raises:
            StoreError: the cache is empty.
        """
        if not self._parts:
            raise StoreError(f"{self.folder} holds no vectors. Run `ecgpipe embed`.")
        return int(self._parts[0].rows.vectors.shape[1])

    @property
    def keys(self) -> Keys:
        """(rows, 32) key of each row."""
        return self._keys

    def rows(self, keys: Keys) -> Rows:
        """(n,) the row of each of `keys` (n, 32), or -1 if the text has no vector."""
        wanted = _prefixes(keys)
        found = np.full(len(keys), -1, np.int64)
        place = np.searchsorted(self._sorted_prefixes, wanted)
        open_ = np.arange(len(keys))
        while len(open_):  # more than one round only if 8-byte prefixes collide
            open_ = open_[place[open_] < len(self._order)]
            open_ = open_[self._sorted_prefixes[place[open_]] == wanted[open_]]
            row = self._order[place[open_]]
            same = (self._keys[row] == keys[open_]).all(axis=1)
            found[open_[same]] = row[same]
            open_ = open_[~same]
            place[open_] += 1
        return found

    def missing(self, keys: Keys) -> Rows:
        """Positions in `keys` (n, 32) of the texts without a vector."""
        return np.flatnonzero(self.rows(keys) < 0)

    def vectors(self, keys: Keys) -> npt.NDArray[np.float32]:
        """The vectors (n, dim) of `keys` (n, 32) as float32.

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

        Each row is checked against its checksum the first time it is read.

        Raises:
            StoreError: a row is damaged.
        """
        self._check_once(rows)
        gathered = np.empty((len(rows), self.dim), self._parts[0].rows.vectors.dtype)
        for part, places, positions in self._by_part(rows):
            gathered[places] = part.rows.vectors[positions]
        return gathered

    def n_tokens(self, rows: Rows) -> npt.NDArray[np.uint32]:
        """(n,) tokens of the texts in `rows`."""
        counts = [np.empty(0, np.uint32), *(part.rows.n_tokens for part in self._parts)]
        return np.concatenate(counts)[rows]

    def was_cut(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """(n,) which of the texts `keys` were cut at the length limit; False if unknown."""
        cut = np.concatenate([np.empty(0, np.bool_), *(p.rows.was_cut for p in self._parts)])
        rows = self.rows(keys)
        found = np.zeros(len(keys), np.bool_)
        found[rows >= 0] = cut[rows[rows >= 0]]
        return found

    def _check_once(self, rows: Rows) -> None:
        if self._checked[rows].all():
            return
        new = np.unique(rows[~self._checked[rows]])
        for part, _, positions in self._by_part(new):
            check_sums(part, positions)
        self._checked[new] = True

    def _by_part(self, rows: Rows) -> Iterator[tuple[Part, Rows, Rows]]:
        """For each part that holds some of `rows`: their places in `rows`, and in the part."""
        part_of = np.searchsorted(self._starts, rows, side="right") - 1
        order = np.argsort(part_of, kind="stable")
        numbers, firsts = np.unique(part_of[order], return_index=True)
        for number, places in zip(numbers, np.split(order, firsts[1:]), strict=bool(len(rows))):
            yield self._parts[number], places, rows[places] - self._starts[number]


def part_paths(folder: Path) -> list[Path]:
    """The part files of a cache folder, in order of precedence."""
    return sorted(folder.glob("part-*.h5"))


def fingerprint_path(folder: Path) -> Path:
    """The readable fingerprint of a cache folder."""
    return folder / "fingerprint.json"


def check_fingerprint(folder: Path, wanted: Fingerprint) -> None:
    """Raise CacheMismatchError unless the cache folder belongs to the fingerprint `wanted`."""
    hint = f"Move {folder} away and run `ecgpipe embed`."
    found = read_json_object(fingerprint_path(folder), (), hint)
    if differences := wanted.differences(found):
        raise CacheMismatchError(
            f"{folder} holds text vectors made under other settings:\n  "
            + "\n  ".join(differences)
            + f"\nThey cannot be used here. {hint}"
        )


def _read_parts(folder: Path, fingerprint: Fingerprint) -> list[Part]:
    """Every part; listed again if one vanishes meanwhile because another process compacts."""
    for _ in range(_LISTINGS):
        try:
            return [read_part(path, fingerprint) for path in part_paths(folder)]
        except FileNotFoundError:
            continue
    raise StoreError(
        f"{folder} keeps changing while it is read. Wait for the others and try again."
    )


def _prefixes(keys: Keys) -> npt.NDArray[np.uint64]:
    """The first 8 bytes of each key as a number: enough to sort by; `rows` compares in full."""
    first: npt.NDArray[np.uint64] = np.ascontiguousarray(keys[:, :8]).view(">u8").reshape(-1)
    return first.astype(np.uint64)
