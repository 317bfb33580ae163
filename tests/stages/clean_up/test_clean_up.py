"""`ecgpipe gc` on prepared data: what is needed stays, what somebody works on stays, the rest goes
when asked."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toy_experiment import ecgpipe
from wfdb_files import ecg_like, write_wfdb

from ecgpipe.heartbeat import heartbeat
from ecgpipe.processes import Share
from ecgpipe.stages.clean_up import clean_up

Json = dict[str, Any]


class Prepared:
    """A hospital of six ECGs, prepared with five of them and then with all."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "pipeline.yaml"
        for number in range(6):
            write_wfdb(folder / "ecg", f"r{number}", ecg_like(500, seed=number), rate="100")
        self.write_settings("pipeline.yaml", name="x")
        self.write_rows(5)
        self.old = self.prepare()
        self.write_rows(6)
        self.new = self.prepare()

    def write_settings(self, file: str, **settings: object) -> Path:
        source = {"kind": "table", "table": "t.csv", "root": "ecg"}
        data = {"rate_hz": 100, "duration_s": 5.0, "workers": 1, "sources": [source]}
        data["max_rejected_fraction"] = 0.5
        whole = {"data": data, "text": {"model": "none"}, **settings}
        (self.folder / file).write_text(json.dumps(whole))
        return self.folder / file

    def write_rows(self, n: int) -> None:
        rows = [f"id{number},p{number},r{number},洞調律" for number in range(n)]
        text = "\n".join(["record_id,patient_id,path,findings", *rows])
        (self.folder / "t.csv").write_text(text, encoding="utf-8")

    def prepare(self) -> Json:
        code, out, err = ecgpipe(self.path, "prepare", "--json")
        assert code == 0, err
        summary: Json = json.loads(out)["prepare"]
        return summary

    def gc(self, *arguments: str, code: int = 0) -> Json:
        found, out, err = ecgpipe(self.path, "gc", "--json", *arguments)
        assert found == code, err
        if code:
            return {"error": err}
        summary: Json = json.loads(out.splitlines()[-1])["gc"]
        return summary

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def old_store(self) -> Path:
        return Path(self.old["signals"])


@pytest.fixture
def hospital(tmp_path: Path) -> Prepared:
    return Prepared(tmp_path)


def names(found: Json) -> list[str]:
    return [one["name"] for one in found["unneeded"]]


def disk_usage(folder: Path) -> int:
    """Bytes of all files, each once however many names it has."""
    states = [path.lstat() for path in folder.rglob("*") if not path.is_dir()]
    return sum({(s.st_dev, s.st_ino): s.st_size for s in states}.values())


def test_rows_that_were_added_leave_the_earlier_signals_to_be_removed(hospital: Prepared) -> None:
    assert (hospital.old["read"], hospital.old["reused"]) == (5, 0)
    assert (hospital.new["read"], hospital.new["reused"]) == (1, 5)
    before = disk_usage(hospital.work)
    found = hospital.gc()
    table = Path(hospital.old["records"]).stem
    assert names(found) == [f"signals/{hospital.old_store.name}", f"records/{table}"]
    assert not found["did_work"]
    assert disk_usage(hospital.work) == before
    gone = hospital.gc("--remove")
    assert gone["did_work"]
    # The work_dir holds the heartbeats, too, which nobody writes meanwhile.
    assert before - disk_usage(hospital.work) == gone["freed_bytes"] == found["bytes"]
    assert not hospital.old_store.exists()
    assert not list((hospital.work / "records").glob(f"{table}*"))
    assert hospital.prepare()["did_work"] is False
    assert hospital.gc()["unneeded"] == []


def test_the_list_says_size_date_and_what_to_do(hospital: Prepared) -> None:
    day = 1_700_000_000  # 2023-11-14
    for path in hospital.old_store.rglob("*"):
        os.utime(path, (day, day))
    code, out, err = ecgpipe(hospital.path, "gc")
    assert code == 0
    head, first, _ = out.splitlines()
    assert head == f"In {hospital.work.resolve()}, no given file needs:"
    assert first.split() == [
        *(f"{disk_usage(hospital.old_store) / 1000:.1f}", "kB", "last", "used", "2023-11-14"),
        f"signals/{hospital.old_store.name}",
    ]
    assert err.splitlines()[-1].endswith("nothing was removed (--remove does that)")


def test_shards_that_the_kept_signals_share_free_nothing(hospital: Prepared) -> None:
    """The same ECGs under other settings of no effect on them make a store of links."""
    shared = hospital.old_store.with_name("0123456789abcdef.zarr")
    shutil.copytree(Path(hospital.new["signals"]), shared, copy_function=os.link)
    before = disk_usage(hospital.work)
    found = hospital.gc("--remove")
    assert f"signals/{shared.name}" in names(found)
    assert before - disk_usage(hospital.work) == found["freed_bytes"]
    assert {one["bytes"] for one in found["unneeded"] if one["paths"] == [str(shared)]} == {0}


def test_signals_of_before_a_repair_stay_with_those_named_after_them(hospital: Prepared) -> None:
    """Without them the next preparation would name its signals otherwise, and train again."""
    shutil.rmtree(hospital.work)
    write_wfdb(hospital.folder / "ecg", "r5", ecg_like(100), rate="100")  # too short
    before = Path(hospital.prepare()["signals"])
    write_wfdb(hospital.folder / "ecg", "r5", ecg_like(500, seed=5), rate="100")
    repaired = Path(hospital.prepare()["signals"])
    assert repaired != before
    assert names(hospital.gc("--remove")) == []
    text = (hospital.folder / "t.csv").read_text()
    (hospital.folder / "t.csv").write_text(text.replace("洞調律", "心房細動"))
    done = hospital.prepare()
    assert (done["signals"], done["read"]) == (str(repaired), 0)


def test_a_table_that_changed_since_keeps_what_its_preparation_will_take_over(
    hospital: Prepared,
) -> None:
    hospital.write_rows(4)
    found = hospital.gc("--remove")
    assert names(found) == []
    (remark,) = found["remarks"]
    assert "x is not prepared as its tables and settings are now" in remark
    assert hospital.prepare()["reused"] == 4


def test_what_another_given_file_needs_stays(hospital: Prepared) -> None:
    other = hospital.write_settings("other.yaml", name="y", notice="shares the work_dir")
    text = other.read_text().replace('"rate_hz": 100', '"rate_hz": 200')
    other.write_text(text)
    code, out, _ = ecgpipe(other, "prepare", "--json")
    assert code == 0
    store = Path(json.loads(out)["prepare"]["signals"])
    assert f"signals/{store.name}" in names(hospital.gc())
    assert f"signals/{store.name}" not in names(hospital.gc("-c", str(other)))


def test_files_with_different_work_dirs_are_refused(hospital: Prepared) -> None:
    other = hospital.write_settings("other.yaml", name="y", work_dir="elsewhere")
    error = hospital.gc("-c", str(other), "--remove", code=2)["error"]
    assert "different work_dirs" in error


def test_while_a_process_works_signals_and_records_stay(hospital: Prepared) -> None:
    with heartbeat(hospital.work / "status" / "a-colleague", "prepare", Share()):
        found = hospital.gc("--remove")
    assert names(found) == []
    (remark,) = found["remarks"]
    assert "prepare of a-colleague runs on" in remark
    assert names(hospital.gc())


def test_a_process_that_begins_after_the_look_keeps_them(
    hospital: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = heartbeat(hospital.work / "status" / "late", "train", Share())
    monkeypatch.setattr(clean_up, "_check_runs", lambda *_: begun.__enter__())
    found = hospital.gc("--remove")
    begun.__exit__(None, None, None)
    assert found["freed_bytes"] == 0
    assert hospital.old_store.exists()
    assert len(found["remarks"]) == 2


@pytest.mark.parametrize(("hours", "keeps"), [(1, True), (48, False)])
def test_a_process_of_another_machine_that_fell_silent_keeps_them_for_a_day(
    hospital: Prepared, hours: int, keeps: bool
) -> None:
    (path,) = (hospital.work / "status" / "x").glob("prepare-*.json")
    status = json.loads(path.read_text())
    status |= {"written_state": "running", "machine": "another", "host": "node7"}
    status["updated"] = time.time() - hours * 3600
    path.write_text(json.dumps(status))
    assert bool(hospital.gc()["unneeded"]) is not keeps


def test_a_work_dir_that_is_a_link_is_cleaned_up(hospital: Prepared) -> None:
    true = hospital.work.rename(hospital.folder / "scratch")
    hospital.work.symlink_to(true)
    hospital.gc("--remove")
    assert not (true / "signals" / hospital.old_store.name).exists()
    assert hospital.work.is_symlink()


def test_no_link_in_it_is_followed(hospital: Prepared) -> None:
    signals = hospital.work / "signals"
    elsewhere = signals.rename(hospital.folder / "elsewhere")
    signals.symlink_to(elsewhere)
    found = hospital.gc("--remove")
    assert (elsewhere / hospital.old_store.name).exists()
    assert f"{signals.resolve().parent / 'work' / 'signals'} is a link" in found["remarks"][0]


def test_a_store_that_is_a_link_is_not_listed(hospital: Prepared) -> None:
    true = hospital.old_store.rename(hospital.folder / "kept.zarr")
    hospital.old_store.symlink_to(true)
    found = hospital.gc("--remove")
    assert all("signals" not in name for name in names(found))
    assert (true / "manifest.json").exists()


def test_what_ecgpipe_did_not_write_stays(hospital: Prepared) -> None:
    foreign = [
        hospital.old_store / "山田太郎.txt",
        hospital.work / "signals" / "mine.zarr" / "zarr.json",
        hospital.work / "signals" / "0123456789abcdef.zarr" / "zarr.json",
        hospital.work / "records" / "mine.parquet",
        hospital.work / "thesis.docx",
    ]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    found = hospital.gc("--remove")
    assert [path for path in foreign if not path.exists()] == []
    assert names(found) == [f"records/{Path(hospital.old['records']).stem}"]
    (remark,) = found["remarks"]
    assert "also holds 1 files or folders that ecgpipe did not write" in remark
    assert "山田" not in remark


def test_only_old_temporary_files_of_ours_are_removed(hospital: Prepared) -> None:
    hospital.gc("--remove")
    old = time.time() - 2 * 24 * 3600
    part = ".part-1.h5.123-0a1b2c3d.tmp"
    places = {
        hospital.work / "embeddings" / "f" / part: old,
        hospital.work / "signals" / ".x.zarr.7-00000000.tmp" / "signal" / "c": old,
        hospital.work / "runs" / ".eval.99.tmp": old,
        hospital.work / "embeddings" / "f" / ".part-2.h5.124-0a1b2c3d.tmp": time.time(),
        hospital.work / "embeddings" / "f" / ".mine.tmp": old,
        hospital.work / "mine" / part: old,
    }
    for path, moment in places.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
        for touched in (path, path.parent, path.parent.parent):
            os.utime(touched, (moment, moment))
    found = hospital.gc("--remove")
    assert names(found) == ["3 temporary files of killed processes"]
    assert found["freed_bytes"] == 15
    assert [path.exists() for path in places] == [False, False, False, True, True, True]


def test_a_folder_that_cannot_be_read_is_named_and_the_rest_goes_on(
    hospital: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.iterdir

    def forbid(self: Path) -> Any:
        if self.name == "signals":
            raise PermissionError(13, "Permission denied", str(self))
        return real(self)

    monkeypatch.setattr(Path, "iterdir", forbid)
    found = hospital.gc("--remove")
    assert names(found) == [f"records/{Path(hospital.old['records']).stem}"]
    assert "it cannot be read (Permission denied)" in found["remarks"][0]


def test_a_store_that_cannot_be_read_through_stays(
    hospital: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def forbid(path: Any) -> Any:
        if str(path) == str(hospital.old_store / "done"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", forbid)
    found = hospital.gc("--remove")
    assert names(found) == [f"records/{Path(hospital.old['records']).stem}"]
    assert hospital.old_store.exists()


def remove_store(hospital: Prepared) -> None:
    shutil.rmtree(hospital.old_store)


def remove_table(hospital: Prepared) -> None:
    for path in (hospital.work / "records").glob(f"{Path(hospital.old['records']).stem}*"):
        path.unlink()


@pytest.mark.parametrize("remove", [remove_store, remove_table])
def test_what_is_removed_meanwhile_is_not_counted(
    hospital: Prepared, monkeypatch: pytest.MonkeyPatch, remove: Callable[[Prepared], None]
) -> None:
    whole = hospital.gc()["bytes"]
    monkeypatch.setattr(clean_up, "_check_runs", lambda *_: remove(hospital))
    assert 0 < hospital.gc("--remove")["freed_bytes"] < whole
    monkeypatch.undo()
    assert hospital.gc()["unneeded"] == []


def test_what_cannot_be_removed_is_named_after_the_rest_was(
    hospital: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(clean_up.shutil, "rmtree", refuse)
    error = hospital.gc("--remove", code=1)["error"]
    assert f"signals/{hospital.old_store.name} could not be removed" in error
    assert not list((hospital.work / "records").glob(f"{Path(hospital.old['records']).stem}*"))
    # Never half of it under its name.
    assert not hospital.old_store.exists()
