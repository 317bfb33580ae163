"""A folder of sealed parts: which texts have a vector, the vectors, and adding more.

Owns the protocol: parts are only ever added, whole; the folder is named by the fingerprint; a
restart is a listing. Any number of processes may add parts at once without talking to each other.
Where two hold the same text, the first part in name order wins, for every reader.
"""

import datetime
import json
import os
import platform
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.fingerprint import Fingerprint
from ecgpipe.cache.vector_part import (
    KEY_BYTES,
    Attributes,
    Part,
    VectorRows,
    as_float32,
    check_sums,
    part_image,
    read_part,
)
from ecgpipe.errors import CacheMismatchError, StoreError
from ecgpipe.files import read_json, write_atomic

Keys = npt.NDArray[np.uint8]

SEAL_ROWS = 4096
SEAL_AFTER_S = 60.0


class VectorCache:
    """The vectors kept under one fingerprint, as they were when the folder was listed."""

    def __init__(self, folder: Path, fingerprint: Fingerprint, parts: Sequence[Part]) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self._parts = list(parts)
        self._starts = np.cumsum([0, *(len(part.rows.keys) for part in parts)])
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
            _check_fingerprint(folder, fingerprint)
        parts = [read_part(path, fingerprint) for path in sorted(folder.glob("part-*.h5"))]
        if len({part.rows.vectors.shape[1] for part in parts}) > 1:
            raise StoreError(
                f"{folder}: parts hold vectors of different widths. Move one kind away."
            )
        return cls(folder, fingerprint, parts)

    def __len__(self) -> int:
        """Rows, counting a text twice that two parts hold."""
        return len(self._keys)

    @property
    def dim(self) -> int:
        """Width of a vector. Only for a cache that holds one."""
        return int(self._parts[0].rows.vectors.shape[1])

    def rows(self, keys: Keys) -> npt.NDArray[np.int64]:
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

    def missing(self, keys: Keys) -> npt.NDArray[np.int64]:
        """Positions in `keys` (n, 32) of the texts that have no vector yet."""
        return np.flatnonzero(self.rows(keys) < 0)

    def vectors(self, keys: Keys) -> npt.NDArray[np.float32]:
        """The vectors (n, dim) of `keys` (n, 32), each row checked against its sum.

        Raises:
            StoreError: a text has no vector, or a row is damaged.
        """
        rows = self.rows(keys)
        if n_missing := int((rows < 0).sum()):
            raise StoreError(
                f"{self.folder} lacks {n_missing:,} of {len(keys):,} texts. Run `ecgpipe embed`."
            )
        gathered = np.empty((len(rows), self.dim), np.float32)
        part_of = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(part_of):
            chosen = np.flatnonzero(part_of == number)
            part, positions = self._parts[number], rows[chosen] - self._starts[number]
            check_sums(part, np.unique(positions))
            gathered[chosen] = as_float32(part.rows.vectors[positions])
        return gathered

    def n_cut(self, keys: Keys) -> int:
        """How many of the texts `keys` that have a vector were cut at the length limit."""
        cut = [np.empty(0, np.bool_), *(part.rows.was_cut for part in self._parts)]
        rows = self.rows(keys)
        return int(np.concatenate(cut)[rows[rows >= 0]].sum())


class VectorWriter:
    """Adds vectors to a cache: collects rows and seals them into parts by count or age.

    A row is safe once `sealed_rows` counts it; a kill loses at most the rows collected since.
    """

    def __init__(self, root: Path, fingerprint: Fingerprint, made_by: Attributes) -> None:
        self.sealed_rows = 0
        self._folder = root / fingerprint.short
        self._fingerprint = fingerprint
        self._made_by = made_by
        # In order of starting, and unique: a part must never replace another writer's.
        started = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S%f")
        host = "".join(c for c in platform.node() if c.isalnum())[:12] or "host"
        self._prefix = f"part-{started}-{host}-{os.getpid()}-{secrets.token_hex(3)}"
        self._sequence = 0
        self._pending: list[VectorRows] = []
        self._last_seal = time.monotonic()
        self._write_fingerprint()

    def add(self, rows: VectorRows) -> None:
        """Collect rows; seals when there are enough or the last seal is a minute ago.

        Raises:
            StoreError: a vector is not finite, or the part cannot be written.
        """
        self._pending.append(rows)
        n_pending = sum(len(batch.keys) for batch in self._pending)
        if n_pending >= SEAL_ROWS or time.monotonic() - self._last_seal >= SEAL_AFTER_S:
            self.seal()

    def seal(self) -> None:
        """Write what was collected as one part. Returns once it is on the disk for good."""
        if self._pending:
            rows = _joined(self._pending)
            image = part_image(rows, self._fingerprint, self._made_by)
            write_atomic(self._folder / f"{self._prefix}-{self._sequence:05d}.h5", image)
            self._sequence += 1
            self._pending.clear()
            self.sealed_rows += len(rows.keys)
        self._last_seal = time.monotonic()

    def _write_fingerprint(self) -> None:
        if (self._folder / "fingerprint.json").exists():
            _check_fingerprint(self._folder, self._fingerprint)
        else:
            readable = json.dumps(dict(self._fingerprint.fields), indent=2, ensure_ascii=False)
            write_atomic(self._folder / "fingerprint.json", (readable + "\n").encode())


def _check_fingerprint(folder: Path, wanted: Fingerprint) -> None:
    found = read_json(folder / "fingerprint.json")
    if not isinstance(found, dict):
        raise StoreError(f"{folder / 'fingerprint.json'} is not a fingerprint.")
    if differences := wanted.differences(found):
        raise CacheMismatchError(
            f"{folder} holds text vectors made under other settings:\n  "
            + "\n  ".join(differences)
            + "\nThey cannot be used here. Move that folder away and run `ecgpipe embed`."
        )


def _all_keys(parts: Sequence[Part]) -> list[Keys]:
    return [part.rows.keys for part in parts]


def _prefixes(keys: Keys) -> npt.NDArray[np.uint64]:
    """The first 8 bytes of each key as a number: enough to sort by, verified in full later."""
    first: npt.NDArray[np.uint64] = np.ascontiguousarray(keys[:, :8]).view(">u8").reshape(-1)
    return first.astype(np.uint64)


def _joined(batches: Sequence[VectorRows]) -> VectorRows:
    return VectorRows(
        np.concatenate([batch.vectors for batch in batches]),
        np.concatenate([batch.keys for batch in batches]),
        np.concatenate([batch.n_tokens for batch in batches]),
        np.concatenate([batch.was_cut for batch in batches]),
    )
