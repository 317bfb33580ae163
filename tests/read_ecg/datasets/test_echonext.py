"""EchoNext: millivolts that each ECG proves, three values of each finding, and what is left out."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from echonext_files import (
    DEVIATION,
    MEAN,
    MV_PER_UNIT,
    ecg_units,
    in_units,
    prepared_units,
    row,
    standardised,
    write_echonext,
    write_table,
)
from hospital import Hospital

from ecgpipe.cache.records_table import read_records
from ecgpipe.cache.signals.reader import SignalStore
from ecgpipe.config.data import DataConfig, EchonextSource
from ecgpipe.config.echo import EchoConfig
from ecgpipe.config.file import parse_config
from ecgpipe.errors import ConfigError, RecordError, SourceError
from ecgpipe.evaluate.tasks.echo_definitions import load_echo_definitions
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy
from ecgpipe.read_ecg.datasets.adapters import read_source
from ecgpipe.read_ecg.datasets.echonext import read_echonext_recording
from ecgpipe.read_ecg.echo.echo_findings import EchoJoin
from ecgpipe.read_ecg.formats.recording import read_recording
from ecgpipe.read_ecg.prepare.preparation import Prepared, find_prepared, inputs_digest, prepare
from ecgpipe.read_ecg.prepare.record_rows import ecg_of
from ecgpipe.read_ecg.quality.einthoven import check_limb_leads
from ecgpipe.read_ecg.signal.record import LEADS, Reason
from ecgpipe.stages.check.check import run_check
from ecgpipe.stopping import Stop
from ecgpipe.workspace import Workspace

STANDARD = load_echo_definitions("standard")
TAXONOMY = load_taxonomy("findings98")
MODERATE = "moderate_or_greater_flag"


def source(root: Path) -> EchonextSource:
    return EchonextSource(kind="echonext", root=root)


def expected_mv(number: int) -> np.ndarray:
    """(12, 2500) ECG n of a table, with limb leads that agree."""
    signal_mv = ecg_units(number) * MV_PER_UNIT
    one, two = signal_mv[:2]
    signal_mv[2:6] = two - one, -(one + two) / 2, one - two / 2, two - one / 2
    return signal_mv


def prepared(root: Path, **settings: object) -> tuple[Prepared, Workspace, DataConfig]:
    config = DataConfig(sources=(source(root),), workers=1, rate_hz=250, **settings)
    workspace = Workspace(root.parent / "work", "x")
    return prepare(config, TAXONOMY, workspace, Stop(), STANDARD), workspace, config


# --- rows


def test_a_row_says_whose_ecg_it_is_and_where_its_samples_are(tmp_path: Path) -> None:
    rows = [
        row(0, split="no_split", patient_key="7"),
        row(1, split="test", patient_key="7", sex="female", age_at_ecg="90"),
        row(2),
        row(3, split="val", sex="0", location_setting=""),
        row(4, sex="", age_at_ecg=""),
    ]
    write_echonext(tmp_path, rows)
    found = read_source(source(tmp_path))
    assert [(r.record_id, r.patient_id, r.split, r.path) for r in found.rows] == [
        ("echonext-9001", "echonext-7", "test", "EchoNext_test_waveforms.npy#0"),
        ("echonext-9002", "echonext-102", "train", "EchoNext_train_waveforms.npy#0"),
        ("echonext-9003", "echonext-103", "val", "EchoNext_val_waveforms.npy#0"),
        ("echonext-9004", "echonext-104", "train", "EchoNext_train_waveforms.npy#1"),
    ]
    assert [(r.age, r.sex, r.site) for r in found.rows] == [
        (90.0, "female", "inpatient"),
        (61.0, "male", "inpatient"),
        (61.0, "female", None),
        (None, None, "inpatient"),
    ]
    assert {r.findings for r in found.rows} == {()}
    assert found.left_out == {"earlier ECGs of patients of val and test in echonext": 1}


def test_ecgs_that_are_left_out_need_no_waveforms(tmp_path: Path) -> None:
    write_echonext(tmp_path, [row(0), row(1, split="no_split")])
    (tmp_path / "EchoNext_no_split_waveforms.npy").unlink()
    assert len(read_source(source(tmp_path)).rows) == 1


# --- three values


def judged(tmp_path: Path, **cells: str) -> dict[str, bool | None]:
    """What each definition says of one ECG."""
    write_echonext(tmp_path, [row(0, **cells)])
    rows = read_source(source(tmp_path)).rows
    join = EchoJoin(STANDARD, None)
    found = join.findings_of(ecg_of(rows[0], ()))
    assert join.faults == []
    return {each: each in found.shown if each in found.known else None for each in STANDARD.ids}


NOT = {"LVEF_LE_40": False, "LVEF_LE_45": False}


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"lvef_value": "38.0"}, {"LVEF_LE_40": True, "LVEF_LE_45": True, "ANY": True}),
        ({"lvef_value": "42.5"}, {"LVEF_LE_40": False, "LVEF_LE_45": True}),
        # Not measured: a 0 says nothing, and a 1 as much as it says.
        ({"lvef_value": "", "lvef_lte_45_flag": "0"}, {"LVEF_LE_40": None, "LVEF_LE_45": None}),
        ({"lvef_value": "", "lvef_lte_45_flag": "1"}, {"LVEF_LE_40": None, "LVEF_LE_45": True}),
        ({"lvef_value": "60", "lvef_lte_45_flag": "1"}, NOT),  # what is measured decides
        ({"tr_max_velocity_value": "3.2"}, {"TR_VMAX_GE_3_2": True}),
        ({"tr_max_velocity_value": ""}, {"TR_VMAX_GE_3_2": None}),
        ({"tr_max_velocity_value": "", "tr_max_gte_32_flag": "1.0"}, {"TR_VMAX_GE_3_2": True}),
        ({"pasp_value": "44.9"}, {"PASP_GE_45": False}),
        ({"pasp_value": "", "pasp_gte_45_flag": "1"}, {"PASP_GE_45": True}),
        ({"ivs_measurement": "1.3"}, {"WALL_GE_13": True}),
        ({"ivs_measurement": "1.4", "lvpw_measurement": ""}, {"WALL_GE_13": True}),
        ({"lvpw_measurement": ""}, {"WALL_GE_13": None}),
        ({"ivs_measurement": "", "lvpw_measurement": "", "lvwt_gte_13_flag": "1"},
         {"WALL_GE_13": None}),
        ({"aortic_stenosis_value": "moderate"}, {"AS_MODERATE": True}),
        ({"aortic_stenosis_value": "severe"}, {"AS_MODERATE": True}),
        ({"aortic_stenosis_value": "mild"}, {"AS_MODERATE": False}),
        ({"aortic_stenosis_value": "presumed none"}, {"AS_MODERATE": None}),
        ({"aortic_stenosis_value": "", f"aortic_stenosis_{MODERATE}": "1"}, {"AS_MODERATE": True}),
        ({"mitral_regurgitation_value": ""}, {"MR_MODERATE": None}),
        ({"rv_systolic_function_value": "mildly_reduced"}, {"RV_DYSFUNCTION": False}),
        ({"rv_systolic_function_value": "moderately_reduced"}, {"RV_DYSFUNCTION": True}),
        ({"rv_systolic_function_value": "severely_reduced"}, {"RV_DYSFUNCTION": True}),
        ({"pericardial_effusion_value": "small"}, {"EFFUSION": False}),
        ({"pericardial_effusion_value": "large"}, {"EFFUSION": True}),
        ({"pulmonary_regurgitation_value": "severe"}, {"TR_MODERATE": False, "ANY": None}),
        # Neither mass index nor atrial volume is measured, so it never says that there is nothing.
        ({}, {"LVH_MASS": None, "LA_ENLARGEMENT": None, "ANY": None, "MR_MODERATE": False}),
    ],
)  # fmt: skip
def test_each_finding_is_shown_or_not_or_unknown(
    tmp_path: Path, cells: dict[str, str], expected: dict[str, bool | None]
) -> None:
    found = judged(tmp_path, **cells)
    assert {each: found[each] for each in expected} == expected


def test_a_word_or_a_number_that_is_not_understood_is_unknown_and_told_by_its_column(
    tmp_path: Path,
) -> None:
    rows = [
        row(0, mitral_regurgitation_value="bad"),
        row(1, lvef_value="600"),
        row(2, aortic_stenosis_value="presumed none", mitral_regurgitation_value="presumed none"),
    ]
    write_echonext(tmp_path / "data", rows)
    done, workspace, _ = prepared(tmp_path / "data")
    assert done.counts["left_out"] == {
        "grades of echonext that were only presumed": 2,
        "unreadable echo mr_grade": 1,
        "impossible echo lvef_percent": 1,
    }
    known = [r.echo_known for r in read_records(workspace.records(done.digest)).records]
    assert ["MR_MODERATE" in each for each in known] == [False, True, False]
    assert ["LVEF_LE_45" in each for each in known] == [True, False, True]


def test_ecgs_without_a_measurement_are_counted_not_rejected(tmp_path: Path) -> None:
    nothing = {name: "" for name in row(0) if name.endswith(("_value", "_measurement"))}
    write_echonext(tmp_path / "data", [row(0, **nothing), row(1), row(2)])
    done, workspace, _ = prepared(tmp_path / "data")
    assert done.counts["rejected"] == 0
    assert done.counts["left_out"] == {"ECGs of echonext without a measurement": 1}
    # The rows after it keep their places in the waveforms.
    table = read_records(workspace.records(done.digest))
    stored = SignalStore.open(workspace.signals(done.signals_digest)).read(table.slots)
    for number, signal_uv in zip((1, 2), stored, strict=True):
        assert np.abs(signal_uv - 1000 * expected_mv(number)).max() <= 0.51


# --- millivolts


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_samples_become_the_recorders_millivolts(tmp_path: Path, dtype: type) -> None:
    write_echonext(tmp_path, [row(0), row(1)], dtype)
    record = read_echonext_recording(tmp_path / "EchoNext_train_waveforms.npy#1")
    assert record.rate_hz == 250
    np.testing.assert_allclose(record.signal_mv, expected_mv(1), atol=1e-6)
    assert record.notes == ("limb lead derived", "median-filtered and clipped by the data set")


def test_limb_leads_agree_although_each_was_filtered_by_itself(tmp_path: Path) -> None:
    write_echonext(tmp_path, [row(0)])
    record = read_echonext_recording(tmp_path / "EchoNext_train_waveforms.npy#0")
    found, filtered = (
        check_limb_leads(signal.astype(np.float32), [True] * 12)
        for signal in (record.signal_mv, ecg_units(0) * MV_PER_UNIT)
    )
    assert found is not None
    assert filtered is not None
    assert found.residual < 1e-5
    assert filtered.residual > 0.01


def test_real_ecgs_in_the_published_units_have_about_the_published_size(real_data: Path) -> None:
    """So the deviations are of units of 4.88 µV: of 1 µV, they would be five times too small."""
    headers = sorted((real_data / "ptbxl" / "records500").rglob("*.hea"))[::40]
    units = [
        prepared_units(in_units(np.nan_to_num(read_recording(each).signal_mv[:, ::2])))
        for each in headers
    ]
    ratio = np.concatenate(units, axis=1).std(axis=1) / np.array(DEVIATION)
    assert (ratio > 0.7).all()
    assert (ratio < 1.4).all()


def test_an_ecg_that_was_standardised_otherwise_is_rejected_and_the_others_are_read(
    tmp_path: Path,
) -> None:
    write_echonext(tmp_path / "data", [row(n) for n in range(20)])
    path = tmp_path / "data" / "EchoNext_train_waveforms.npy"
    waveforms = np.load(path)
    waveforms[3] *= 1.01
    waveforms[4, 0, 100, 5] = np.inf
    np.save(path, waveforms)
    done, workspace, _ = prepared(tmp_path / "data", max_rejected_fraction=0.2)
    assert done.counts["rejected_by_reason"] == {str(Reason.UNITS): 2}
    text = workspace.rejected(done.digest).read_text(encoding="utf-8-sig")
    assert "echonext-9003" in text
    assert "echonext-9004" in text
    assert "was not standardised with the numbers that EchoNext's authors publish" in text


def test_half_precision_cannot_prove_its_millivolts(tmp_path: Path) -> None:
    write_echonext(tmp_path, [row(0)], np.float16)
    with pytest.raises(RecordError, match="was not standardised with the numbers"):
        read_echonext_recording(tmp_path / "EchoNext_train_waveforms.npy#0")


def test_samples_without_a_reading_are_gaps_as_in_any_recording(tmp_path: Path) -> None:
    write_echonext(tmp_path / "data", [row(0), row(1)])
    path = tmp_path / "data" / "EchoNext_train_waveforms.npy"
    waveforms = np.load(path)
    waveforms[0, 0, 500:520, 6] = np.nan
    waveforms[1] = np.nan
    np.save(path, waveforms)
    done, _, _ = prepared(tmp_path / "data", max_rejected_fraction=0.5)
    assert done.counts["rejected_by_reason"] == {"leads": 1}
    assert done.counts["notes"]["gap filled"] == 1


def test_one_ecg_of_a_large_array_is_read_without_the_others(tmp_path: Path) -> None:
    path = tmp_path / "EchoNext_train_waveforms.npy"
    shape = (20_000, 1, 2500, 12)  # 5 GB, of which nothing but the last ECG is on the disk
    array = np.lib.format.open_memmap(path, "w+", np.float64, shape)
    array[-1] = standardised(ecg_units(0))
    del array
    tracemalloc.start()
    record = read_echonext_recording(path.with_name(f"{path.name}#19999"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_allclose(record.signal_mv, expected_mv(0), atol=1e-6)
    assert peak < 10e6


# --- what is wrong


def test_a_folder_that_is_not_echonext_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"has no echonext_metadata_100k\.csv"):
        read_source(source(tmp_path))


def test_a_table_without_splits_is_refused(tmp_path: Path) -> None:
    write_echonext(tmp_path, [row(0)])
    table = tmp_path / "echonext_metadata_100k.csv"
    table.write_text(table.read_text().replace(",split", ",fold"))
    with pytest.raises(SourceError, match=r"has no column split\. It has: "):
        read_source(source(tmp_path))


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ({"split": "dev2"}, "row 3 of echonext: split is 'dev2', but must be train, val or test"),
        ({"ecg_key": ""}, "row 3 of echonext has no ecg_key"),
    ],
)
def test_a_row_that_cannot_be_placed_is_named(
    tmp_path: Path, cells: dict[str, str], told: str
) -> None:
    write_echonext(tmp_path, [row(0), row(1, **cells)])
    with pytest.raises(SourceError, match=told):
        read_source(source(tmp_path))


def test_waveforms_that_are_missing_or_of_other_length_are_refused(tmp_path: Path) -> None:
    write_echonext(tmp_path, [row(0), row(1), row(2, split="val")])
    write_table(tmp_path, [row(0), row(1), row(2, split="val"), row(3)])
    told = r"_train_waveforms\.npy has 2 ECGs, but 3 rows of echonext_metadata_100k\.csv are in"
    with pytest.raises(SourceError, match=told):
        read_source(source(tmp_path))
    write_table(tmp_path, [row(0), row(1), row(2, split="test")])
    with pytest.raises(SourceError, match=r"_test_waveforms\.npy does not exist, but 1 rows"):
        read_source(source(tmp_path))


@pytest.mark.parametrize(
    ("waveforms", "told"),
    [
        (np.zeros((2, 2500, 12)), r"it holds float64 of shape \(2, 2500, 12\), not floating point"),
        (np.zeros((2, 1, 12, 2500)), r"of shape \(2, 1, 12, 2500\)"),
        (np.zeros((2, 1, 2500, 12), np.int16), "it holds int16"),
        (b"\x93NUMPY\x01\x00 no array", "cannot be read"),
        (b"", "cannot be read: it is empty"),
        ({}, "cannot be read: it is an archive, not one array"),
    ],
)
def test_waveforms_of_another_shape_are_refused(
    tmp_path: Path, waveforms: np.ndarray | bytes | dict[str, np.ndarray], told: str
) -> None:
    write_echonext(tmp_path, [row(0), row(1)])
    path = tmp_path / "EchoNext_train_waveforms.npy"
    if isinstance(waveforms, bytes):
        path.write_bytes(waveforms)
    elif isinstance(waveforms, dict):
        with path.open("wb") as file:
            np.savez(file, array=np.zeros((2, 1, 2500, 12)))
    else:
        np.save(path, waveforms)
    with pytest.raises(SourceError, match=told):
        read_source(source(tmp_path))


def test_an_array_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    write_echonext(tmp_path, [row(0), row(1)])
    path = tmp_path / "EchoNext_train_waveforms.npy"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(SourceError, match="cannot be read"):
        read_source(source(tmp_path))


@pytest.mark.parametrize("number", ["2", "-3", "x"])
def test_a_row_that_the_array_lacks_is_a_rejected_record(tmp_path: Path, number: str) -> None:
    write_echonext(tmp_path, [row(0), row(1)])
    with pytest.raises(RecordError):
        read_echonext_recording(tmp_path / f"EchoNext_train_waveforms.npy#{number}")
    with pytest.raises(RecordError, match="does not exist"):
        read_echonext_recording(tmp_path / "EchoNext_val_waveforms.npy#0")


# --- in a project


def test_a_change_of_the_table_or_of_the_definitions_prepares_anew_without_reading_ecgs(
    tmp_path: Path,
) -> None:
    root = tmp_path / "data"
    write_echonext(root, [row(0), row(1)])
    done, workspace, config = prepared(root)
    assert done.work.read == 2
    digest = inputs_digest(config, TAXONOMY, workspace, STANDARD)
    assert find_prepared(config, digest, workspace) is not None
    write_table(root, [row(0, lvef_value="35"), row(1)])
    assert (
        find_prepared(config, inputs_digest(config, TAXONOMY, workspace, STANDARD), workspace)
        is None
    )
    again, _, _ = prepared(root)
    assert again.work.read == 0
    assert again.counts["echo"]["findings"]["LVEF_LE_40"] == {
        "shown": 1, "not_shown": 1, "unknown": 0,
    }  # fmt: skip
    assert again.counts["echo"]["brought"] == 2


def test_it_stands_beside_a_hospitals_table_and_its_echocardiograms(tmp_path: Path) -> None:
    write_echonext(tmp_path / "data", [row(0, lvef_value="35"), row(1)])
    hospital = Hospital(tmp_path, 4)
    for each in hospital.rows:
        each["recorded_at"] = "2024-03-01"
    (tmp_path / "echo.csv").write_text("patient_id,echo_at,lvef\np0,2024-03-02,60\n")
    sources = (*hospital.config.sources, source(tmp_path / "data"))  # r00 is after echonext-9000
    done = hospital.prepare(sources=sources, echo=EchoConfig(table=tmp_path / "echo.csv"))
    records = {r.record_id: r for r in hospital.records(done).records}
    assert list(records) == ["echonext-9000", "echonext-9001", "r00", "r01", "r02", "r03"]
    low = {each: "LVEF_LE_45" in r.echo_shown for each, r in records.items() if r.echo_known}
    assert low == {"echonext-9000": True, "echonext-9001": False, "r00": False, "r01": False}
    assert [bool(r.findings) for r in records.values()] == [False, False, True, True, True, True]
    counts = done.counts["echo"]
    assert (counts["brought"], counts["joined"], counts["ecgs"]) == (2, 2, 4)
    assert counts["findings"]["LVEF_LE_45"] == {"shown": 1, "not_shown": 3, "unknown": 0}


def settings(root: Path, **more: object) -> dict[str, object]:
    return {
        "name": "x",
        "data": {"sources": [{"kind": "echonext", "root": str(root)} | more]},
        "text": {"model": "./nothing"},
        "train": {"preset": "recommended"},
        "eval": {"tasks": ["echo-any"]},
    }


def test_definitions_are_one_file_for_all_that_is_measured(tmp_path: Path) -> None:
    config = parse_config(settings(tmp_path, definitions="own.yaml"), tmp_path, "x")
    assert config.data.echo_definitions == str(tmp_path / "own.yaml")
    echo = EchoConfig(table=tmp_path / "echo.csv")
    assert DataConfig(sources=(source(tmp_path),), echo=echo).echo_definitions == "standard"
    both = settings(tmp_path, definitions="own.yaml")
    both["data"]["echo"] = {"table": "echo.csv"}
    with pytest.raises(ConfigError, match=r"are own\.yaml and standard: set those of echo and of"):
        parse_config(both, tmp_path, "x")


def test_check_says_what_was_measured_and_what_is_wrong(tmp_path: Path) -> None:
    rows = [
        row(0, lvef_value="35"),
        row(1, mitral_regurgitation_value="山田"),
        row(2, split="val"),
        row(3, split="test", lvef_value="", patient_key="9", mitral_regurgitation_value="severe"),
        row(4, split="no_split", patient_key="9"),
    ]
    write_echonext(tmp_path / "data", rows)
    report = run_check(parse_config(settings(tmp_path / "data"), tmp_path, "x"), None)
    assert report.overview["rows"] == "4 ECGs of 4 patients (train 2, val 1, test 1)"
    assert report.overview["echo in the data"] == "4 ECGs come with what an echo measured"
    told = report.overview["echo findings"]
    assert told.startswith("shown/known: LVEF_LE_40 1/3, LVEF_LE_45 1/3, WALL_GE_13 0/4,")
    assert "ANY 2/2" in told
    (one_sided,) = [each for each in report.problems if each.kind == "task one-sided"]
    assert one_sided.summary.startswith("the task echo-any has no AUROC: of no class do some test")
    assert report.overview["amplitude"].split()[2] != "0.00"
    (unread,) = [each for each in report.problems if each.kind == "echo rows"]
    assert unread.summary == "1 in echonext: unreadable echo mr_grade"
    assert [each.place for each in unread.examples] == ["row 3 of echonext"]
    assert "山田" not in str([(each.summary, each.fix) for each in report.problems])
    kinds = {each.kind for each in report.problems}
    assert kinds.isdisjoint({"empty findings", "no text", "echo not learnt", "units", "amplitude"})
    sentence = settings(tmp_path / "data") | {"train": {"preset": "paper"}}
    kinds = {each.kind for each in run_check(parse_config(sentence, tmp_path, "x"), 0).problems}
    assert {"echo not learnt", "empty split"} <= kinds


def test_mean_and_deviation_are_those_of_the_leads(tmp_path: Path) -> None:
    """0 in an array is the mean of its lead, and 1 one deviation more."""
    assert len(MEAN) == len(DEVIATION) == 12
    write_echonext(tmp_path, [row(0)])
    path = tmp_path / "EchoNext_train_waveforms.npy"
    step = np.array([1, 1, 1, 0.5, 0.5, 0.5, 1, 1, 1, 1, 1, 1])
    array = np.empty((1, 1, 2500, 12))
    array[...] = (step * 7 - MEAN) / DEVIATION  # seven steps above the baseline
    array[0, 0, 0] = -np.array(MEAN) / DEVIATION  # a lead that never moves is not derived from
    np.save(path, array)
    signal_mv = read_echonext_recording(tmp_path / f"{path.name}#0").signal_mv
    for lead in ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"):
        assert signal_mv[LEADS.index(lead), 0] == pytest.approx(0, abs=1e-7)
        np.testing.assert_allclose(signal_mv[LEADS.index(lead), 1:], 7 * MV_PER_UNIT, rtol=1e-6)
