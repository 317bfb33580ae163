"""A folder of parts: what is there, what is missing, adding more."""

import json
from pathlib import Path

import pytest
from vector_rows import FINGERPRINT, add, keys_for, rows_for

from ecgpipe.cache.vectors import reader as vector_cache
from ecgpipe.cache.vectors.fingerprint import Fingerprint
from ecgpipe.cache.vectors.part import Part
from ecgpipe.cache.vectors.reader import VectorCache
from ecgpipe.cache.vectors.writer import VectorWriter
from ecgpipe.errors import CacheMismatchError, StoreError


def test_every_text_gets_its_own_vector_back(tmp_path: Path) -> None:
    add(tmp_path, rows_for(*range(100)), rows_for(*range(100, 137)))
    cache = VectorCache.open(tmp_path, FINGERPRINT)
    wanted = [136, 0, 50, 99, 100, 0]
    assert cache.vectors(keys_for(*wanted))[:, 0].tolist() == wanted


def test_missing_texts_are_found_by_their_place(tmp_path: Path) -> None:
    add(tmp_path, rows_for(1, 2, 3))
    cache = VectorCache.open(tmp_path, FINGERPRINT)
    assert cache.missing(keys_for(3, 9, 1, 8)).tolist() == [1, 3]


def test_an_empty_cache_misses_everything(tmp_path: Path) -> None:
    cache = VectorCache.open(tmp_path, FINGERPRINT)
    assert len(cache) == 0
    assert cache.missing(keys_for(1, 2)).tolist() == [0, 1]
    with pytest.raises(StoreError, match="lacks 2 of 2 texts"):
        cache.vectors(keys_for(1, 2))


def test_texts_whose_keys_begin_alike_are_kept_apart(tmp_path: Path) -> None:
    rows = rows_for(1, 2, 3, 4)
    rows.keys[:, :8] = 7
    add(tmp_path, rows)
    cache = VectorCache.open(tmp_path, FINGERPRINT)
    assert cache.vectors(rows.keys[::-1])[:, 0].tolist() == [4, 3, 2, 1]
    stranger = rows.keys[:1].copy()
    stranger[0, 31] ^= 1
    assert cache.missing(stranger).tolist() == [0]


def test_of_two_parts_with_one_text_the_first_by_name_wins(tmp_path: Path) -> None:
    add(tmp_path, rows_for(1, value=10.0), rows_for(1, value=20.0))
    first, second = sorted((tmp_path / FINGERPRINT.short).glob("part-*.h5"))
    cache = VectorCache.open(tmp_path, FINGERPRINT)
    assert len(cache) == 2
    assert cache.vectors(keys_for(1)).tolist() == [[1.0, 10.0]]
    first.rename(second.with_name("part-z.h5"))
    assert VectorCache.open(tmp_path, FINGERPRINT).vectors(keys_for(1)).tolist() == [[1.0, 20.0]]


def test_a_folder_of_other_settings_names_the_fields_that_differ(tmp_path: Path) -> None:
    add(tmp_path, rows_for(1))
    path = tmp_path / FINGERPRINT.short / "fingerprint.json"
    path.write_text(json.dumps({"weights": "w", "pooling": "last_token", "layer": -1}))
    with pytest.raises(CacheMismatchError) as caught:
        VectorCache.open(tmp_path, FINGERPRINT)
    assert "pooling: found 'last_token', wanted 'mean'" in str(caught.value)
    assert "layer" not in str(caught.value)
    with pytest.raises(CacheMismatchError):
        VectorWriter(tmp_path, FINGERPRINT, {})


def test_a_changed_vector_is_refused_when_it_is_read(tmp_path: Path) -> None:
    add(tmp_path, rows_for(1, 2, 3))
    path = next((tmp_path / FINGERPRINT.short).glob("part-*.h5"))
    content = bytearray(path.read_bytes())
    place = content.index(rows_for(2).vectors.tobytes())
    content[place + 4] ^= 1
    path.write_bytes(content)
    cache = VectorCache.open(tmp_path, FINGERPRINT)
    assert cache.vectors(keys_for(1, 3))[:, 0].tolist() == [1, 3]
    with pytest.raises(StoreError, match="row 1: the vector differs"):
        cache.vectors(keys_for(2))


def test_cut_texts_are_known(tmp_path: Path) -> None:
    rows = rows_for(1, 2, 3)
    rows.was_cut[[0, 2]] = True
    add(tmp_path, rows, rows_for(1))
    cache = VectorCache.open(tmp_path, FINGERPRINT)
    assert cache.was_cut(keys_for(1, 2, 3)).tolist() == [True, False, True]
    assert cache.was_cut(keys_for(2, 99)).tolist() == [False, False]


def test_a_row_is_checked_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(tmp_path, rows_for(*range(10)))
    cache = VectorCache.open(tmp_path, FINGERPRINT)
    cache.vectors(keys_for(1, 2))
    checked: list[list[int]] = []
    monkeypatch.setattr(
        vector_cache, "check_sums", lambda part, positions: checked.append(positions.tolist())
    )
    assert cache.vectors(keys_for(2, 3, 1, 3))[:, 0].tolist() == [2, 3, 1, 3]
    assert checked == [[3]]


def test_a_part_that_vanishes_while_the_cache_is_opened_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(tmp_path, rows_for(1), rows_for(2))
    real, gone = vector_cache.read_part, []

    def compacting(path: Path, fingerprint: Fingerprint) -> Part:
        if not gone:
            gone.append(path)
            path.rename(path.with_name("part-0.h5"))
        return real(path, fingerprint)

    monkeypatch.setattr(vector_cache, "read_part", compacting)
    assert len(VectorCache.open(tmp_path, FINGERPRINT)) == 2
