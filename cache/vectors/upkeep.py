"""Keeping a cache of vectors healthy: checking every row, clearing rubbish, joining small parts.

Owns what may be moved or removed, and when that is safe beside readers and writers. Nothing good is
ever deleted before its copy is on the disk.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.vectors.fingerprint import Fingerprint
from ecgpipe.cache.vectors.part import (
    Attributes,
    Part,
    VectorRows,
    as_float32,
    check_sums,
    part_image,
    read_part,
)
from ecgpipe.cache.vectors.reader import VectorCache, part_paths
from ecgpipe.errors import StoreError
from ecgpipe.files import fsync_folder, make_folder, only_one, sha256_bytes, storing, write_atomic

COMPACT_ROWS = 65_536

Tick = Callable[[int], object]


@dataclass(frozen=True)
class Verified:
    """What a check of every row found."""

    parts: int
    rows: int
    distinct: int
    bad: dict[str, str] = field(default_factory=dict)
    """What is wrong, by the name of the part."""

    least_cosine: float | None = None
    """Between vectors of one text in two parts; None where no text is there twice."""


def verify(root: Path, fingerprint: Fingerprint, quarantine: bool, tick: Tick) -> Verified:
    """Check every part and row sum; move bad parts into bad/, where nobody reads them.

    Args:
        root: of all caches.
        fingerprint: which of them.
        quarantine: whether bad parts are moved; never deleted.
        tick: called for each part that was checked.

    Raises:
        StoreError: the folder cannot be changed.
    """
    folder = root / fingerprint.short
    bad: dict[str, str] = {}
    for path in part_paths(folder):
        try:
            part = read_part(path, fingerprint)
            check_sums(part, np.arange(len(part.sums)))
        except FileNotFoundError:
            continue  # compacted meanwhile: its rows are in another part
        except StoreError as error:
            bad[path.name] = str(error)
            if quarantine:
                _move_aside(path)
        tick(1)
    if bad and not quarantine:
        return Verified(len(part_paths(folder)), 0, 0, bad)
    cache = VectorCache.open(root, fingerprint)
    distinct, least = _duplicates(cache)
    return Verified(len(part_paths(folder)), len(cache), distinct, bad, least)


def compact(root: Path, fingerprint: Fingerprint, made_by: Attributes) -> int:
    """Join all parts into few large ones, each text once; returns how many parts there are then.

    The new parts sort before every other, so that what they hold wins as it did; the old ones go
    only when the new are on the disk. A kill leaves some texts twice, with equal vectors. Readers
    and writers may go on meanwhile.

    Raises:
        StoreError: a part is damaged (verify moves it aside), the disk is full, or another process
            compacts.
    """
    folder = root / fingerprint.short
    with only_one(folder / ".compact.lock", "compacts these vectors"):
        paths = part_paths(folder)
        parts = [read_part(path, fingerprint) for path in paths]
        written = _write_joined(folder, parts, fingerprint, made_by)
        for path in set(paths) - written:
            with storing(path):
                path.unlink()
        with storing(folder):
            fsync_folder(folder)
    return len(part_paths(folder))


def _write_joined(
    folder: Path, parts: list[Part], fingerprint: Fingerprint, made_by: Attributes
) -> set[Path]:
    """New parts with the winning row of every text, in the order of their keys."""
    keys = np.concatenate([np.empty((0, 32), np.uint8), *(part.rows.keys for part in parts)])
    # Of equal keys `unique` gives the first, which is the row that wins.
    _, first = np.unique(keys.view("V32").reshape(-1), return_index=True)
    starts = np.cumsum([0, *(len(part.sums) for part in parts)])
    written = set()
    for begin in range(0, len(first), COMPACT_ROWS):
        rows = _rows_of(parts, starts, first[begin : begin + COMPACT_ROWS])
        image = part_image(rows, fingerprint, made_by)
        # "0" sorts before every year, so before every part that a writer names by its start.
        path = folder / f"part-0-compact-{sha256_bytes(image)[:16]}.h5"
        write_atomic(path, image)
        written.add(path)
    return written


def _rows_of(
    parts: list[Part], starts: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]
) -> VectorRows:
    part_of = np.searchsorted(starts, rows, side="right") - 1
    pieces, places = [], []
    for number in np.unique(part_of):
        chosen = np.flatnonzero(part_of == number)
        positions = rows[chosen] - starts[number]
        check_sums(parts[number], positions)
        pieces.append(parts[number].rows.chosen(positions))
        places.append(chosen)
    together = VectorRows.joined(pieces)
    return together.chosen(np.argsort(np.concatenate(places)))


def _duplicates(cache: VectorCache) -> tuple[int, float | None]:
    """How many texts there are, and how alike the vectors are of those that are there twice."""
    winners = cache.rows(cache.keys)
    doubled = np.flatnonzero(winners != np.arange(len(cache)))
    if len(doubled) == 0:
        return len(cache), None
    one = as_float32(cache.gather(winners[doubled]))
    other = as_float32(cache.gather(doubled))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosine = (one * other).sum(axis=1) / np.maximum(lengths, 1e-30)
    return len(cache) - len(doubled), float(cosine.min())


def _move_aside(path: Path) -> None:
    aside = path.parent / "bad" / path.name
    with storing(aside):
        make_folder(aside.parent)
        path.rename(aside)
        fsync_folder(path.parent)
