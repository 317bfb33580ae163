"""One plain file for others, and from others."""

import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from vector_rows import FINGERPRINT

from ecgpipe.cache.vectors.exchange import read_export, write_export
from ecgpipe.cache.vectors.fingerprint import Fingerprint
from ecgpipe.cache.vectors.part import VectorRows, as_float32, as_stored
from ecgpipe.cache.vectors.reader import VectorCache
from ecgpipe.cache.vectors.writer import VectorWriter
from ecgpipe.embed_text.prompts import keys_of
from ecgpipe.errors import CacheMismatchError, StoreError

TEXTS = [f"この心電図は所見{number}を示しています。" for number in range(9)]
OURS = Fingerprint({"weights": "w", "pooling": "mean", "dtype": "bfloat16"})
THEIRS = Fingerprint({"imported": "api", "dtype": "float32"})


@pytest.fixture
def cache(tmp_path: Path) -> VectorCache:
    values = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    cut = np.arange(9) % 4 == 0
    rows = VectorRows(
        as_stored(values, "bfloat16"), keys_of(TEXTS), np.arange(9, dtype=np.uint32), cut
    )
    writer = VectorWriter(tmp_path / "e", OURS, {})
    writer.add(rows)
    writer.seal()
    return VectorCache.open(tmp_path / "e", OURS)


def exported(cache: VectorCache, path: Path, texts: bool = False, bits: bool = False) -> Path:
    named = {key.tobytes(): text for key, text in zip(keys_of(TEXTS), TEXTS, strict=True)}
    rows = cache.rows(keys_of(TEXTS))
    write_export(path, cache, rows, named if texts else None, bits, {"host": "h"})
    return path


def test_others_read_it_without_us(cache: VectorCache, tmp_path: Path) -> None:
    with h5py.File(exported(cache, tmp_path / "x.h5", texts=True), "r") as file:
        assert file["vectors"].dtype == np.float32
        assert np.array_equal(file["vectors"][:], cache.vectors(keys_of(TEXTS)))
        assert [text.decode() for text in file["text"][:]] == TEXTS
        assert file["key"][3].decode() == hashlib.sha256(TEXTS[3].encode()).hexdigest()
        assert file["n_tokens"][:].tolist() == list(range(9))
        assert file["was_cut"][:].tolist() == [1, 0, 0, 0, 1, 0, 0, 0, 1]
        assert file.attrs["fingerprint"] == OURS.digest
    # The oldest superblock, which every HDF5 since 1.0 reads: MATLAB's and R's among them.
    assert (tmp_path / "x.h5").read_bytes()[8] == 0


def test_bits_are_the_models_own_bfloat16(cache: VectorCache, tmp_path: Path) -> None:
    with h5py.File(exported(cache, tmp_path / "x.h5", bits=True), "r") as file:
        assert file.attrs["encoding"] == "bfloat16-bits-le"
        values = torch.from_numpy(file["vectors"][:].view(np.int16)).view(torch.bfloat16)
    assert np.array_equal(values.float().numpy(), cache.vectors(keys_of(TEXTS)))


def test_texts_are_written_only_when_asked_for(cache: VectorCache, tmp_path: Path) -> None:
    content = exported(cache, tmp_path / "x.h5").read_bytes()
    assert "心電図".encode() not in content


def test_a_file_that_is_there_is_not_overwritten(cache: VectorCache, tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_text("mine")
    with pytest.raises(StoreError, match="not overwritten"):
        exported(cache, tmp_path / "x.h5")
    assert (tmp_path / "x.h5").read_text() == "mine"


@pytest.mark.parametrize("bits", [False, True])
@pytest.mark.parametrize("texts", [False, True])
def test_an_export_comes_back_bit_for_bit(
    cache: VectorCache, tmp_path: Path, texts: bool, bits: bool
) -> None:
    rows = read_export(exported(cache, tmp_path / "x.h5", texts, bits), OURS)
    assert np.array_equal(as_float32(rows.vectors), cache.vectors(keys_of(TEXTS)))
    assert rows.vectors.dtype == np.uint16
    assert np.array_equal(rows.keys, keys_of(TEXTS))
    assert rows.was_cut.tolist() == cache.was_cut(keys_of(TEXTS)).tolist()


def test_vectors_of_another_model_are_refused(cache: VectorCache, tmp_path: Path) -> None:
    path = exported(cache, tmp_path / "x.h5")
    with pytest.raises(CacheMismatchError, match="--explain"):
        read_export(path, FINGERPRINT)


def test_changed_vectors_of_ours_are_refused(cache: VectorCache, tmp_path: Path) -> None:
    path = exported(cache, tmp_path / "x.h5")
    with h5py.File(path, "r+") as file:
        file["vectors"][2, 1] = 0.1234567
    with pytest.raises(StoreError, match="have changed since"):
        read_export(path, OURS)


def theirs(path: Path, **datasets: object) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            if name == "text":
                file.create_dataset(name, data=values, dtype=h5py.string_dtype())
            else:
                file[name] = values
    return path


def test_vectors_made_elsewhere_need_only_vectors_and_texts(tmp_path: Path) -> None:
    values = np.arange(18, dtype=np.float64).reshape(9, 2)
    rows = read_export(theirs(tmp_path / "x.h5", vectors=values, text=TEXTS), THEIRS)
    assert np.array_equal(rows.vectors, values.astype(np.float32))
    assert np.array_equal(rows.keys, keys_of(TEXTS))


def test_they_need_a_name_of_their_own(tmp_path: Path) -> None:
    path = theirs(tmp_path / "x.h5", vectors=np.ones((9, 2)), text=TEXTS)
    with pytest.raises(CacheMismatchError, match="imported:NAME"):
        read_export(path, OURS)


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ({"text": TEXTS}, "vectors"),
        ({"vectors": np.ones((9, 2))}, "neither `key` nor `text`"),
        ({"vectors": np.ones((8, 2)), "text": TEXTS}, "8 vectors and 9 keys"),
        ({"vectors": np.ones(9), "text": TEXTS}, "shape"),
        ({"vectors": np.ones((9, 2), np.int32), "text": TEXTS}, "not float or bfloat16"),
        ({"vectors": np.full((9, 2), np.nan), "text": TEXTS}, "NaN"),
        ({"vectors": np.ones((1, 2)), "key": np.array([b"xyz"])}, "cannot be imported"),
        ({"vectors": np.ones((1, 2)), "key": np.array([b"0" * 64]), "text": ["a"]}, "SHA-256"),
        ({"vectors": np.ones((9, 2)), "text": TEXTS, "n_tokens": np.ones(3)}, "`n_tokens`"),
    ],
)
def test_a_file_that_does_not_fit_says_why(
    tmp_path: Path, datasets: dict[str, object], message: str
) -> None:
    with pytest.raises(StoreError, match=message):
        read_export(theirs(tmp_path / "x.h5", **datasets), THEIRS)


def test_a_file_that_is_no_hdf5_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_text("hello")
    with pytest.raises(StoreError, match="cannot be imported"):
        read_export(tmp_path / "x.h5", THEIRS)
    with pytest.raises(StoreError, match="cannot be imported"):
        read_export(tmp_path / "none.h5", THEIRS)
