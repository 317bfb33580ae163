"""Exchanging vectors with other tools: one plain HDF5 file, `ecgpipe-export/1`.

Owns that file. h5py, MATLAB's h5read and R's rhdf5 read it without any of our code.

    vectors  (n, dim)  float32, or uint16 bfloat16 bit patterns on request
    key      (n,)      64 hex digits: SHA-256 of the exact text
    n_tokens (n,)      uint32
    was_cut  (n,)      uint8
    text     (n,)      UTF-8, only on request: it is report text

`read_export` needs only `vectors` and one of `key` and `text`, so that it also reads vectors made
by other programs.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from ecgpipe.cache.vectors.fingerprint import Fingerprint
from ecgpipe.cache.vectors.part import (
    KEY_BYTES,
    Attributes,
    VectorRows,
    as_bfloat16_bits,
    as_float32,
)
from ecgpipe.cache.vectors.reader import Rows, VectorCache
from ecgpipe.errors import CacheMismatchError, StoreError
from ecgpipe.files import (
    fsync_file,
    fsync_folder,
    make_folder,
    sha256_bytes,
    storing,
    temporary_beside,
)

FORMAT = "ecgpipe-export/1"
_BLOCK_ROWS = 4096
_SPARE_BYTES = 1 << 16
"""More than HDF5 needs to add one dataset."""


def write_export(
    path: Path,
    cache: VectorCache,
    rows: Rows,
    texts: Mapping[bytes, str] | None,
    bits: bool,
    made_by: Attributes,
) -> None:
    """Write vectors into one file, complete or not at all.

    Args:
        path: the new file; it must not exist.
        cache: the source of the vectors.
        rows: which of its rows, in this order.
        texts: by key, to write next to the vectors; None writes no text.
        bits: bfloat16 bit patterns as they are stored, instead of float32.
        made_by: provenance, stored as attributes.

    Raises:
        StoreError: the file exists, the disk is full or not writable, or a row is damaged.
    """
    if path.exists():
        raise StoreError(f"{path} already exists and is not overwritten. Choose another name.")
    temporary = temporary_beside(path)
    try:
        with storing(path):
            make_folder(path.parent)
            offset = _lay_out(temporary, cache, rows, texts, bits, made_by)
            _fill(temporary, offset, cache, rows, bits)
            fsync_file(temporary)
            temporary.rename(path)
            fsync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def read_export(path: Path, fingerprint: Fingerprint) -> VectorRows:
    """Read the vectors of a file, ready to be added to the cache of `fingerprint`.

    Raises:
        StoreError: the file is missing, lacks `vectors` or both `key` and `text`, its shapes do not
            match, a key is malformed, or a value is not finite.
        CacheMismatchError: it was made under another fingerprint.
    """
    try:
        with h5py.File(path, "r") as file:
            _check_origin(path, file, fingerprint)
            vectors = _vectors_in(file, str(fingerprint.fields["dtype"]))
            keys = _keys_in(file, len(vectors))
            n_tokens = _column(file, "n_tokens", len(vectors)).astype(np.uint32)
            was_cut = _column(file, "was_cut", len(vectors)).astype(np.bool_)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise StoreError(f"{path} cannot be imported: {error}") from error
    return VectorRows(vectors, keys, n_tokens, was_cut)


def _lay_out(
    path: Path,
    cache: VectorCache,
    rows: Rows,
    texts: Mapping[bytes, str] | None,
    bits: bool,
    made_by: Attributes,
) -> int:
    """Write everything but the vectors; returns the offset at which those begin.

    HDF5 aborts the process on a full disk. So the rest is made in memory, and space for the vectors
    is allocated before HDF5 creates their dataset.
    """
    dtype = np.dtype("<u2" if bits else "<f4")
    shape = (len(rows), cache.dim if len(rows) else 0)
    with path.open("xb") as file:
        file.write(_image_without_vectors(cache, rows, texts, bits, made_by))
        file.flush()
        needed = file.tell() + shape[0] * shape[1] * dtype.itemsize + _SPARE_BYTES
        os.posix_fallocate(file.fileno(), 0, needed)
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    with h5py.File(path, "r+") as file:
        space = h5py.h5s.create_simple(shape)
        kind = h5py.h5t.STD_U16LE if bits else h5py.h5t.IEEE_F32LE
        h5py.h5d.create(file.id, b"vectors", kind, space, dcpl=layout)
        return int(file["vectors"].id.get_offset() or 0)


def _image_without_vectors(
    cache: VectorCache,
    rows: Rows,
    texts: Mapping[bytes, str] | None,
    bits: bool,
    made_by: Attributes,
) -> bytes:
    keys = cache.keys[rows]
    name = f"export-{secrets.token_hex(8)}"
    with h5py.File(name, "w", driver="core", backing_store=False) as file:
        file["key"] = np.array([key.tobytes().hex() for key in keys], "S64")
        file["n_tokens"] = cache.n_tokens(rows)
        file["was_cut"] = cache.was_cut(keys).astype(np.uint8)
        if texts is not None:
            words = [texts[key.tobytes()] for key in keys]
            file.create_dataset("text", data=words, dtype=h5py.string_dtype())
        fields = cache.fingerprint
        file.attrs.update(
            {
                **made_by,
                "format": FORMAT,
                "encoding": "bfloat16-bits-le" if bits else "float32-le",
                "fingerprint": fields.digest,
                "fingerprint_json": fields.as_json(),
            }
        )
        file.flush()
        return bytes(file.id.get_file_image())


def _fill(path: Path, offset: int, cache: VectorCache, rows: Rows, bits: bool) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = cache.gather(rows[start : start + _BLOCK_ROWS])
            values = block.astype("<u2") if bits else as_float32(block).astype("<f4")
            file.write(values.tobytes())


def _check_origin(path: Path, file: h5py.File, fingerprint: Fingerprint) -> None:
    found = file.attrs.get("fingerprint")
    if found is None and "imported" not in fingerprint.fields:
        raise CacheMismatchError(
            f"{path} does not say which model made its vectors, so they cannot be mixed with those"
            " of text.model. Give them a name of their own: text.model: imported:NAME."
        )
    if found is not None and found != fingerprint.digest:
        raise CacheMismatchError(
            f"{path} holds vectors of fingerprint {str(found)[:16]}, but these settings need"
            f" {fingerprint.short}. `ecgpipe embed --explain` shows what a fingerprint covers."
        )


def _vectors_in(file: h5py.File, dtype: str) -> npt.NDArray[Any]:
    stored = file["vectors"][:]
    if stored.ndim != 2 or stored.shape[1] == 0:
        raise ValueError(f"`vectors` has the shape {stored.shape}, not (texts, width).")
    values = as_float32(stored) if stored.dtype == np.uint16 else stored.astype(np.float32)
    if stored.dtype.kind not in "fu" or (stored.dtype.kind == "u" and stored.dtype != np.uint16):
        raise ValueError(f"`vectors` is {stored.dtype}, not float or bfloat16 bits (uint16).")
    if not np.isfinite(values).all():
        raise ValueError("`vectors` holds NaN or infinity.")
    if dtype == "float32":
        return values
    bits = as_bfloat16_bits(values)
    if "fingerprint" in file.attrs and not np.array_equal(as_float32(bits), values):
        raise ValueError("its vectors have changed since they were exported.")
    return bits


def _keys_in(file: h5py.File, n_rows: int) -> npt.NDArray[np.uint8]:
    if "text" in file:
        texts = [bytes(text) for text in file["text"][:]]
        digests = [sha256_bytes(text) for text in texts]
        if "key" in file and digests != [bytes(key).decode() for key in file["key"][:]]:
            raise ValueError("a `key` is not the SHA-256 of its `text`.")
    elif "key" in file:
        digests = [bytes(key).decode("ascii") for key in file["key"][:]]
    else:
        raise ValueError("it has neither `key` nor `text`, so its vectors cannot be assigned.")
    joined = b"".join(bytes.fromhex(digest) for digest in digests)
    if len(digests) != n_rows or len(joined) != n_rows * KEY_BYTES:
        raise ValueError(f"it has {n_rows} vectors and {len(digests)} keys of 64 hex digits.")
    return np.frombuffer(joined, np.uint8).reshape(n_rows, KEY_BYTES)


def _column(file: h5py.File, name: str, n_rows: int) -> npt.NDArray[Any]:
    values = file[name][:] if name in file else np.zeros(n_rows, np.uint32)
    if values.shape != (n_rows,):
        raise ValueError(f"`{name}` has the shape {values.shape}, not ({n_rows},).")
    return np.asarray(values)
