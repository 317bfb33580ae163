"""One sealed part file of the text-vector format `ecgpipe-embed/1`.

A part is an immutable HDF5 file: built in memory, written under a temporary name, synced, renamed,
and never opened for writing again. Appending to HDF5, even with flush and fsync after each batch,
left the whole file unreadable at 9 % of the points where a writer can be killed. Superblock
version 3 (libver v110) checksums HDF5's own metadata; row checksums cover vectors and keys.

    vec   (rows, dim)  <u2 bfloat16 bit patterns, or <f4
    key   (rows, 32)   u1   SHA-256 of the exact UTF-8 prompt bytes
    sum   (rows,)      <u8  xxh3-64 of the row's vector bytes followed by its key
    ntok  (rows,)      <u4  tokens of the text
    flags (rows,)      u1   1: the text was cut at the length limit

The attribute `columns_sum` is a checksum of key, sum, ntok and flags, and is itself covered by
HDF5's checksum of its metadata: so every byte of a part is covered. Text attributes have a fixed
length: HDF5 keeps those of variable length in a global heap without a checksum, and one flipped bit
there sends its library into an endless loop.

Owns the layout of a part. Must not know which parts make a cache: that is `reader`.
"""

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import xxhash

from ecgpipe.cache.vectors.fingerprint import Fingerprint
from ecgpipe.errors import CacheMismatchError, StoreError

FORMAT = "ecgpipe-embed/1"
KEY_BYTES = 32
FLAG_CUT = 1
ENCODINGS: dict[str, np.dtype[np.generic]] = {
    "bfloat16-bits-le": np.dtype("<u2"),
    "float32-le": np.dtype("<f4"),
}

_SUMMED = ("key", "sum", "ntok", "flags")

_REMAKE_HINT = (
    "Run `ecgpipe verify`, which moves the file aside, and `ecgpipe embed`: only its texts are"
    " embedded again."
)

Attributes = Mapping[str, str | int]


@dataclass(frozen=True)
class VectorRows:
    """Vectors as they are stored, with their keys; all arrays have the same length."""

    vectors: npt.NDArray[np.uint16] | npt.NDArray[np.float32]
    """(rows, dim), bfloat16 bit patterns or float32."""

    keys: npt.NDArray[np.uint8]
    """(rows, 32)."""

    n_tokens: npt.NDArray[np.uint32]
    """(rows,)."""

    was_cut: npt.NDArray[np.bool_]
    """(rows,)."""

    def chosen(self, which: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> "VectorRows":
        """Some of the rows, by a mask or by their places."""
        return VectorRows(
            self.vectors[which], self.keys[which], self.n_tokens[which], self.was_cut[which]
        )

    @staticmethod
    def joined(batches: Sequence["VectorRows"]) -> "VectorRows":
        """The rows of one or more batches, one after the other."""
        return VectorRows(
            np.concatenate([batch.vectors for batch in batches]),
            np.concatenate([batch.keys for batch in batches]),
            np.concatenate([batch.n_tokens for batch in batches]),
            np.concatenate([batch.was_cut for batch in batches]),
        )


@dataclass(frozen=True)
class Part:
    """An open, intact part file; the vectors stay on disk, memory-mapped."""

    path: Path
    rows: VectorRows
    sums: npt.NDArray[np.uint64]


def part_image(rows: VectorRows, fingerprint: Fingerprint, made_by: Attributes) -> bytes:
    """The bytes of a part file. The same input gives the same bytes.

    Args:
        rows: what to store.
        fingerprint: what the vectors depend on; stored in the file.
        made_by: provenance, stored as attributes.

    Raises:
        StoreError: a vector holds NaN or infinity. Such a vector is never stored.
    """
    if not finite_rows(rows.vectors).all():
        raise StoreError("A text vector holds NaN or infinity, so its part was not written.")
    # The name lives only in HDF5's table of open files; it must be unique within the process.
    with h5py.File(
        f"part-{secrets.token_hex(8)}",
        "w",
        driver="core",
        backing_store=False,
        libver=("v110", "v110"),
    ) as file:
        columns = _datasets(rows)
        for name, data in columns.items():
            file.create_dataset(name, data=data, track_times=False)
        sums = {"columns_sum": _columns_sum(*(columns[name] for name in _SUMMED))}
        for name, value in (sums | _attributes(rows, fingerprint, made_by)).items():
            file.attrs[name] = value if isinstance(value, int) else _fixed_length(value)
        file.flush()
        return bytes(file.id.get_file_image())


def read_part(path: Path, fingerprint: Fingerprint) -> Part:
    """Open a part and check that it is complete, of our format, and of `fingerprint`.

    Checksums and token counts are read and checked; keys and vectors are mapped. Rows are checked
    when vectors are read (`check_sums`).

    Raises:
        StoreError: not a readable part file, too short, or changed since it was sealed.
        CacheMismatchError: it was made under another fingerprint.
        FileNotFoundError: it no longer exists; another process compacted the cache.
    """
    try:
        # Part files never change, so no lock is needed; some cluster file systems refuse locks.
        with h5py.File(path, "r", locking=False) as file:
            attributes = _read_attributes(file)
            _check_header(path, attributes, fingerprint)
            return _open_rows(path, file, attributes)
    except FileNotFoundError:
        raise
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise StoreError(
            f"{path} is damaged or not a text-vector part ({error}). {_REMAKE_HINT}"
        ) from error


def row_sum(vector: npt.NDArray[np.generic], key: npt.NDArray[np.uint8]) -> int:
    """xxh3-64 of one row's vector bytes followed by its key."""
    hasher = xxhash.xxh3_64(np.ascontiguousarray(vector).view(np.uint8).data)
    hasher.update(np.ascontiguousarray(key).data)
    return hasher.intdigest()


def check_sums(part: Part, positions: npt.NDArray[np.int64]) -> None:
    """Raise StoreError if any of these rows differs from what was sealed."""
    for position in positions:
        stored = int(part.sums[position])
        if row_sum(part.rows.vectors[position], part.rows.keys[position]) != stored:
            raise StoreError(
                f"{part.path}, row {position}: the vector differs from what was sealed (bit rot, or"
                f" the file was changed). {_REMAKE_HINT}"
            )


def as_float32(
    vectors: npt.NDArray[np.uint16] | npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    """Stored vectors as float32; bfloat16 is the upper half of a float32, so this is exact."""
    if vectors.dtype == np.uint16:
        widened: npt.NDArray[np.float32] = (vectors.astype(np.uint32) << 16).view(np.float32)
        return widened
    return vectors.astype(np.float32, copy=False)


def as_bfloat16_bits(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """float32 as bfloat16 bit patterns, rounded to nearest, ties to even; finite values only."""
    bits = np.ascontiguousarray(vectors, np.float32).view(np.uint32)
    rounding = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    rounded: npt.NDArray[np.uint16] = ((bits + rounding) >> np.uint32(16)).astype(np.uint16)
    return rounded


def as_stored(
    vectors: npt.NDArray[np.float32], dtype: str
) -> npt.NDArray[np.uint16] | npt.NDArray[np.float32]:
    """float32 vectors as they are stored: bfloat16 bits, rounded to nearest even, or float32.

    NaN and infinity become NaN or stay, so that the writer refuses them.
    """
    if dtype == "float32":
        return vectors
    bits = as_bfloat16_bits(vectors)
    bits[~np.isfinite(vectors)] = 0x7FC0
    return bits


def finite_rows(
    vectors: npt.NDArray[np.uint16] | npt.NDArray[np.float32],
) -> npt.NDArray[np.bool_]:
    """Which rows hold neither NaN nor infinity."""
    return np.asarray(np.isfinite(as_float32(vectors)).all(axis=1))


def _datasets(rows: VectorRows) -> dict[str, npt.NDArray[np.generic]]:
    sums = [row_sum(vector, key) for vector, key in zip(rows.vectors, rows.keys, strict=True)]
    return {
        "vec": rows.vectors.astype(ENCODINGS[_encoding(rows.vectors.dtype)], copy=False),
        "key": rows.keys,
        "sum": np.array(sums, "<u8"),
        "ntok": rows.n_tokens.astype("<u4"),
        "flags": (rows.was_cut * FLAG_CUT).astype("u1"),
    }


def _columns_sum(*columns: npt.NDArray[np.generic]) -> str:
    hasher = xxhash.xxh3_64()
    for column in columns:
        hasher.update(np.ascontiguousarray(column).view(np.uint8).data)
    return hasher.hexdigest()


def _attributes(
    rows: VectorRows, fingerprint: Fingerprint, made_by: Attributes
) -> dict[str, str | int]:
    return {
        **made_by,
        "format": FORMAT,
        "encoding": _encoding(rows.vectors.dtype),
        "rows": len(rows.keys),
        "dim": rows.vectors.shape[1],
        "fingerprint": fingerprint.digest,
        "fingerprint_json": fingerprint.as_json(),
    }


def _fixed_length(text: str) -> npt.NDArray[Any]:
    encoded = text.encode()
    return np.array(encoded, h5py.string_dtype("utf-8", max(1, len(encoded))))


def _read_attributes(file: h5py.File) -> dict[str, Any]:
    """Those attributes that a reader needs, as far as there are any; none is read from the heap.

    Raises:
        TypeError: one is a string of variable length.
    """
    found: dict[str, Any] = {}
    for name in ("format", "fingerprint", "encoding", "rows", "dim", "columns_sum"):
        if name not in file.attrs:
            continue
        kind = file.attrs.get_id(name).get_type()
        if isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str():
            raise TypeError(f"its attribute {name} is a string of variable length")
        value = file.attrs[name]
        found[name] = value.decode() if isinstance(value, bytes) else value
    return found


def _encoding(dtype: np.dtype[np.generic]) -> str:
    return next(name for name, stored in ENCODINGS.items() if stored == dtype)


def _check_header(path: Path, attributes: Mapping[str, Any], fingerprint: Fingerprint) -> None:
    if attributes.get("format") != FORMAT:
        raise StoreError(f"{path} is of format {attributes.get('format')!r}, not {FORMAT!r}.")
    if attributes["fingerprint"] != fingerprint.digest:
        raise CacheMismatchError(
            f"{path} holds vectors of fingerprint {str(attributes['fingerprint'])[:16]}, but its"
            f" folder is for {fingerprint.short}. It was copied to the wrong place: move it away."
        )


def _open_rows(path: Path, file: h5py.File, attributes: Mapping[str, Any]) -> Part:
    n_rows, dim = int(attributes["rows"]), int(attributes["dim"])
    dtype = ENCODINGS[attributes["encoding"]]
    shapes = {"vec": (n_rows, dim), "key": (n_rows, KEY_BYTES)}
    # The low-level API: h5py's lookups by name take 2 ms per part, and there are hundreds of parts.
    datasets = {name: h5py.h5d.open(file.id, name.encode()) for name in ("vec", *_SUMMED)}
    if datasets["vec"].dtype != dtype or any(
        dataset.shape != shapes.get(name, (n_rows,)) for name, dataset in datasets.items()
    ):
        raise ValueError("its datasets do not match its header")
    whole = np.asarray(np.memmap(path, np.uint8, "r"))
    vectors, keys, *others = (_mapped(whole, dataset) for dataset in datasets.values())
    sums, n_tokens, flags = (np.array(column) for column in others)
    if _columns_sum(keys, sums, n_tokens, flags) != attributes["columns_sum"]:
        raise ValueError("its keys or counts differ from what was sealed")
    rows = VectorRows(vectors, keys, n_tokens, flags & FLAG_CUT == FLAG_CUT)
    return Part(path, rows, sums)


def _mapped(whole: npt.NDArray[np.uint8], dataset: h5py.h5d.DatasetID) -> npt.NDArray[Any]:
    """A contiguous dataset in the mapped file; its pages take no memory until they are read."""
    shape, dtype, offset = dataset.shape, dataset.dtype, dataset.get_offset()
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes == 0:
        return np.empty(shape, dtype)
    if offset is None or len(whole) < offset + n_bytes:
        raise ValueError("it is shorter than its header says")
    mapped: npt.NDArray[Any] = whole[offset : offset + n_bytes].view(dtype).reshape(shape)
    return mapped
