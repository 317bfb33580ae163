"""The prepare stage: every bad record named, the rest kept, nothing half-made trusted."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hospital import TAXONOMY, Hospital
from wfdb_files import ecg_like, write_wfdb

from ecgpipe.cache.signals import format as signal_format
from ecgpipe.cache.signals.reader import SignalStore
from ecgpipe.config.data import DataConfig, PtbxlSource, SplitConfig, TableSource
from ecgpipe.errors import SourceError, StoppedEarly, StoreError
from ecgpipe.read_ecg.prepare import shard_job
from ecgpipe.read_ecg.prepare.plan import read_plan
from ecgpipe.read_ecg.prepare.preparation import prepare
from ecgpipe.stopping import Stop


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return Hospital(tmp_path)


def test_records_and_signals_belong_together(hospital: Hospital) -> None:
    prepared = hospital.prepare()
    table = hospital.records(prepared)
    store = SignalStore.open(hospital.workspace.signals(prepared.signals_digest))
    assert len(table) == 12
    signals = store.read(table.slots)
    for record, signal_uv in zip(table.records, signals, strict=True):
        reference = wfdb.rdrecord(str(hospital.folder / "ecg" / record.record_id)).p_signal.T
        assert np.abs(signal_uv - reference * 1000).max() <= 0.5
    assert table.records[0].findings == ("6",)
    assert table.records[1].findings == ("2", "66")
    assert {r.patient_id: r.split for r in table.records} == {
        r.patient_id: r.split for r in reversed(table.records)
    }


def unlink(suffix: str) -> Callable[[Hospital], None]:
    return lambda h: (h.folder / "ecg" / f"r03{suffix}").unlink()


def truncate(h: Hospital) -> None:
    os.truncate(h.folder / "ecg" / "r03.dat", 50_000)


def rewrite(**settings: object) -> Callable[[Hospital], None]:
    def change(h: Hospital) -> None:
        write_wfdb(h.folder / "ecg", "r03", ecg_like(), **settings)

    return change


def set_cell(column: str, value: str) -> Callable[[Hospital], None]:
    return lambda h: h.rows[3].__setitem__(column, value)


def shorten(h: Hospital) -> None:
    write_wfdb(h.folder / "ecg", "r03", ecg_like(1500))


def two_leads(h: Hospital) -> None:
    write_wfdb(h.folder / "ecg", "r03", ecg_like(n_leads=2), leads=["II", "V1"])


def flatten(h: Hospital) -> None:
    write_wfdb(h.folder / "ecg", "r03", np.zeros((12, 5000), np.int16))


def no_readings(h: Hospital) -> None:
    signal = ecg_like()
    signal[6:] = -32768
    write_wfdb(h.folder / "ecg", "r03", signal)


@pytest.mark.parametrize(
    ("spoil", "reason", "message"),
    [
        (unlink(".hea"), "missing file", "nor r03.hea exists"),
        (unlink(".dat"), "missing file", "r03.dat does not exist"),
        (truncate, "truncated", "of the 5,000 samples"),
        (rewrite(gain="0/mV"), "no gain", "states no gain for signal 'I'"),
        (rewrite(gain="1/mV"), "amplitude", "outside the 0.02 to 20.0 mV of an ECG"),
        (rewrite(gain="100/mmHg"), "units", "not a voltage"),
        (rewrite(leads=[f"ch{n}" for n in range(12)]), "leads", "is a known lead"),
        (rewrite(leads=["I"] * 12), "leads", "more than once"),
        (no_readings, "leads", "6 of 12 leads are usable"),
        (two_leads, "leads", "2 of 12 leads are usable (II, V1)"),
        (shorten, "too short", "lasts 3.0 s"),
        (flatten, "flat", "every lead is flat"),
        (set_cell("findings", ""), "no findings or report", "both empty"),
        (set_cell("findings", "左室肥大症"), "unknown finding", "the nearest known is '左室肥大'"),
        (set_cell("patient_id", ""), "no patient", "patient_id is empty"),
        (set_cell("path", "../../etc/passwd"), "path outside root", "leaves the root"),
        (set_cell("path", "/etc/passwd"), "path outside root", "absolute"),
        (set_cell("path", ""), "path outside root", "empty"),
    ],
)
def test_a_bad_record_is_named_with_its_reason_and_the_rest_goes_on(
    hospital: Hospital, spoil: Callable[[Hospital], None], reason: str, message: str
) -> None:
    spoil(hospital)
    prepared = hospital.prepare()
    assert prepared.counts["prepared"] == 11
    assert prepared.counts["rejected_by_reason"] == {reason: 1}
    rejected = hospital.rejected(prepared)
    assert list(rejected) == ["r03"]
    assert rejected["r03"][0] == reason
    assert message in rejected["r03"][1]
    table = hospital.records(prepared)
    assert "r03" not in {record.record_id for record in table.records}
    store = SignalStore.open(hospital.workspace.signals(prepared.signals_digest))
    store.read(table.slots)  # every record of the table has its signal


def test_one_unknown_word_need_not_reject_the_row(hospital: Hospital) -> None:
    hospital.rows[3]["findings"] = "洞調律、左室肥大症"
    hospital.rows[4]["findings"] = "心房細動;Schmidt-Effekt"
    hospital.rows[5]["findings"] = "左室肥大症"  # nothing is left of it
    prepared = hospital.prepare(unknown_findings="leave_out")
    assert (prepared.counts["prepared"], prepared.counts["rejected"]) == (11, 1)
    assert prepared.counts["rejected_by_reason"] == {"no findings or report": 1}
    assert prepared.counts["left_out"] == {"unknown findings": 3}
    found = {r.record_id: r.findings for r in hospital.records(prepared).records}
    assert (found["r03"], found["r04"]) == (("2",), ("6",))


@pytest.mark.parametrize(
    ("setting", "findings", "left_out"),
    [
        ("unknown", None, {}),
        ("as_shown", ("2", "66"), {}),
        ("leave_out", ("2",), {"uncertain findings": 1}),
    ],
)
def test_a_suspected_finding_is_what_the_settings_say(
    hospital: Hospital, setting: str, findings: tuple[str, ...] | None, left_out: dict[str, int]
) -> None:
    hospital.rows[3]["findings"] = "左室肥大の疑い、洞調律"
    prepared = hospital.prepare(uncertain_findings=setting)
    found = {r.record_id: r.findings for r in hospital.records(prepared).records}
    assert found.get("r03") == findings
    assert prepared.counts["left_out"] == left_out


def test_a_record_id_used_twice_is_refused_with_both_places(hospital: Hospital) -> None:
    hospital.rows[5]["record_id"] = "r02"
    with pytest.raises(SourceError, match=r"Two rows have the same record_id: row 4 .* and row 7"):
        hospital.prepare()


def test_a_patient_in_two_stated_splits_is_refused(hospital: Hospital) -> None:
    for row in hospital.rows:
        row["split"] = "train"
    hospital.rows[3]["split"] = "test"
    with pytest.raises(SourceError, match=r"row 4 .* is in train and row 5 .* in test"):
        hospital.prepare()
    assert hospital.find() is None


def test_too_many_rejected_records_stop_the_run_after_all_were_tried(hospital: Hospital) -> None:
    for number in range(8):
        (hospital.folder / "ecg" / f"r{number:02}.dat").unlink()
    hospital.rows[0]["record_id"] = "=1+1"
    with pytest.raises(SourceError) as caught:
        hospital.prepare()
    assert "8 of 12 records were rejected" in str(caught.value)
    assert "8 missing file" in str(caught.value)
    assert "The first is row 2 of records" in str(caught.value)
    assert hospital.find() is None
    (listed,) = (hospital.folder / "work" / "records").glob("*.rejected.csv")
    assert "'=1+1,row 2 of records" in listed.read_text("utf-8-sig")  # no formula
    hospital.prepare(max_rejected_fraction=0.9)
    assert hospital.find() is not None


def test_a_second_preparation_finds_the_first(hospital: Hospital) -> None:
    assert hospital.prepare() == hospital.find()


def refuse_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise AssertionError("a recording was read")

    monkeypatch.setattr(shard_job, "read_recording", refuse)


def test_a_corrected_finding_reads_no_signal_again(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital.rows[3]["findings"] = "左室肥大症"
    before = hospital.prepare()
    hospital.rows[3]["findings"] = "左室肥大"
    refuse_signals(monkeypatch)
    after = hospital.prepare()
    assert after.counts["prepared"] == 12
    assert after.signals_digest == before.signals_digest
    assert after.digest != before.digest


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h.rows.reverse(),
        lambda h: [row.update(site="tokyo") for row in h.rows],
        lambda h: setattr(h, "config", dataclasses.replace(h.config, split=SplitConfig(seed=9))),
    ],
)
def test_order_and_labels_do_not_touch_signals(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch, change: Callable[[Hospital], None]
) -> None:
    before = hospital.prepare()
    change(hospital)
    refuse_signals(monkeypatch)
    assert hospital.prepare().signals_digest == before.signals_digest


def test_another_rate_makes_another_store_and_keeps_the_first(hospital: Hospital) -> None:
    before = hospital.prepare()
    after = hospital.prepare(rate_hz=100)
    assert after.signals_digest != before.signals_digest
    assert SignalStore.open(hospital.workspace.signals(before.signals_digest)).samples == 5000
    assert SignalStore.open(hospital.workspace.signals(after.signals_digest)).samples == 1000


def test_a_new_record_makes_a_new_plan(hospital: Hospital) -> None:
    before = hospital.prepare()
    write_wfdb(hospital.folder / "ecg", "r99", ecg_like(seed=99))
    hospital.rows.append({**hospital.rows[0], "record_id": "r99", "path": "ecg/r99"})
    assert hospital.prepare().counts["prepared"] == 13
    assert hospital.find() is not None
    assert hospital.workspace.signals(before.signals_digest).exists()


def test_a_stop_keeps_finished_shards_and_the_result_is_the_same(
    hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ecgpipe.cache.signals import format as signal_format

    monkeypatch.setattr(signal_format, "RECORDS_PER_SHARD", 5)
    monkeypatch.setattr(signal_format, "_INDEX_BYTES", 5 * 16 + 4)
    hospital.write_table()
    stop, real, read = Stop(), shard_job.read_recording, []

    def stopping(path: Path) -> object:
        read.append(path)
        if len(read) == 8:
            stop.request("SIGTERM")
        return real(path)

    monkeypatch.setattr(shard_job, "read_recording", stopping)
    with pytest.raises(StoppedEarly, match="Stopped by SIGTERM"):
        prepare(hospital.config, TAXONOMY, hospital.workspace, stop)
    assert hospital.find() is None
    read.clear()
    prepared = hospital.prepare()
    assert len(read) == 7  # 12 less the finished shard of 5
    store = SignalStore.open(hospital.workspace.signals(prepared.signals_digest))
    whole = Hospital(tmp_path / "whole")
    again = whole.prepare()
    other = SignalStore.open(whole.workspace.signals(again.signals_digest))
    assert np.array_equal(store.read(np.arange(12)), other.read(np.arange(12)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_work_dir_without_permission_is_a_clean_error(hospital: Hospital) -> None:
    (hospital.folder / "work").mkdir(mode=0o500)
    with pytest.raises(StoreError, match="Cannot write"):
        hospital.prepare()


def test_a_work_dir_that_is_a_file_is_a_clean_error(hospital: Hospital) -> None:
    (hospital.folder / "work").write_text("")
    with pytest.raises(StoreError, match=r"Cannot write .* choose another work_dir"):
        hospital.prepare()


def test_a_missing_table_or_root_is_named(hospital: Hospital, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"records.csv does not exist"):
        prepare(hospital.config, TAXONOMY, hospital.workspace, Stop())
    hospital.write_table()
    source = TableSource(kind="table", table=tmp_path / "records.csv", root=tmp_path / "none")
    with pytest.raises(SourceError, match=r"data.sources.0.root, .*none, is not a folder"):
        hospital.prepare(sources=(source,))


def test_two_sources_go_into_one_store(hospital: Hospital, real_data: Path) -> None:
    ptbxl = PtbxlSource(kind="ptbxl", root=real_data / "ptbxl", split_column="subset_split")
    hospital.write_table()
    table = TableSource(kind="table", table=hospital.folder / "records.csv")
    config = DataConfig(sources=(table, ptbxl), taxonomy="findings98", max_rejected_fraction=1.0)
    plan = read_plan(config)
    assert len(plan) == 1336
    assert {p.source.name for p in plan} == {"records", "ptbxl"}


def test_repaired_recordings_are_read_and_the_rest_is_not_read_again(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal_format, "RECORDS_PER_SHARD", 4)
    monkeypatch.setattr(signal_format, "_INDEX_BYTES", 4 * 16 + 4)
    files = [hospital.folder / "ecg" / name for name in ("r05.dat", "r06.hea")]
    for file in files:
        file.rename(file.with_suffix(".away"))
    first = hospital.prepare()
    assert first.counts["rejected"] == 2
    assert hospital.find() is not None  # nothing changed: nothing to do
    files[0].with_suffix(".away").rename(files[0])
    assert hospital.find() is None
    read: list[str] = []
    real = shard_job.read_recording
    monkeypatch.setattr(
        shard_job, "read_recording", lambda path: (read.append(path.name), real(path))[1]
    )
    second = hospital.prepare()
    assert second.counts["rejected"] == 1
    assert read == ["r05"]
    files[1].with_suffix(".away").rename(files[1])
    third = hospital.prepare()
    assert third.counts["rejected"] == 0
    assert hospital.find() == third
    table = hospital.records(third)
    whole = SignalStore.open(hospital.workspace.signals(third.signals_digest)).read(table.slots)
    for record, signal_uv in zip(table.records, whole, strict=True):
        reference = wfdb.rdrecord(str(hospital.folder / "ecg" / record.record_id)).p_signal.T
        assert np.abs(signal_uv - reference * 1000).max() <= 0.5


def test_too_many_bad_records_can_be_corrected_as_the_message_says(hospital: Hospital) -> None:
    away = [hospital.folder / "ecg" / f"r{number:02}.dat" for number in range(8)]
    for file in away:
        file.rename(file.with_suffix(".away"))
    with pytest.raises(SourceError, match="Correct them and run the same command again"):
        hospital.prepare()
    for file in away:
        file.with_suffix(".away").rename(file)
    assert hospital.prepare().counts["rejected"] == 0


def test_what_a_cell_holds_stays_out_of_the_message(hospital: Hospital) -> None:
    for row in hospital.rows:
        row["findings"] = "山田太郎様 74歳 心房細動を認めます"
    with pytest.raises(SourceError) as caught:
        hospital.prepare()
    assert "12 unknown finding" in str(caught.value)
    assert "山田" not in str(caught.value)


@pytest.mark.parametrize("path", [".", "./", "x" * 300, "ecg/\0"])
def test_an_odd_path_rejects_one_record(hospital: Hospital, path: str) -> None:
    hospital.rows[3]["path"] = path
    prepared = hospital.prepare()
    assert list(hospital.rejected(prepared)) == ["r03"]


@pytest.mark.parametrize(
    "settings",
    [
        {"rate_hz": 250},
        {"duration_s": 8.0},
        {"crop": "centre"},
        {"min_leads": 11},
        {"min_duration_s": 6.0},
        {"max_missing_fraction": 0.2},
    ],
)
def test_what_changes_a_signal_makes_another_store(
    hospital: Hospital, settings: dict[str, object]
) -> None:
    first = hospital.prepare()
    assert hospital.prepare(**settings).signals_digest != first.signals_digest


def test_what_changes_no_signal_keeps_the_store(hospital: Hospital) -> None:
    first = hospital.prepare()
    again = hospital.prepare(split=SplitConfig(seed=5), max_rejected_fraction=0.2)
    assert again.signals_digest == first.signals_digest
    assert again.digest != first.digest
