"""Recordings under another root: the same ones cost nothing, changed ones never pass for them."""

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hospital import TAXONOMY, Hospital, reads
from wfdb_files import ecg_like, write_wfdb

from ecgpipe.cache.signals import format as signal_format
from ecgpipe.cache.signals.reader import SignalStore
from ecgpipe.config.data import TableSource
from ecgpipe.errors import StoppedEarly, StoreError
from ecgpipe.processes import Share
from ecgpipe.read_ecg.prepare import preparation, sameness, shard_job
from ecgpipe.read_ecg.prepare.preparation import Prepared, ShareDone, prepare, prepare_share
from ecgpipe.stopping import Stop


@pytest.fixture
def hospital(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hospital:
    """Twelve recordings in three shards, below a folder of their own; one is missing."""
    monkeypatch.setattr(signal_format, "RECORDS_PER_SHARD", 4)
    monkeypatch.setattr(signal_format, "_INDEX_BYTES", 4 * 16 + 4)
    hospital = Hospital(tmp_path / "here")
    hospital.rows[4]["path"] = "ecg/nowhere"
    hospital.write_table()
    return hospital


def at(hospital: Hospital, folder: Path) -> Hospital:
    """The same hospital with its recordings and table in another folder, and the same work_dir."""
    moved = Hospital.__new__(Hospital)
    moved.__dict__ |= hospital.__dict__ | {"folder": folder}
    source = TableSource(kind="table", table=folder / "records.csv")
    moved.config = dataclasses.replace(hospital.config, sources=(source,))
    return moved


def copied(hospital: Hospital) -> Hospital:
    """A copy as by `cp -r`: other folders, other times, the same bytes."""
    folder = hospital.folder.with_name("there")
    shutil.copytree(hospital.folder, folder, ignore=shutil.ignore_patterns("work"))
    for file in folder.rglob("*"):
        os.utime(file, (1_000_000_000, 1_000_000_000))
    return at(hospital, folder)


def renamed(hospital: Hospital) -> Hospital:
    """Its parent renamed, as by `mv`; the old place is gone."""
    folder = hospital.folder.rename(hospital.folder.with_name("there"))
    moved = at(hospital, folder)
    moved.workspace = dataclasses.replace(hospital.workspace, work_dir=folder / "work")
    return moved


@pytest.mark.parametrize("move", [copied, renamed])
def test_moved_recordings_keep_signals_and_records(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch, move: Callable[[Hospital], Hospital]
) -> None:
    before = hospital.prepare()
    moved = move(hospital)
    read = reads(monkeypatch)
    assert moved.find() == before
    assert moved.prepare() == before
    assert read == []


def test_recordings_are_compared_once_for_each_root(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hospital.prepare()
    moved = copied(hospital)
    assert moved.find() == before

    def refuse(*_: object) -> None:
        raise AssertionError("compared again")

    monkeypatch.setattr(sameness, "_changed_in_shard", refuse)
    assert moved.find() == before
    assert hospital.find() == before


def other_bytes(folder: Path) -> None:
    """Of the same length."""
    write_wfdb(folder, "r06", ecg_like(seed=99))


def truncated(folder: Path) -> None:
    os.truncate(folder / "r06.dat", 50_000)


def lost(folder: Path) -> None:
    (folder / "r06.dat").unlink()


@pytest.mark.parametrize("damage", [other_bytes, truncated, lost])
def test_a_changed_recording_is_noticed_after_moving(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    before = hospital.prepare()
    moved = copied(hospital)
    size = (moved.folder / "ecg" / "r06.dat").stat().st_size
    damage(moved.folder / "ecg")
    read = reads(monkeypatch)
    assert moved.find() is None
    after = moved.prepare()
    assert after.signals_digest != before.signals_digest
    # A rejected one is read again at another root: the message on it may name its path.
    assert set(read) <= {"nowhere", "r06"}
    assert moved.find() == after
    if damage is other_bytes:
        assert (moved.folder / "ecg" / "r06.dat").stat().st_size == size
        store = SignalStore.open(moved.workspace.signals(after.signals_digest))
        wanted = ecg_like(seed=99)
        assert np.abs(store.read(np.array([6]))[0] - wanted).max() <= 1
    else:
        assert set(moved.rejected(after)) == {"r04", "r06"}
    # The first place still has the first recordings, and its store.
    assert hospital.find() is None  # the table of records is the other's
    assert hospital.prepare().signals_digest == before.signals_digest


def test_a_rejected_recording_is_not_taken_for_repaired_because_it_was_moved(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.truncate(hospital.folder / "ecg" / "r02.dat", 50_000)
    before = hospital.prepare()
    assert before.counts["rejected"] == 2
    moved = copied(hospital)
    assert moved.find() == before
    write_wfdb(moved.folder / "ecg", "r02", ecg_like(seed=2))
    assert moved.find() is None
    assert set(moved.rejected(moved.prepare())) == {"r04"}


def test_times_alone_change_nothing(hospital: Hospital) -> None:
    os.truncate(hospital.folder / "ecg" / "r02.dat", 50_000)
    before = hospital.prepare()
    for file in (hospital.folder / "ecg").iterdir():
        os.utime(file)
    assert hospital.find() == before


def test_a_file_too_large_to_be_compared_is_read_again_if_its_time_differs(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sameness, "_LARGEST_BYTES", 100)
    before = hospital.prepare()
    assert renamed_find(hospital) == before
    moved = copied(hospital)
    assert moved.find() is None


def renamed_find(hospital: Hospital) -> Prepared | None:
    """What is found where the times are kept."""
    folder = hospital.folder.with_name("kept")
    shutil.copytree(hospital.folder, folder, ignore=shutil.ignore_patterns("work"))
    return at(hospital, folder).find()


def stop_in_second_shard(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, real = Stop(), shard_job.read_recording

    def stopping(path: Path) -> object:
        if path.name == "r06":
            stop.request("SIGTERM")
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(shard_job, "read_recording", stopping)
        with pytest.raises(StoppedEarly):
            prepare(hospital.config, TAXONOMY, hospital.workspace, stop)


@pytest.mark.parametrize("change", [True, False])
def test_an_unfinished_preparation_goes_on_at_another_root_with_the_same_recordings_only(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch, change: bool
) -> None:
    stop_in_second_shard(hospital, monkeypatch)
    moved = copied(hospital)
    if change:
        write_wfdb(moved.folder / "ecg", "r01", ecg_like(seed=99))
    read = reads(monkeypatch)
    prepared = moved.prepare()
    rest = {"nowhere", *(f"r{number:02}" for number in range(5, 12))}
    assert set(read) == (rest | {"r00", "r01", "r02", "r03"} if change else rest)
    store = SignalStore.open(moved.workspace.signals(prepared.signals_digest))
    wanted = ecg_like(seed=99 if change else 1)
    assert np.abs(store.read(np.array([1]))[0] - wanted).max() <= 1


def test_two_processes_at_different_roots_complete_no_mixture(hospital: Hospital) -> None:
    moved = copied(hospital)
    write_wfdb(moved.folder / "ecg", "r06", ecg_like(seed=99))
    real, inner = preparation._write_shards, []

    def overtaken(*arguments: object) -> None:
        """The other process writes its share while this one works."""
        if not inner:
            inner.append(None)
            inner[0] = share_of(moved, Share(1, 2))
        real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparation, "_write_shards", overtaken)
        with pytest.raises(StoreError, match="at the same time from other recordings"):
            share_of(hospital, Share(0, 2))
    assert isinstance(inner[0], ShareDone)
    assert not list(hospital.workspace.work_dir.rglob("manifest.json"))
    store = hospital.workspace.signals(hospital.prepare().signals_digest)
    wanted = ecg_like(seed=6)
    assert np.abs(SignalStore.open(store).read(np.array([6]))[0] - wanted).max() <= 1


def share_of(hospital: Hospital, share: Share) -> Prepared | ShareDone:
    return prepare_share(hospital.config, TAXONOMY, hospital.workspace, Stop(), share)


def test_two_processes_at_two_mounts_of_the_same_recordings_complete_one_store(
    hospital: Hospital,
) -> None:
    moved = copied(hospital)
    assert isinstance(share_of(hospital, Share(0, 2)), ShareDone)
    prepared = share_of(moved, Share(1, 2))
    assert isinstance(prepared, Prepared)
    assert hospital.find() == moved.find() == prepared


def test_two_sources_whose_tables_are_alike_do_not_change_places(tmp_path: Path) -> None:
    """Both have the same record ids in rows of the same paths, but each its own signals."""
    one, two = Hospital(tmp_path / "one", 4), Hospital(tmp_path / "two", 4)
    for number in range(4):
        write_wfdb(two.folder / "ecg", f"r{number:02}", ecg_like(seed=50 + number))
    one.rows, two.rows = one.rows[:2], two.rows[2:]
    two.write_table()
    sources = tuple(TableSource(kind="table", table=h.folder / "records.csv") for h in (one, two))
    before = one.prepare(sources=sources)
    one.rows, two.rows = two.rows, one.rows
    two.write_table()
    after = one.prepare(sources=sources)
    assert after.signals_digest != before.signals_digest
    store = SignalStore.open(one.workspace.signals(after.signals_digest))
    assert np.abs(store.read(np.array([0]))[0] - ecg_like(seed=50)).max() <= 1
