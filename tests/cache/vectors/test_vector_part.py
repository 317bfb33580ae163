"""Sealed part files: same input same bytes, anything else is refused."""

import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import xxhash

from ecgpipe.cache.vectors.fingerprint import Fingerprint
from ecgpipe.cache.vectors.part import (
    VectorRows,
    as_bfloat16_bits,
    as_float32,
    as_stored,
    check_sums,
    finite_rows,
    part_image,
    read_part,
    row_sum,
)
from ecgpipe.errors import CacheMismatchError, StoreError

FINGERPRINT = Fingerprint({"weights": "w", "pooling": "mean"})


def rows(n: int = 20, dim: int = 16, seed: int = 0) -> VectorRows:
    rng = np.random.default_rng(seed)
    values = torch.from_numpy(rng.normal(size=(n, dim))).to(torch.bfloat16)
    bits = values.view(torch.int16).numpy().view(np.uint16)
    keys = rng.integers(0, 256, (n, 32), np.uint8)
    return VectorRows(bits, keys, np.arange(n, dtype=np.uint32), np.arange(n) % 3 == 0)


def write(path: Path, content: VectorRows) -> Path:
    path.write_bytes(part_image(content, FINGERPRINT, {"host": "h"}))
    return path


def test_a_part_reads_back_bit_for_bit(tmp_path: Path) -> None:
    content = rows()
    part = read_part(write(tmp_path / "part-a.h5", content), FINGERPRINT)
    assert np.array_equal(part.rows.vectors, content.vectors)
    assert np.array_equal(part.rows.keys, content.keys)
    assert np.array_equal(part.rows.n_tokens, content.n_tokens)
    assert np.array_equal(part.rows.was_cut, content.was_cut)
    check_sums(part, np.arange(len(content.keys)))


def test_the_same_rows_give_the_same_bytes() -> None:
    assert part_image(rows(), FINGERPRINT, {"host": "h"}) == part_image(
        rows(), FINGERPRINT, {"host": "h"}
    )


def test_a_part_is_plain_hdf5_that_others_read_without_us(tmp_path: Path) -> None:
    content = rows(3, 4)
    with h5py.File(write(tmp_path / "part-a.h5", content), "r") as file:
        assert file.attrs["encoding"] == b"bfloat16-bits-le"
        bits = torch.from_numpy(file["vec"][:].view(np.int16))
        values = bits.view(torch.bfloat16).float().numpy()
        assert np.array_equal(values, as_float32(content.vectors))
        # The row sum as storage notes and documentation state it, by the reference library.
        joined = file["vec"][1].tobytes() + file["key"][1].tobytes()
        assert file["sum"][1] == xxhash.xxh3_64_intdigest(joined)


def test_metadata_has_the_checksummed_superblock(tmp_path: Path) -> None:
    image = write(tmp_path / "part-a.h5", rows()).read_bytes()
    assert image[:8] == b"\x89HDF\r\n\x1a\n"
    assert image[8] == 3  # superblock version 3: HDF5 checks its own metadata


def test_float32_vectors_stay_float32(tmp_path: Path) -> None:
    content = VectorRows(
        np.array([[1.1, -2.7]], np.float32),
        np.zeros((1, 32), np.uint8),
        np.ones(1, np.uint32),
        np.zeros(1, np.bool_),
    )
    part = read_part(write(tmp_path / "part-a.h5", content), FINGERPRINT)
    assert part.rows.vectors.dtype == np.float32
    assert np.array_equal(as_float32(part.rows.vectors), content.vectors)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_is_never_stored(bad: float) -> None:
    content = rows()
    vectors = as_float32(content.vectors).copy()
    vectors[7, 3] = bad
    broken = VectorRows(vectors, content.keys, content.n_tokens, content.was_cut)
    with pytest.raises(StoreError, match="holds NaN or infinity"):
        part_image(broken, FINGERPRINT, {})


def test_a_part_of_another_fingerprint_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "part-a.h5", rows())
    with pytest.raises(CacheMismatchError, match="wrong place"):
        read_part(path, Fingerprint({"weights": "w", "pooling": "last_token"}))


@pytest.mark.parametrize("keep", [0, 7, 500, 2048, 2600, -1])
def test_a_truncated_part_is_refused(tmp_path: Path, keep: int) -> None:
    path = write(tmp_path / "part-a.h5", rows())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(StoreError, match="only its texts are embedded again"):
        read_part(path, FINGERPRINT)


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "part-a.h5"
    with h5py.File(path, "w") as file:
        file["vec"] = np.zeros((3, 4), np.uint16)
    with pytest.raises(StoreError, match="not 'ecgpipe-embed/1'"):
        read_part(path, FINGERPRINT)


def test_no_single_bit_flip_is_read_as_good(tmp_path: Path) -> None:
    content = rows(8, 24)
    image = bytearray(part_image(content, FINGERPRINT, {"host": "h"}))
    rng = np.random.default_rng(1)
    path = tmp_path / "part-a.h5"
    harmless = 0
    for position in rng.choice(len(image) * 8, 1000, replace=False):
        flipped = bytearray(image)
        flipped[position // 8] ^= 1 << (position % 8)
        path.write_bytes(flipped)
        try:
            part = read_part(path, FINGERPRINT)
            check_sums(part, np.arange(len(part.rows.keys)))
        except StoreError:
            continue
        harmless += 1
        assert np.array_equal(part.rows.vectors, content.vectors)
        assert np.array_equal(part.rows.keys, content.keys)
        assert np.array_equal(part.rows.n_tokens, content.n_tokens)
        assert np.array_equal(part.rows.was_cut, content.was_cut)
    assert harmless < 100  # HDF5 leaves room between its blocks; all else is checked


def test_text_in_hdf5s_unchecked_heap_is_not_read(tmp_path: Path) -> None:
    """A flipped bit there sends HDF5 into an endless loop."""
    path = write(tmp_path / "part-a.h5", rows())
    with h5py.File(path, "r+") as file:
        file.attrs["fingerprint"] = FINGERPRINT.digest  # of variable length, as h5py writes it
    with pytest.raises(StoreError, match="fingerprint is a string of variable length"):
        read_part(path, FINGERPRINT)


def test_bfloat16_bits_widen_exactly() -> None:
    bits = np.array([[0x3F80, 0xC000, 0x0001]], np.uint16)
    smallest = struct.unpack("<f", struct.pack("<I", 0x0001 << 16))[0]
    assert as_float32(bits).tolist() == [[1.0, -2.0, smallest]]


def test_rounding_to_bfloat16_is_torchs() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**32, 200_000, np.uint32).view(np.float32)
    values = values[np.isfinite(values)]
    expected = torch.from_numpy(values).to(torch.bfloat16).view(torch.int16).numpy()
    assert np.array_equal(as_bfloat16_bits(values), expected.view(np.uint16))


def test_what_is_not_finite_stays_so_when_stored() -> None:
    values = np.array([[np.nan, np.inf], [1.0, 3e38], [1.0, 3.4e38]], np.float32)
    for dtype in ("bfloat16", "float32"):
        finite = finite_rows(as_stored(values, dtype))
        # The largest float32 rounds to infinity in bfloat16, and must not pass for a number.
        assert finite.tolist() == [False, True, dtype == "float32"]


def test_the_sum_covers_the_key() -> None:
    vector, key = np.zeros(4, np.uint16), np.zeros(32, np.uint8)
    other = key.copy()
    other[31] = 1
    assert row_sum(vector, key) != row_sum(vector, other)
