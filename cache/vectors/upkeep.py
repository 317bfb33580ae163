"""Upkeep of a vector cache: checking every row, moving bad parts aside, joining small parts.

Owns what may be moved or removed while others read and write. No intact row is ever deleted before
its copy is on the disk.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ecgpipe.cache.vectors.fingerprint import Fingerprint
from ecgpipe.cache.vectors.part import (
    Attributes,
    VectorRows,
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
    bad: dict[str, str] = field(default_factory=dict)
    """What is wrong, by the name of the part file."""


def verify(root: Path, fingerprint: Fingerprint, quarantine: bool, tick: Tick) -> Verified:
    """Check every part and row; move bad parts into bad/, where nobody reads them.

    Args:
        root: the folder of all caches.
        fingerprint: of the cache to check.
        quarantine: whether to move bad parts. They are never deleted.
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
            continue  # compacted meanwhile: its rows are in another part now
        except StoreError as error:
            bad[path.name] = str(error)
            if quarantine:
                _move_aside(path)
        tick(1)
    if bad and not quarantine:
        return Verified(len(part_paths(folder)), 0, bad)
    return Verified(len(part_paths(folder)), len(VectorCache.open(root, fingerprint)), bad)


def compact(root: Path, fingerprint: Fingerprint, made_by: Attributes) -> int:
    """Join all parts into a few large ones with each text once; returns their number.

    The new parts sort before all others, so that the same vectors win as before; the old ones are
    removed once the new ones are on the disk. A kill leaves some texts twice, with equal vectors.
    Others may read and write meanwhile.

    Raises:
        StoreError: a part is damaged (verify moves it aside), the disk is full, or another process
            is compacting.
    """
    folder = root / fingerprint.short
    with only_one(folder / ".compact.lock", "compacts these vectors"):
        cache = VectorCache.open(root, fingerprint)
        written = _write_joined(cache, made_by)
        for path in set(cache.paths) - written:
            with storing(path):
                path.unlink()
        with storing(folder):
            fsync_folder(folder)
    return len(part_paths(folder))


def _write_joined(cache: VectorCache, made_by: Attributes) -> set[Path]:
    """Write new parts with the winning row of every text, in the order of their keys."""
    # Of equal keys `unique` returns the first, which is the row that wins.
    _, first = np.unique(cache.keys.view("V32").reshape(-1), return_index=True)
    written = set()
    for begin in range(0, len(first), COMPACT_ROWS):
        rows = first[begin : begin + COMPACT_ROWS]
        keys = cache.keys[rows]
        joined = VectorRows(cache.gather(rows), keys, cache.n_tokens(rows), cache.was_cut(keys))
        image = part_image(joined, cache.fingerprint, made_by)
        # "0" sorts before every year, and so before the parts that writers name by their start.
        path = cache.folder / f"part-0-compact-{sha256_bytes(image)[:16]}.h5"
        write_atomic(path, image)
        written.add(path)
    return written


def _move_aside(path: Path) -> None:
    aside = path.parent / "bad" / path.name
    with storing(aside):
        make_folder(aside.parent)
        path.rename(aside)
        fsync_folder(path.parent)
