"""The archive of ECG vectors: what is written is found again, by us and by others."""

import time
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import pytest
from sklearn.neighbors import NearestNeighbors

from ecgpipe.apply_model.archive import (
    Archive,
    ArchiveOrigin,
    closest,
    read_archive,
    write_archive,
)
from ecgpipe.errors import CacheMismatchError, StoreError

ORIGIN = ArchiveOrigin("ptbxl", "ab" * 32, {"rate_hz": 500}, {"ecgpipe": "0"})


def unit(n: int, dim: int = 16, seed: int = 0) -> npt.NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def written(path: Path, vectors: npt.NDArray[np.float32]) -> Archive:
    named = [(f"心電図{n}", f"ecg/{n}.xml") for n in range(len(vectors))]
    blocks = [vectors[start : start + 7] for start in range(0, len(vectors), 7)]
    write_archive(path, ORIGIN, vectors.shape, lambda: named, blocks)
    return read_archive(path)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    vectors = unit(100)
    archive = written(tmp_path / "a.h5", vectors)
    assert np.array_equal(np.concatenate([b.copy() for b in archive.blocks()]), vectors)
    assert np.array_equal(archive.vector(17), vectors[17])
    assert archive.named(17) == ("心電図17", "ecg/17.xml")
    assert archive.row_of("心電図17") == 17
    assert archive.row_of("nobody") is None
    assert archive.origin == ORIGIN


def test_h5py_alone_reads_it(tmp_path: Path) -> None:
    vectors = unit(50)
    written(tmp_path / "a.h5", vectors)
    with h5py.File(tmp_path / "a.h5") as file:
        assert np.array_equal(file["vectors"][:], vectors)
        assert file["record_ids"].asstr()[3] == "心電図3"
        assert file["paths"].asstr()[49] == "ecg/49.xml"
        assert file.attrs["model_digest"] == ORIGIN.model_digest


def test_a_file_name_that_is_no_utf8_is_kept_readable(tmp_path: Path) -> None:
    name = b"\x83e\x83X.npy".decode(errors="surrogateescape")  # テス in Shift-JIS
    vectors = unit(1)
    write_archive(tmp_path / "a.h5", ORIGIN, vectors.shape, lambda: [(name, name)], [vectors])
    archive = read_archive(tmp_path / "a.h5")
    assert archive.named(0) == (r"\udc83e\udc83X.npy",) * 2
    assert archive.row_of(name) == 0


def test_an_archive_of_no_ecgs_is_whole_too(tmp_path: Path) -> None:
    archive = written(tmp_path / "a.h5", unit(0))
    scores, rows = archive.closest(unit(1), 5)
    assert scores.shape == rows.shape == (1, 0)


def test_the_closest_are_those_of_another_implementation(tmp_path: Path) -> None:
    vectors, queries = unit(5000), unit(4, seed=1)
    archive = written(tmp_path / "a.h5", vectors)
    scores, rows = archive.closest(queries, 10)
    distances, expected = (
        NearestNeighbors(n_neighbors=10, metric="cosine").fit(vectors).kneighbors(queries)
    )
    assert np.array_equal(rows, expected)
    assert scores == pytest.approx(1 - distances, abs=1e-6)


def test_more_than_one_block_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, queries = unit(1000), unit(3, seed=1)
    archive = written(tmp_path / "a.h5", vectors)
    whole = archive.closest(queries, 20)
    monkeypatch.setattr("ecgpipe.apply_model.archive._ROWS_AT_ONCE", 64)
    parts = archive.closest(queries, 20)
    assert np.array_equal(parts[1], whole[1])


def test_of_equal_ecgs_the_first_is_first_in_any_block() -> None:
    blocks = [np.repeat(unit(1), 8, axis=0)] * 6
    assert closest(blocks, unit(1), 12)[1].tolist() == [list(range(12))]


def test_more_are_wanted_than_there_are() -> None:
    assert closest([unit(3)], unit(1), 10)[1].shape == (1, 3)


def test_an_archive_of_another_model_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "a.h5", unit(3))
    with pytest.raises(CacheMismatchError, match=r"another model \(ptbxl, abababababab"):
        read_archive(tmp_path / "a.h5", "cd" * 32)
    assert len(read_archive(tmp_path / "a.h5", ORIGIN.model_digest)) == 3


@pytest.mark.parametrize("place", [20, 600, 2100, -5])
def test_a_flipped_bit_anywhere_is_noticed(tmp_path: Path, place: int) -> None:
    path = tmp_path / "a.h5"
    written(path, unit(30))
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        read_archive(path)


def test_another_file_and_a_missing_one_are_told(tmp_path: Path) -> None:
    other = tmp_path / "x.h5"
    with h5py.File(other, "w") as file:
        file["vectors"] = unit(3)
    with pytest.raises(StoreError, match="no archive of ECG vectors"):
        read_archive(other)
    with pytest.raises(StoreError, match="does not exist"):
        read_archive(tmp_path / "none.h5")
    (tmp_path / "empty.h5").write_bytes(b"")
    with pytest.raises(StoreError, match="no archive"):
        read_archive(tmp_path / "empty.h5")


@pytest.mark.slow
def test_a_million_ecgs_are_searched_within_a_second(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def blocks() -> npt.NDArray[np.float32]:
        vectors = rng.standard_normal((100_000, 128), np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    path = tmp_path / "a.h5"
    write_archive(
        path,
        ORIGIN,
        (1_000_000, 128),
        lambda: ((f"{n:08}", f"records/{n:08}") for n in range(1_000_000)),
        (blocks() for _ in range(10)),
    )
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        archive = read_archive(path, ORIGIN.model_digest)
        archive.closest(unit(1, 128), 20)
        seconds.append(time.perf_counter() - start)
    print(f"a million vectors of 128: {min(seconds):.2f} s to open, verify and search")
    assert min(seconds) <= 1
