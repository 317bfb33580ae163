"""New rows cost only themselves: what an earlier store holds is taken over, to the byte."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hospital import TAXONOMY, Hospital, reads
from signal_stores import bytes_of
from wfdb_files import ecg_like, write_wfdb

from ecgpipe.cache.records_table import read_records
from ecgpipe.cache.signals import format as signal_format
from ecgpipe.cache.signals.verify import verify_signals
from ecgpipe.config.data import TableSource
from ecgpipe.errors import StoppedEarly
from ecgpipe.processes import Share
from ecgpipe.read_ecg.prepare import preparation, shard_job
from ecgpipe.read_ecg.prepare.preparation import (
    Prepared,
    ShareDone,
    Work,
    prepare,
    prepare_share,
)
from ecgpipe.stopping import Stop
from ecgpipe.workspace import Workspace


@pytest.fixture
def hospital(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hospital:
    """Twelve recordings in three shards, of which one is missing and one too short; three more
    that are in no row yet, two of them between the others."""
    monkeypatch.setattr(signal_format, "RECORDS_PER_SHARD", 4)
    monkeypatch.setattr(signal_format, "_INDEX_BYTES", 4 * 16 + 4)
    hospital = Hospital(tmp_path)
    hospital.rows[4]["path"] = "ecg/nowhere"
    os.truncate(tmp_path / "ecg" / "r07.dat", 50_000)
    for number, name in enumerate(NEW):
        write_wfdb(tmp_path / "ecg", name, ecg_like(seed=100 + number))
    return hospital


NEW = ("r02b", "r08b", "r99")


def add_rows(hospital: Hospital) -> None:
    hospital.rows += [
        {**hospital.rows[0], "record_id": name, "path": f"ecg/{name}"} for name in NEW
    ]


def made(hospital: Hospital, prepared: Prepared) -> dict[str, Any]:
    """Every byte of the store and the records, but for when and where they were made."""
    files: dict[str, Any] = bytes_of(hospital.workspace.signals(prepared.signals_digest))
    manifest = json.loads(files.pop("manifest.json"))
    files["manifest"] = {k: v for k, v in manifest.items() if k not in ("provenance", "sum")}
    table = read_records(hospital.workspace.records(prepared.digest))
    files["records"] = table.records
    files["about"] = {k: v for k, v in table.about.items() if k != "provenance"}
    files["rejected"] = hospital.workspace.rejected(prepared.digest).read_bytes()
    return files


def fresh(hospital: Hospital) -> dict[str, Any]:
    """What the same preparation makes in an empty work_dir."""
    before = hospital.workspace
    hospital.workspace = Workspace(hospital.folder / "fresh", "x")
    wanted = made(hospital, hospital.prepare())
    shutil.rmtree(hospital.folder / "fresh")
    hospital.workspace = before
    return wanted


def test_new_rows_read_only_themselves_and_make_what_a_fresh_preparation_makes(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = hospital.prepare()
    assert first.work == Work(read=12, reused=0)
    add_rows(hospital)
    wanted = fresh(hospital)
    read = reads(monkeypatch)
    second = hospital.prepare()
    assert sorted(read) == list(NEW)
    assert second.work == Work(read=3, reused=12)
    assert second.counts["rejected_by_reason"] == {"missing file": 1, "truncated": 1}
    shutil.rmtree(hospital.workspace.signals(first.signals_digest))
    assert made(hospital, second) == wanted
    store = hospital.workspace.signals(second.signals_digest)
    assert not verify_signals(store, lambda n: None).problems
    assert hospital.find() == second


def test_fewer_rows_read_nothing(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    hospital.prepare()
    del hospital.rows[9], hospital.rows[1]
    wanted = fresh(hospital)
    read = reads(monkeypatch)
    prepared = hospital.prepare()
    assert (read, prepared.work) == ([], Work(read=0, reused=10))
    assert made(hospital, prepared) == wanted


def test_rows_that_move_to_another_source_are_not_read_again(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital.prepare()
    split = [row for row in hospital.rows if row["record_id"] > "r05"]
    hospital.rows = [row for row in hospital.rows if row["record_id"] <= "r05"]
    lines = [",".join(split[0]), *(",".join(row.values()) for row in split)]
    (hospital.folder / "more.csv").write_text("\n".join(lines), encoding="utf-8")
    tables = [hospital.folder / name for name in ("more.csv", "records.csv")]
    sources = tuple(TableSource(kind="table", table=table) for table in tables)
    read = reads(monkeypatch)
    prepared = hospital.prepare(sources=sources)
    assert (read, prepared.work) == ([], Work(read=0, reused=12))
    assert made(hospital, prepared) == fresh(hospital)


def overwrite(folder: Path) -> None:
    """With a recording of the same length."""
    write_wfdb(folder, "r06", ecg_like(seed=99))


def repair(folder: Path) -> None:
    write_wfdb(folder, "r07", ecg_like(seed=7))


def appear(folder: Path) -> None:
    write_wfdb(folder, "nowhere", ecg_like(seed=4))


def lose(folder: Path) -> None:
    (folder / "r06.dat").unlink()


@pytest.mark.parametrize(
    ("change", "name"),
    [(overwrite, "r06"), (repair, "r07"), (appear, "nowhere"), (lose, "r06")],
)
def test_a_recording_that_changed_is_read_again(
    hospital: Hospital,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    name: str,
) -> None:
    hospital.prepare()
    change(hospital.folder / "ecg")
    add_rows(hospital)
    wanted = fresh(hospital)
    read = reads(monkeypatch)
    prepared = hospital.prepare()
    assert sorted(read) == sorted([name, *NEW])
    assert made(hospital, prepared) == wanted


def test_recordings_of_another_time_or_place_are_compared_by_their_bytes(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital.prepare()
    for file in (hospital.folder / "ecg").iterdir():
        os.utime(file, (1_000_000_000, 1_000_000_000))
    moved = hospital.folder / "moved"
    shutil.copytree(hospital.folder / "ecg", moved / "ecg")
    add_rows(hospital)
    source = TableSource(kind="table", table=hospital.folder / "records.csv", root=moved)
    read = reads(monkeypatch)
    prepared = hospital.prepare(sources=(source,))
    # The message on a rejected one may name its path.
    assert sorted(read) == sorted([*NEW, "nowhere", "r07"])
    assert made(hospital, prepared) == fresh(hospital)


def test_another_recording_under_the_same_id_is_read(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital.prepare()
    hospital.rows[2]["path"] = "ecg/r03"
    read = reads(monkeypatch)
    assert hospital.prepare().work == Work(read=1, reused=11)
    assert read == ["r03"]


def test_another_exam_of_the_same_file_is_read(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is the same; which of its ECGs is wanted is not."""
    path = hospital.folder / "ecg" / "exams.hdf5"
    ecgs = np.stack([ecg_like(4096, seed).T / 1000 for seed in (50, 51)])
    with h5py.File(path, "w") as file:
        file["exam_id"], file["tracings"] = [1, 2], ecgs.astype("f4")
    (hospital.folder / "ecg" / "exams.json").write_text('{"units": "mV"}')
    hospital.rows[2]["path"] = "ecg/exams.hdf5#1"
    assert hospital.prepare().counts["rejected"] == 2
    hospital.rows[2]["path"] = "ecg/exams.hdf5#2"
    wanted = fresh(hospital)
    read = reads(monkeypatch)
    prepared = hospital.prepare()
    assert read == ["exams.hdf5#2"]
    assert made(hospital, prepared) == wanted


@pytest.mark.parametrize("settings", [{"duration_s": 5.0}, {"min_leads": 10}])
def test_signals_of_other_settings_are_not_taken(
    hospital: Hospital, settings: dict[str, Any]
) -> None:
    hospital.prepare()
    assert hospital.prepare(**settings).work == Work(read=12, reused=0)


def test_signals_of_another_version_are_not_taken(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital.prepare()
    add_rows(hospital)
    monkeypatch.setattr(preparation, "_SIGNAL_VERSION", preparation._SIGNAL_VERSION + 1)
    assert hospital.prepare().work == Work(read=15, reused=0)


def flip_a_sample(store: Path) -> None:
    """Of the second record of the first shard."""
    with signal_format.shard_path(store, 0).open("r+b") as file:
        file.seek(12 * 5000 * 2 + signal_format.CRC_BYTES + 1000)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 4]))


def flip_the_index(store: Path) -> None:
    path = signal_format.shard_path(store, 0)
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)


def cut_the_shard(store: Path) -> None:
    os.truncate(signal_format.shard_path(store, 0), 100_000)


def lengthen_the_shard(store: Path) -> None:
    """Before its index, so that every record can still be found."""
    path = signal_format.shard_path(store, 0)
    content, at = path.read_bytes(), -signal_format._INDEX_BYTES
    path.write_bytes(content[:at] + b"more" + content[at:])


def remove_the_shard(store: Path) -> None:
    signal_format.shard_path(store, 0).unlink()


def falsify_the_done_file(store: Path) -> None:
    path = signal_format.done_path(store, 0)
    path.write_text(path.read_text().replace('"r01"', '"r77"'))


def empty_the_done_file(store: Path) -> None:
    signal_format.done_path(store, 0).write_text("")


@pytest.mark.parametrize(
    ("damage", "lost", "add"),
    [
        (flip_a_sample, ["r01"], True),
        (flip_a_sample, ["r01"], False),
        (flip_the_index, ["r00", "r01", "r02", "r03"], True),
        (cut_the_shard, ["r00", "r01", "r02", "r03"], True),
        (lengthen_the_shard, ["r00", "r01", "r02", "r03"], False),
        (remove_the_shard, ["r00", "r01", "r02", "r03"], False),
        (falsify_the_done_file, ["r00", "r01", "r02", "r03"], False),
        (empty_the_done_file, ["r00", "r01", "r02", "r03"], True),
    ],
)
def test_what_is_damaged_in_the_earlier_store_is_read_again(
    hospital: Hospital,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], None],
    lost: list[str],
    add: bool,
) -> None:
    first = hospital.prepare()
    damage(hospital.workspace.signals(first.signals_digest))
    if add:
        add_rows(hospital)
    else:
        del hospital.rows[8:]  # the first shard stays as it is, and would be linked whole
    wanted = fresh(hospital)
    read = reads(monkeypatch)
    prepared = hospital.prepare()
    assert sorted(read) == sorted([*lost, *(NEW if add else ())])
    assert made(hospital, prepared) == wanted


def stop_at(hospital: Hospital, name: str) -> None:
    """Prepare, and stop when this recording is read."""
    stop, real = Stop(), shard_job.read_recording

    def stopping(path: Path) -> object:
        if path.name == name:
            stop.request("SIGTERM")
        return real(path)

    hospital.write_table()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_job, "read_recording", stopping)
        with pytest.raises(StoppedEarly):
            prepare(hospital.config, TAXONOMY, hospital.workspace, stop)


def test_finished_shards_of_an_unfinished_store_are_taken(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(hospital, "r05")
    add_rows(hospital)
    wanted = fresh(hospital)
    read = reads(monkeypatch)
    prepared = hospital.prepare()
    rest = ["nowhere", *(f"r{number:02}" for number in range(5, 12))]
    assert sorted(read) == sorted([*rest, *NEW])
    assert made(hospital, prepared) == wanted


def test_a_stop_in_the_middle_costs_a_shard_and_the_result_is_the_same(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital.prepare()
    add_rows(hospital)
    wanted = fresh(hospital)
    stop_at(hospital, "r08b")
    read = reads(monkeypatch)
    prepared = hospital.prepare()
    assert sorted(read) == ["r08b", "r99"]  # r02b is in a shard that was finished
    assert made(hospital, prepared) == wanted


def test_each_share_counts_what_it_read(hospital: Hospital) -> None:
    hospital.prepare()
    add_rows(hospital)
    wanted = fresh(hospital)
    done = [
        prepare_share(hospital.config, TAXONOMY, hospital.workspace, Stop(), Share(index, 2))
        for index in (0, 1)
    ]
    assert isinstance(done[0], ShareDone)
    assert isinstance(done[1], Prepared)
    # r00 r01 r02 r02b | r03 r04 r05 r06 | r07 r08 r08b r09 | r10 r11 r99
    assert done[0].work == Work(read=2, reused=6)
    assert done[1].work == Work(read=1, reused=6)
    assert made(hospital, done[1]) == wanted


def test_a_shard_that_stays_as_it_is_takes_no_room_twice(hospital: Hospital) -> None:
    before = hospital.workspace.signals(hospital.prepare().signals_digest)
    hospital.rows += [{**hospital.rows[0], "record_id": "r99", "path": "ecg/r99"}]
    after = hospital.workspace.signals(hospital.prepare().signals_digest)
    same = [
        signal_format.shard_path(before, k).samefile(signal_format.shard_path(after, k))
        for k in range(3)
    ]
    assert same == [True, True, True]
    # Killed after the link, before its done file.
    signal_format.done_path(after, 0).unlink()
    signal_format.manifest_path(after).unlink()
    assert hospital.prepare().work == Work(read=0, reused=4)
    assert not list(after.rglob(".*.tmp"))


def test_a_disk_without_hard_links_gets_copies(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hospital.workspace.signals(hospital.prepare().signals_digest)
    del hospital.rows[8:]
    wanted = fresh(hospital)

    def refuse(self: Path, target: Path) -> None:
        raise OSError("no hard links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    read = reads(monkeypatch)
    prepared = hospital.prepare()
    assert (read, prepared.work) == ([], Work(read=0, reused=8))
    after = hospital.workspace.signals(prepared.signals_digest)
    assert not signal_format.shard_path(before, 0).samefile(signal_format.shard_path(after, 0))
    assert made(hospital, prepared) == wanted


def test_what_is_no_store_is_not_looked_into(hospital: Hospital) -> None:
    signals = hospital.workspace.signals("x").parent
    for name, content in (("a", ""), ("b", "[]"), ("c", '{"attributes": {}}')):
        (signals / f"{name}.zarr").mkdir(parents=True)
        (signals / f"{name}.zarr" / "zarr.json").write_text(content)
    (signals / "d.zarr").write_text("")
    assert hospital.prepare().work == Work(read=12, reused=0)
