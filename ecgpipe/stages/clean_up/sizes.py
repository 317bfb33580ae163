"""How much room pieces take, and when they were last used.

Owns that a file with several names (hard links: signal stores may share shards) is counted only
where its last name would go, so that the sum is what a removal frees.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ecgpipe.stages.clean_up.contents import Piece

_LOOKED_AT = (".json", ".yaml")
"""Files that are read to find out what is needed, so that it says nothing when that was."""


@dataclass(frozen=True)
class Measured:
    """A piece, with its size."""

    piece: Piece
    n_bytes: int
    """What its removal frees, if those before it are removed too."""

    used: float
    """Unix time at which a file of it was last written, or read if the disk notes that."""


def measured(pieces: Iterable[Piece], remarks: list[str]) -> list[Measured]:
    """Those that are still there and can be read; `remarks` gets a line for each other one."""
    names: Counter[tuple[int, int]] = Counter()
    found = []
    for piece in pieces:
        n_bytes, used = 0, 0.0
        try:
            for path, status in _files(piece):
                file = (status.st_dev, status.st_ino)
                names[file] += 1
                if names[file] == status.st_nlink:
                    n_bytes += status.st_size
                read = 0.0 if path.suffix in _LOOKED_AT else status.st_atime
                used = max(used, status.st_mtime, read)
        except OSError as error:
            remarks.append(f"{piece.name} is left alone: it cannot be read ({error.strerror}).")
            continue
        if used:
            found.append(Measured(piece, n_bytes, used))
    return found


def _files(piece: Piece) -> Iterator[tuple[Path, os.stat_result]]:
    """Every file and link of a piece, without those that go meanwhile."""
    for path in piece.paths:
        if path.is_dir() and not path.is_symlink():
            for parent, folders, files in os.walk(path, onerror=_raise):
                links = [name for name in folders if Path(parent, name).is_symlink()]
                yield from _states(Path(parent, name) for name in (*files, *links))
        else:
            yield from _states([path])


def _states(paths: Iterable[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    for path in paths:
        try:
            yield path, path.lstat()
        except FileNotFoundError:
            continue


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
