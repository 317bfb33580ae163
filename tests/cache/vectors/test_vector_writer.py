"""Adding vectors: sealed in time, safe before they count, refused where they are not finite."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from vector_rows import FINGERPRINT, add, keys_for, rows_for

from ecgpipe.cache.vectors import writer as vector_writer
from ecgpipe.cache.vectors.reader import VectorCache
from ecgpipe.cache.vectors.writer import BackgroundWriter, VectorWriter
from ecgpipe.errors import StoreError


def test_a_part_is_sealed_when_there_are_enough_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_writer, "SEAL_ROWS", 3)
    writer = VectorWriter(tmp_path, FINGERPRINT, {})
    writer.add(rows_for(1, 2))
    assert writer.sealed_rows == 0
    writer.add(rows_for(3))
    assert writer.sealed_rows == 3
    assert len(VectorCache.open(tmp_path, FINGERPRINT)) == 3


def test_a_part_is_sealed_when_the_last_seal_is_long_ago(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_writer, "SEAL_AFTER_S", 0.0)
    writer = VectorWriter(tmp_path, FINGERPRINT, {})
    writer.add(rows_for(1))
    assert writer.sealed_rows == 1


def test_a_full_disk_leaves_no_half_written_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(tmp_path, rows_for(1))
    writer = VectorWriter(tmp_path, FINGERPRINT, {})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        writer.add(rows_for(*range(2, 5000)))
    monkeypatch.undo()
    assert len(list((tmp_path / FINGERPRINT.short).glob("*"))) == 2  # one part, one fingerprint
    assert len(VectorCache.open(tmp_path, FINGERPRINT)) == 1


def test_only_the_vectors_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    rows = rows_for(1, 2, 3)
    rows.vectors[1, 0] = np.nan
    writer = VectorWriter(tmp_path, FINGERPRINT, {})
    writer.add(rows)
    writer.seal()
    assert writer.refused == [keys_for(2).tobytes()]
    assert VectorCache.open(tmp_path, FINGERPRINT).missing(keys_for(1, 2, 3)).tolist() == [1]


def test_leaving_the_background_writer_seals_everything(tmp_path: Path) -> None:
    writers = [VectorWriter(tmp_path, FINGERPRINT, {}) for _ in range(2)]
    with BackgroundWriter(writers) as background:
        for number in range(50):
            background.add(writers[number % 2], rows_for(number))
    assert sum(writer.sealed_rows for writer in writers) == 50
    assert not len(VectorCache.open(tmp_path, FINGERPRINT).missing(keys_for(*range(50))))


def test_what_was_added_is_sealed_whatever_ends_the_block(tmp_path: Path) -> None:
    writer = VectorWriter(tmp_path, FINGERPRINT, {})

    def interrupted() -> None:
        with BackgroundWriter([writer]) as background:
            background.add(writer, rows_for(1, 2))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert len(VectorCache.open(tmp_path, FINGERPRINT)) == 2


def test_a_full_disk_behind_the_background_writer_is_reported_and_nothing_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_writer, "SEAL_ROWS", 2)
    writer = VectorWriter(tmp_path, FINGERPRINT, {})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    def feed() -> None:
        with BackgroundWriter([writer]) as background:
            for number in range(200):
                background.add(writer, rows_for(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        feed()
    assert not any(thread.name.startswith("vector-writer") for thread in threading.enumerate())
    assert [path.name for path in (tmp_path / FINGERPRINT.short).iterdir()] == ["fingerprint.json"]
