"""An archive of ECG vectors, `ecgpipe-archive/1`, and the ECGs in it that are closest to a vector.

Owns the layout and the search. One HDF5 file; its user block (512 bytes that every HDF5 reader
skips) is a line with the format and the xxh3-128 of the rest, which is checked before HDF5 sees a
byte, because HDF5 may loop forever on a damaged file. N = ECGs, D = width.

    vectors     (N, D)  <f4  unit vectors
    record_ids  (N,)    fixed-length UTF-8; a byte of a file's name that is none is written \\udcXX
    paths       (N,)    fixed-length UTF-8: where each recording was read
    attributes          model (name), model_digest, contract (JSON), provenance (JSON)

Must not know how a vector is made. There is no index: a product with all vectors is fast enough.
"""

import io
import itertools
import json
import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.errors import CacheMismatchError, StoreError
from ecgpipe.files import (
    USER_BLOCK_BYTES,
    checked_user_block,
    fsync_file,
    fsync_folder,
    make_folder,
    storing,
    temporary_beside,
)

FORMAT = "ecgpipe-archive/1"
_ROWS_AT_ONCE = 1 << 16
_SPARE_BYTES = 1 << 16  # more than HDF5 needs to add three datasets
_MEND = "Write it again: `ecgpipe predict MODEL INPUT... --vectors FILE`."

Vectors = npt.NDArray[np.float32]
Named = tuple[str, str]
"""A record's id and path."""


@dataclass(frozen=True)
class ArchiveOrigin:
    """What made an archive's vectors."""

    model: str
    model_digest: str
    contract: Mapping[str, Any]
    provenance: Mapping[str, Any]


def write_archive(
    path: Path,
    origin: ArchiveOrigin,
    shape: tuple[int, int],
    named: Callable[[], Iterable[Named]],
    blocks: Iterable[Vectors],
) -> None:
    """Write an archive, completely or not at all, without holding its vectors in memory.

    Args:
        path: the file; an existing one is replaced.
        origin: what made the vectors.
        shape: (N, D).
        named: called twice; the N records in the order of their vectors.
        blocks: (any, D) each, N rows together.

    Raises:
        StoreError: the disk is full or not writable.
    """
    temporary = temporary_beside(path)
    try:
        with storing(path):
            make_folder(path.parent)
            widths = [max(1, *lengths) for lengths in _lengths(named())]
            offsets = _lay_out(temporary, origin, shape, widths)
            with temporary.open("r+b") as file:
                _fill(file, offsets["vectors"], (block.astype("<f4") for block in blocks))
                _fill(file, offsets["record_ids"], _texts(named(), 0, widths[0]))
                _fill(file, offsets["paths"], _texts(named(), 1, widths[1]))
                file.flush()
            line = _first_line(temporary)
            with temporary.open("r+b") as file:
                file.write(line)
            fsync_file(temporary)
            temporary.replace(path)
            fsync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class Archive:
    """An archive that was opened and verified; its vectors stay on the disk."""

    path: Path
    origin: ArchiveOrigin
    _offset: int
    """Of the vectors in the file, in bytes."""

    _vectors_ND: Vectors
    _ids_N: npt.NDArray[np.bytes_]
    _paths_N: npt.NDArray[np.bytes_]

    def __len__(self) -> int:
        return len(self._ids_N)

    def vector(self, row: int) -> Vectors:
        """(D,) the vector of a record."""
        return np.array(self._vectors_ND[row])

    def blocks(self) -> Iterator[Vectors]:
        """All vectors, (any, D) at a time; each block is overwritten by the next.

        They are read and not mapped: a first look at every mapped page took four times as long.
        """
        if not len(self):
            return
        buffer = np.empty((min(_ROWS_AT_ONCE, len(self)), self._vectors_ND.shape[1]), "<f4")
        with self.path.open("rb") as file:
            file.seek(self._offset)
            for start in range(0, len(self), _ROWS_AT_ONCE):
                block = buffer[: len(self) - start]
                if file.readinto(block.view(np.uint8).data) != block.nbytes:
                    raise StoreError(f"{self.path} was shortened while it was read. {_MEND}")
                yield block

    def named(self, row: int) -> Named:
        """The id and path of a record."""
        return self._ids_N[row].decode(), self._paths_N[row].decode()

    def row_of(self, record_id: str) -> int | None:
        """The row of a record; None if the archive does not have it."""
        return self._row_of.get(_encoded(record_id))

    @cached_property
    def _row_of(self) -> dict[bytes, int]:
        return {name: row for row, name in enumerate(self._ids_N.tolist())}

    def closest(self, queries_QD: Vectors, k: int) -> tuple[Vectors, npt.NDArray[np.int64]]:
        """The k ECGs with the highest cosine to each query.

        Returns:
            (Q, k) cosines, best first, and (Q, k) rows; of equal cosines the lower row is first.
            k is at most N.
        """
        return closest(self.blocks(), queries_QD, k)


def read_archive(path: Path, model_digest: str | None = None) -> Archive:
    """Open an archive and check every byte of it.

    Args:
        path: the file.
        model_digest: of the model that will ask; None accepts any.

    Raises:
        StoreError: it is missing, damaged, or of another format.
        CacheMismatchError: another model made its vectors.
    """
    import h5py

    try:
        with path.open("rb") as file:
            begin = file.read(USER_BLOCK_BYTES)
        if begin[: len(FORMAT)] != FORMAT.encode():
            raise StoreError(f"{path} is no archive of ECG vectors ({FORMAT}). {_MEND}")
        if begin != _first_line(path):
            raise StoreError(f"{path} is damaged: its checksum does not match. {_MEND}")
        with h5py.File(path, "r") as file:
            said, offset = dict(file.attrs), _offset(file["vectors"])
            columns = [_mapped(path, file[name]) for name in ("vectors", "record_ids", "paths")]
    except FileNotFoundError:
        raise StoreError(f"{path} does not exist. {_MEND}") from None
    except (OSError, KeyError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}. {_MEND}") from error
    if model_digest is not None and said["model_digest"] != model_digest:
        raise CacheMismatchError(
            f"{path} holds vectors of another model ({said['model']}, {said['model_digest'][:12]};"
            f" this one is {model_digest[:12]}), and vectors of two models cannot be compared."
            f" {_MEND}"
        )
    origin = ArchiveOrigin(
        said["model"],
        said["model_digest"],
        json.loads(said["contract"]),
        json.loads(said["provenance"]),
    )
    return Archive(path, origin, offset, *columns)


def closest(
    blocks: Iterable[Vectors], queries_QD: Vectors, k: int
) -> tuple[Vectors, npt.NDArray[np.int64]]:
    """As `Archive.closest`, of any unit vectors, (any, D) at a time."""
    from threadpoolctl import threadpool_limits

    best = np.full((len(queries_QD), 0), -np.inf, np.float32)
    rows = np.zeros((len(queries_QD), 0), np.int64)
    start = 0
    # Memory is what limits it, so a second thread gains little, and on a busy machine threads that
    # wait for each other took ten times as long.
    with threadpool_limits(1, "blas"):
        for block in blocks:
            scores = (block @ queries_QD.T).T
            kept = _candidates(scores, k)
            best = np.hstack((best, scores[:, kept]))
            rows = np.hstack((rows, np.broadcast_to(kept + start, (len(queries_QD), len(kept)))))
            order = np.argsort(-best, axis=1, kind="stable")[:, :k]
            best = np.take_along_axis(best, order, axis=1)
            rows = np.take_along_axis(rows, order, axis=1)
            start += len(block)
    return best, rows


def _candidates(scores: Vectors, k: int) -> npt.NDArray[np.int64]:
    """The columns that may be among the best k of some row, with all ties."""
    if scores.shape[1] <= k:
        return np.arange(scores.shape[1])
    edge = np.partition(scores, -k, axis=1)[:, -k, None]
    return np.flatnonzero((scores >= edge).any(axis=0))


def _lay_out(
    path: Path, origin: ArchiveOrigin, shape: tuple[int, int], widths: Sequence[int]
) -> dict[str, int]:
    """Write all but the values; returns the offset of each dataset.

    HDF5 aborts the process on a full disk. So space is allocated before HDF5 creates a dataset.
    """
    import h5py

    memory = io.BytesIO()
    with h5py.File(memory, "w", userblock_size=USER_BLOCK_BYTES, libver=("v110", "v110")) as file:
        file.attrs["model"] = origin.model
        file.attrs["model_digest"] = origin.model_digest
        file.attrs["contract"] = json.dumps(origin.contract)
        file.attrs["provenance"] = json.dumps(origin.provenance)
    n, dim = shape
    columns = {
        "vectors": (shape, np.dtype("<f4"), 4 * dim),
        "record_ids": ((n,), h5py.string_dtype("utf-8", widths[0]), widths[0]),
        "paths": ((n,), h5py.string_dtype("utf-8", widths[1]), widths[1]),
    }
    image = memory.getvalue()
    with path.open("xb") as stream:
        stream.write(image.ljust(USER_BLOCK_BYTES, b"\0"))
        stream.flush()
        needed = len(image) + n * sum(size for _, _, size in columns.values()) + _SPARE_BYTES
        os.posix_fallocate(stream.fileno(), 0, needed)
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        for name, (extent, dtype, _) in columns.items():
            space = h5py.h5s.create_simple(extent)
            kind = h5py.h5t.py_create(dtype, logical=True)
            h5py.h5d.create(file.id, name.encode(), kind, space, dcpl=layout)
        return {name: _offset(file[name]) for name in columns}


def _offset(dataset: Any) -> int:
    return int(dataset.id.get_offset() or 0)


def _mapped(path: Path, dataset: Any) -> npt.NDArray[Any]:
    """A contiguous dataset's values in the file, read when they are needed."""
    if not len(dataset):
        return np.empty(dataset.shape, dataset.dtype)
    return np.memmap(path, dataset.dtype, "r", _offset(dataset), dataset.shape)


def _fill(file: io.BufferedRandom, offset: int, blocks: Iterable[npt.NDArray[Any]]) -> None:
    file.seek(offset)
    for block in blocks:
        file.write(np.ascontiguousarray(block).data)


def _lengths(named: Iterable[Named]) -> tuple[tuple[int, int], ...]:
    """The longest id and the longest path, in bytes, each with a 0 for no records."""
    longest = [0, 0]
    for pair in named:
        longest = [max(n, len(_encoded(text))) for n, text in zip(longest, pair, strict=True)]
    return (longest[0], 0), (longest[1], 0)


def _encoded(text: str) -> bytes:
    """UTF-8 even of a file name that is none, as from a disk with names in Shift-JIS."""
    return text.encode(errors="backslashreplace")


def _texts(named: Iterable[Named], which: int, width: int) -> Iterator[npt.NDArray[np.bytes_]]:
    remaining = iter(named)
    while part := [_encoded(pair[which]) for pair in itertools.islice(remaining, _ROWS_AT_ONCE)]:
        yield np.array(part, f"S{width}")


def _first_line(path: Path) -> bytes:
    """What the user block must be, from the bytes behind it."""
    with path.open("rb") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            with memoryview(content) as view, view[USER_BLOCK_BYTES:] as rest:
                return checked_user_block(FORMAT, rest)
