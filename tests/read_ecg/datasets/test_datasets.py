"""Data sets: patient, split, findings and exact samples of every ECG."""

import csv
import dataclasses
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import wfdb
import yaml
from wfdb_files import ecg_like, write_wfdb

from ecgpipe.cache.records_table import Record, read_records
from ecgpipe.cache.signals.reader import SignalStore
from ecgpipe.config.data import (
    Cinc2021Source,
    DataConfig,
    MimicIvEcgSource,
    MitbihSource,
    PtbxlSource,
    Source,
    TableSource,
)
from ecgpipe.config.file import parse_config
from ecgpipe.errors import ConfigError, RecordError, SourceError
from ecgpipe.evaluate.tasks.task import load_task
from ecgpipe.evaluate.tasks.taxonomy import Taxonomy, load_taxonomy, parse_taxonomy
from ecgpipe.read_ecg.datasets.adapters import read_source, source_digest
from ecgpipe.read_ecg.datasets.mitbih import AAMI, FINDINGS, RECORDS, read_mitbih_recording
from ecgpipe.read_ecg.datasets.source import SourceRow
from ecgpipe.read_ecg.datasets.splits import assign_splits, check_patients
from ecgpipe.read_ecg.prepare.plan import Plan, read_plan
from ecgpipe.read_ecg.prepare.preparation import Prepared, prepare
from ecgpipe.read_ecg.prepare.record_rows import RecordRows
from ecgpipe.read_ecg.signal.record import LEADS, EcgRecord, excerpt
from ecgpipe.stopping import Stop
from ecgpipe.workspace import Workspace

TAXONOMY = load_taxonomy("findings98")


def prepared(
    tmp_path: Path, *sources: Any, taxonomy: Taxonomy = TAXONOMY, **settings: Any
) -> tuple[Prepared, tuple[Record, ...], np.ndarray]:
    """The counts, the records and their stored signals."""
    config = DataConfig(sources=sources, max_rejected_fraction=1.0, **settings)
    workspace = Workspace(tmp_path / "work", "x")
    done = prepare(config, taxonomy, workspace, Stop())
    table = read_records(workspace.records(done.digest))
    store = SignalStore.open(workspace.signals(done.signals_digest))
    return done, tuple(table.records), store.read(table.slots)


# --- the PhysioNet/CinC Challenge 2021


def write_cinc(folder: Path, name: str, dx: str, age: str = "60", sex: str = "Male") -> None:
    header = write_wfdb(folder, name, ecg_like()).with_suffix(".hea")
    with header.open("a") as file:
        file.write(f"#Age: {age}\n#Sex: {sex}\n#Dx: {dx}\n#Rx: Unknown\n")


def cinc(root: Path, **settings: Any) -> Cinc2021Source:
    return Cinc2021Source(kind="cinc2021", root=root, **settings)


def test_every_cinc_record_is_stored_as_wfdb_reads_it(real_data: Path, tmp_path: Path) -> None:
    done, records, signals_uv = prepared(
        tmp_path, cinc(real_data / "cinc2021"), taxonomy=load_taxonomy("findings98")
    )
    assert done.counts["planned"] == 40
    assert set(done.counts["rejected_by_reason"]) <= {"no findings or report"}
    assert len(records) >= 30
    for record, signal_uv in zip(records, signals_uv, strict=True):
        name = record.record_id.removeprefix("cinc2021-")
        reference = wfdb.rdrecord(str(real_data / "cinc2021" / name))
        assert reference.fs == 500
        physical_uv = reference.p_signal[:5000].T * 1000
        order = [reference.sig_name.index(lead) for lead in LEADS]
        stored = signal_uv[:, : physical_uv.shape[1]]
        flat = np.ptp(physical_uv[order], axis=1) == 0
        assert np.abs(stored - physical_uv[order])[~flat].max() <= 0.5
        assert (stored[flat] == -32768).all()


def test_a_cinc_header_becomes_a_row(real_data: Path) -> None:
    rows = {row.record_id: row for row in read_source(cinc(real_data / "cinc2021")).rows}
    assert len(rows) == 40
    first, other = rows["cinc2021-JS00001"], rows["cinc2021-E00001"]
    assert first.patient_id == "cinc2021-JS00001"
    assert (first.age, first.sex, first.site) == (85.0, "male", "chapman-ningbo")
    assert (other.age, other.sex, other.site) == (None, "female", "georgia")
    # Dx: 164889003,59118001,164934002
    ids = TAXONOMY.resolve_all(first.findings)
    assert [TAXONOMY[i].english for i in ids] == [
        "Atrial fibrillation",
        "Complete right bundle branch block",
        "T-wave abnormality",
    ]


@pytest.mark.parametrize(
    ("code", "english"),
    [
        ("426783006", "Sinus rhythm"),
        ("164889003", "Atrial fibrillation"),  # not that with a slow response
        ("54329005", "Anterior wall infarction"),  # not the extensive one
        ("164934002", "T-wave abnormality"),  # not the flat T wave
        ("59118001", "Complete right bundle branch block"),
        ("164909002", "Complete left bundle branch block"),
        ("63593006", "Premature atrial contraction"),
        ("17338001", "Premature ventricular contraction"),
        ("164884008", "Premature ventricular contraction"),  # as CPSC 2018 codes its PVC
    ],
)
def test_a_code_means_what_the_challenge_scores_it_as(
    tmp_path: Path, code: str, english: str
) -> None:
    write_cinc(tmp_path, "A0001", code)
    (row,) = read_source(cinc(tmp_path)).rows
    assert [TAXONOMY[i].english for i in TAXONOMY.resolve_all(row.findings)] == [english]


def test_unknown_codes_are_left_out_and_counted_and_the_record_stays(tmp_path: Path) -> None:
    ecgs = tmp_path / "ecgs"
    write_cinc(ecgs / "g1", "A0001", "426783006,55930002")
    write_cinc(ecgs / "g2", "E00002", "55930002, 164865005")
    write_cinc(ecgs / "g2", "E00003", "Yamada Taro,426783006")
    done, records, _ = prepared(tmp_path, cinc(ecgs))
    assert [(r.record_id, r.findings) for r in records] == [
        ("cinc2021-A0001", ("2",)),
        ("cinc2021-E00003", ("2",)),
    ]
    assert done.counts["left_out"] == {"code 55930002": 2, "code 164865005": 1, "other codes": 1}
    assert done.counts["rejected_by_reason"] == {"no findings or report": 1}


def test_copies_of_ptbxl_are_left_out_where_ptbxl_is_a_source(
    tmp_path: Path, real_data: Path
) -> None:
    for name in ("HR00001", "S0001", "A0001"):
        write_cinc(tmp_path / "ecgs", name, "426783006")
    alone = DataConfig(sources=(cinc(tmp_path / "ecgs"),))
    assert len(read_plan(alone)) == 3
    ptbxl = PtbxlSource(kind="ptbxl", root=real_data / "ptbxl", split_column="subset_split")
    both = read_plan(dataclasses.replace(alone, sources=(*alone.sources, ptbxl)))
    assert [p.row.record_id for p in both if p.source.name == "cinc2021"] == ["cinc2021-A0001"]
    assert both.public_codes() == {"426783006": 1}

    nothing_known = parse_taxonomy("id,japanese,english\n1,x,y\n", "nothing")
    assert RecordRows(both, (), nothing_known, alone).counts({})["left_out"] == {
        "records of cinc2021 that another source has too": 2,
        "code 426783006": 1,
    }


def test_people_recorded_several_times_cannot_fall_into_two_parts(tmp_path: Path) -> None:
    for number in range(40):
        write_cinc(tmp_path, f"I{number:04}", "426783006")
        write_cinc(tmp_path, f"E{number:05}", "426783006")
    rows = read_source(cinc(tmp_path)).rows
    splits = assign_splits(rows, DataConfig(sources=(cinc(tmp_path),)).split)
    check_patients(zip(rows, splits, strict=True))
    parts = {name: set() for name in ("incart", "georgia")}
    for row, split in zip(rows, splits, strict=True):
        parts[str(row.site)].add(split)
    assert len(parts["incart"]) == 1
    assert len(parts["georgia"]) > 1


def test_databases_can_be_chosen_and_none_is_an_error(tmp_path: Path) -> None:
    write_cinc(tmp_path, "A0001", "426783006")
    write_cinc(tmp_path, "E00001", "426783006")
    write_cinc(tmp_path, "other", "426783006")
    assert [r.path for r in read_source(cinc(tmp_path, databases=("georgia",))).rows] == ["E00001"]
    with pytest.raises(SourceError, match="has no record of ptb, such as"):
        read_source(cinc(tmp_path, databases=("ptb",)))
    data = {"sources": [{"kind": "cinc2021", "root": str(tmp_path), "databases": []}]}
    with pytest.raises(ConfigError, match=r"databases.*at least 1"):
        parse_config({"name": "x", "data": data, "text": {"model": "m"}}, tmp_path, "x.yaml")


def test_a_changed_header_makes_prepared_data_stale(tmp_path: Path) -> None:
    write_cinc(tmp_path, "A0001", "426783006")
    before = source_digest(cinc(tmp_path), tmp_path / "memo.json")
    assert source_digest(cinc(tmp_path), tmp_path / "memo.json") == before
    write_cinc(tmp_path, "A0001", "426783006,164889003")
    assert source_digest(cinc(tmp_path), tmp_path / "memo.json") != before


def test_headers_elsewhere_with_other_times_are_the_same_and_read_once(tmp_path: Path) -> None:
    here, there, memo = tmp_path / "here", tmp_path / "there", tmp_path / "memo.json"
    write_cinc(here, "A0001", "426783006")
    before = source_digest(cinc(here), memo)
    shutil.copytree(here, there)
    for file in there.rglob("*"):
        os.utime(file, (1_000_000_000, 1_000_000_000))
    assert source_digest(cinc(there), memo) == before
    (file,) = there.rglob("A0001.hea")
    text = file.read_text()
    file.write_text(text.replace("426783006", "164889003"))  # of the same length
    assert source_digest(cinc(there), memo) != before
    memo.write_text("[]")  # damaged: digests are made anew
    assert source_digest(cinc(here), memo) == before


# --- the MIT-BIH Arrhythmia Database


BEAT = 300  # samples from beat to beat


def mitbih(root: Path, **settings: Any) -> MitbihSource:
    return MitbihSource(kind="mitbih", root=root, **settings)


def write_mitbih(
    root: Path,
    record: str,
    beats: str,
    rhythms: Sequence[tuple[int, str]] = ((0, "(N"),),
    leads: tuple[str, str] = ("MLII", "V1"),
) -> None:
    """A recording with a beat every 300 samples, the first at 300; rhythms by beat."""
    n = BEAT * (len(beats) + 1)
    write_wfdb(root, record, ecg_like(n, n_leads=2), leads=leads, rate="360")
    marks = [(BEAT * (place + 1), symbol, "") for place, symbol in enumerate(beats)]
    marks += [(BEAT * (place + 1) - 10, "+", name) for place, name in rhythms]
    marks.sort()
    samples, symbols, notes = zip(*marks, strict=True)
    wfdb.wrann(
        record, "atr", np.array(samples), list(symbols), aux_note=list(notes), write_dir=str(root)
    )


def test_every_mitbih_window_is_what_wfdb_reads_there(real_data: Path, tmp_path: Path) -> None:
    """At 360 Hz, so that the only difference is quantisation."""
    source = mitbih(real_data / "mitdb", exclude=(), windows_per_beat=3)
    done, records, signals_uv = prepared(tmp_path, source, rate_hz=360, min_leads=2)
    assert done.counts["rejected"] == 0
    assert len({r.record_id.split("-")[1] for r in records}) == 11
    named = {"MLII": "II"} | {lead: lead for lead in LEADS}
    for record, signal_uv in zip(records, signals_uv, strict=True):
        _, name, sample = record.record_id.split("-")
        start = int(sample) - 1800
        reference = wfdb.rdrecord(
            str(real_data / "mitdb" / name), sampfrom=start, sampto=start + 3600
        )
        present = [LEADS.index(named[lead]) for lead in reference.sig_name]
        assert np.abs(signal_uv[present] - reference.p_signal.T * 1000).max() <= 0.5
        assert (np.delete(signal_uv, present, axis=0) == -32768).all()


def test_mitbih_is_prepared_at_the_settings_rate(real_data: Path, tmp_path: Path) -> None:
    source = mitbih(real_data / "mitdb", windows_per_beat=2)
    done, _, signals_uv = prepared(tmp_path, source, min_leads=2)
    assert done.counts["notes"]["resampled"] == done.counts["prepared"]
    assert signals_uv.shape[1:] == (12, 5000)


def test_the_central_beat_gives_the_finding_and_is_in_the_centre(real_data: Path) -> None:
    source = read_source(mitbih(real_data / "mitdb"))
    marks = {
        name: wfdb.rdann(str(real_data / "mitdb" / name), "atr")
        for name in {row.path for row in source.rows}
    }
    for row in source.rows:
        found = marks[row.path]
        assert row.start_s is not None
        centre = round(row.start_s * 360) + 1800
        at = int(np.flatnonzero(found.sample == centre)[0])
        symbol = found.symbol[at]
        assert row.findings == (FINDINGS[symbol],)
        near = [
            s
            for s, t in zip(found.symbol, found.sample, strict=True)
            if centre - 1800 <= t < centre + 1800
        ]
        assert {s for s in near if s.isalpha() or s in "/!["} <= {symbol, "N"}


def test_beats_in_atrial_fibrillation_are_not_called_sinus_rhythm(tmp_path: Path) -> None:
    write_mitbih(tmp_path, "100", "N" * 100, [(0, "(N"), (40, "(AFIB"), (60, "(N")])
    rows = read_source(mitbih(tmp_path)).rows
    assert rows
    for row in rows:
        assert row.start_s is not None
        start, end = row.start_s * 360, row.start_s * 360 + 3600
        assert end <= BEAT * 41 or start >= BEAT * 61 - 10


def test_a_window_with_another_abnormal_beat_is_not_drawn(tmp_path: Path) -> None:
    # One V, and an A five beats (1,500 samples) later: each is in the other's window.
    write_mitbih(tmp_path, "100", "N" * 20 + "V" + "N" * 4 + "A" + "N" * 20)
    assert {r.findings[0] for r in read_source(mitbih(tmp_path)).rows} == {"Sinus rhythm"}
    # Seven beats away it is outside, but the windows overlap, so only one can be drawn.
    write_mitbih(tmp_path, "100", "N" * 20 + "V" + "N" * 6 + "A" + "N" * 20)
    assert {r.findings[0] for r in read_source(mitbih(tmp_path)).rows} == {
        "Sinus rhythm",
        "Premature atrial contraction",
    }


def test_a_run_of_atrial_beats_is_a_tachycardia_and_not_drawn(tmp_path: Path) -> None:
    write_mitbih(tmp_path, "100", "A" * 40, [(0, "(SVTA")])
    with pytest.raises(SourceError, match="No beat of the MIT-BIH records"):
        read_source(mitbih(tmp_path))


def test_bigeminy_is_a_rhythm_that_ventricular_beats_make(tmp_path: Path) -> None:
    write_mitbih(tmp_path, "100", "NV" * 30, [(0, "(B")])
    assert {r.findings for r in read_source(mitbih(tmp_path)).rows} == {
        ("Premature ventricular contraction",)
    }


def test_no_two_windows_of_a_record_overlap_and_none_leaves_it(tmp_path: Path) -> None:
    write_mitbih(tmp_path, "100", "N" * 30 + "V" + "N" * 69)
    starts = sorted(r.start_s for r in read_source(mitbih(tmp_path, windows_per_beat=99)).rows)
    assert starts[0] >= 0
    assert starts[-1] + 10 <= BEAT * 101 / 360
    assert min(np.diff(starts)) >= 10
    assert len(starts) >= 4


def test_another_seed_draws_other_windows_and_the_same_one_the_same(real_data: Path) -> None:
    ids = [
        {r.record_id for r in read_source(mitbih(real_data / "mitdb", seed=seed)).rows}
        for seed in (0, 0, 1)
    ]
    assert ids[0] == ids[1] != ids[2]


def test_the_number_of_windows_per_beat_and_record_is_limited(real_data: Path) -> None:
    rows = read_source(mitbih(real_data / "mitdb", windows_per_beat=4)).rows
    assert max(Counter((row.path, row.findings) for row in rows).values()) == 4


def test_classes_are_aamis(real_data: Path) -> None:
    rows = read_source(mitbih(real_data / "mitdb", classes=("V",))).rows
    assert {row.findings[0] for row in rows} <= {
        "Premature ventricular contraction",
        "Ventricular escape rhythm",
    }
    assert sorted("".join(AAMI.values())) == sorted("NLRejAaJSVEF/fQ")


def test_ds1_and_ds2_are_de_chazals_but_for_the_one_person_in_both(tmp_path: Path) -> None:
    for record in RECORDS:
        write_mitbih(tmp_path, record, "N" * 30)
    rows = read_source(mitbih(tmp_path)).rows
    splits = {row.path: row.split for row in rows}
    assert Counter(splits.values()) == {"train": 19, "val": 4, "test": 21}
    assert (splits["201"], splits["202"]) == ("train", "train")
    assert (splits["100"], splits["234"], splits["230"]) == ("test", "test", "train")
    assert not {"102", "104", "107", "217"} & set(splits)
    assert len({row.patient_id for row in rows}) == 43
    check_patients((row, str(row.split)) for row in rows)


def test_with_202_in_the_validation_its_other_record_follows(tmp_path: Path) -> None:
    for record in ("201", "202"):
        write_mitbih(tmp_path, record, "N" * 30)
    rows = read_source(mitbih(tmp_path, val_records=("201",))).rows
    assert {row.split for row in rows} == {"val"}
    assert {row.split for row in read_source(mitbih(tmp_path, split="drawn")).rows} == {None}
    assert {row.split for row in read_source(mitbih(tmp_path, split="test")).rows} == {"test"}


def test_validation_shows_all_five_classes_of_mets(real_data: Path) -> None:
    task = load_task("mitbih", TAXONOMY, None)
    rows = read_source(mitbih(real_data / "mitdb")).rows
    ids = [TAXONOMY.resolve_all(row.findings) for row in rows if row.split == "val"]
    assert task.truth(ids).sum(axis=0).min() >= 5


@pytest.mark.parametrize("taxonomy", ["findings98"])
def test_a_symbol_means_the_first_finding_with_it_in_the_list(taxonomy: str) -> None:
    listed: dict[str, str] = {}
    for finding in load_taxonomy(taxonomy).findings:
        listed.setdefault(finding.groups.get("mitbih", ""), finding.english)
    assert {symbol: listed[symbol] for symbol in FINDINGS} == FINDINGS
    # What the list has no word for, no window is drawn of.
    assert set("".join(AAMI.values())) - set(FINDINGS) == set("eJSfQ")
    assert not set("eJSfQ") & set(listed)


def test_modified_lead_two_is_lead_two_here_only(tmp_path: Path) -> None:
    from ecgpipe.read_ecg.signal.leads import canonical_lead

    write_mitbih(tmp_path, "100", "N" * 30, leads=("MLII", "V5"))
    record = read_mitbih_recording(tmp_path / "100")
    present = np.isfinite(record.signal_mv).all(axis=1)
    assert [lead for lead, there in zip(LEADS, present, strict=True) if there] == ["II", "V5"]
    assert canonical_lead("MLII") is None


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda f: f.with_suffix(".dat").unlink(), "missing file"),
        (lambda f: f.with_suffix(".hea").unlink(), "missing file"),
        (lambda f: f.with_suffix(".dat").write_bytes(b"\0" * 100), "truncated"),
        (
            lambda f: f.with_suffix(".dat").write_bytes(
                f.with_suffix(".dat").read_bytes()[:-2] + b"\1\1"
            ),
            "checksum",
        ),
        (
            lambda f: f.with_suffix(".hea").write_text(
                f.with_suffix(".hea").read_text().replace("1000(0)/mV", "0/mV")
            ),
            "no gain",
        ),
    ],
)
def test_a_damaged_mitbih_recording_is_refused(tmp_path: Path, spoil: Any, reason: str) -> None:
    write_mitbih(tmp_path, "100", "N" * 30)
    read_mitbih_recording(tmp_path / "100")
    spoil(tmp_path / "100")
    with pytest.raises(RecordError) as caught:
        read_mitbih_recording(tmp_path / "100")
    assert caught.value.reason == reason


def test_requiring_twelve_leads_of_mitbih_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="have two leads, so all would be rejected: set min_leads"):
        DataConfig(sources=(mitbih(tmp_path),))
    assert DataConfig(sources=(mitbih(tmp_path),), min_leads=2).min_leads == 2


def test_a_folder_without_mitbih_or_its_annotations_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has no record of MIT-BIH"):
        read_source(mitbih(tmp_path))
    write_mitbih(tmp_path, "100", "N" * 30)
    (tmp_path / "100.atr").unlink()
    with pytest.raises(SourceError, match=r"100\.atr does not exist"):
        read_source(mitbih(tmp_path))
    with pytest.raises(SourceError, match=r"100\.atr does not exist"):
        source_digest(mitbih(tmp_path), tmp_path / "memo.json")


# --- windows of a longer recording


def row(**settings: Any) -> SourceRow:
    return SourceRow(
        **{"record_id": "a", "patient_id": "p", "path": "a", "findings": ("2",)} | settings
    )


def test_a_window_is_cut_at_its_start() -> None:
    record = EcgRecord(np.tile(np.arange(3600, dtype=np.float32), (12, 1)), 360.0, ("note",))
    part = excerpt(record, 2.5, 5.0)
    assert (part.signal_mv[0, 0], part.signal_mv.shape, part.rate_hz) == (900, (12, 1800), 360)
    assert part.notes == ("note",)


@pytest.mark.parametrize(
    ("start_s", "length_s"), [(-0.1, 5.0), (5.1, 5.0), (0.0, 0.0), (float("nan"), 5.0)]
)
def test_a_window_outside_the_recording_is_refused(start_s: float, length_s: float) -> None:
    record = EcgRecord(np.zeros((12, 3600), np.float32), 360.0)
    with pytest.raises(RecordError) as caught:
        excerpt(record, start_s, length_s)
    assert caught.value.reason == "too short"


def test_another_window_of_the_same_recording_is_another_plan(tmp_path: Path) -> None:
    def plan_hash(**settings: Any) -> str:
        from ecgpipe.read_ecg.datasets.source import SourceRows

        rows = (row(**settings),)
        source = SourceRows(name="x", kind="x", root=tmp_path, table=tmp_path, rows=rows)
        return Plan([(source, ["train"])]).hash()

    hashes = {
        plan_hash(),
        plan_hash(start_s=0.0, length_s=10.0),
        plan_hash(start_s=1.0, length_s=10.0),
        plan_hash(start_s=0.0, length_s=8.0),
    }
    assert len(hashes) == 4


# --- MIMIC-IV-ECG


LINES = tuple(f"report_{n}" for n in range(18))


def write_mimic(root: Path, reports: Sequence[Sequence[str]], **cells: str) -> MimicIvEcgSource:
    root.mkdir(parents=True, exist_ok=True)
    with (root / "record_list.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["subject_id", "study_id", "file_name", "ecg_time", "path"])
        for n, _ in enumerate(reports):
            path = f"files/p{n // 2}/s{n}/{n}"
            table.writerow([n // 2, n, n, "2180-07-23 08:44:00", path])
    with (root / "machine_measurements.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["subject_id", "study_id", "cart_id", "ecg_time", *LINES, "bandwidth"])
        for n, lines in reversed(list(enumerate(reports))):
            table.writerow(
                [n // 2, n, 1, "x", *lines, *[""] * (18 - len(lines)), "0.005-150 Hz, notch"]
            )
    return MimicIvEcgSource(kind="mimic-iv-ecg", root=root)


def test_the_lines_of_a_machine_report_are_joined_and_kept_with_their_study(
    tmp_path: Path,
) -> None:
    source = write_mimic(
        tmp_path, [["Sinus rhythm", "", "Left axis deviation"], [], ["Sinus rhythm", "Normal, ECG"]]
    )
    rows = read_source(source).rows
    assert [row.report for row in rows] == [
        "Sinus rhythm; Left axis deviation",
        None,
        "Sinus rhythm; Normal, ECG",
    ]
    assert rows[0].record_id == "mimic-iv-ecg-0"
    assert [row.patient_id for row in rows] == ["mimic-iv-0", "mimic-iv-0", "mimic-iv-1"]
    assert rows[2].path == "files/p1/s2/2"
    assert (rows[2].recorded_at, rows[2].split, rows[2].findings) == (
        "2180-07-23 08:44:00",
        None,
        (),
    )
    joined = read_source(dataclasses.replace(source, separator=" | ")).rows
    assert joined[0].report == "Sinus rhythm | Left axis deviation"


def test_mimic_tables_in_different_orders_are_joined_by_study(tmp_path: Path) -> None:
    source = write_mimic(tmp_path, [["one"], ["two"], [], ["four"], ["five"]])
    table = tmp_path / "machine_measurements.csv"
    header, *written = table.read_text().splitlines()
    lines = sorted(written, key=lambda line: line.split(",")[1])
    for order in ([4, 2, 0, 1, 3], [1, 0, 3], []):
        table.write_text("\n".join([header, *(lines[n] for n in order)]) + "\n")
        wanted = [
            text if n in order else None
            for n, text in enumerate(["one", "two", None, "four", "five"])
        ]
        assert [row.report for row in read_source(source).rows] == wanted


def test_mimic_prepares_with_reports_split_by_subject(tmp_path: Path) -> None:
    source = write_mimic(tmp_path / "mimic", [["Sinus rhythm"]] * 5 + [[]])
    for n in range(6):
        # MIMIC keeps aVF before aVL.
        leads = ["I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6"]
        folder = tmp_path / "mimic" / f"files/p{n // 2}/s{n}"
        write_wfdb(folder, str(n), ecg_like(seed=n), leads=leads)
    done, records, signals_uv = prepared(tmp_path, source)
    assert [r.report for r in records] == ["Sinus rhythm"] * 5
    assert done.counts["rejected_by_reason"] == {"no findings or report": 1}
    assert done.counts["patients"] == 3
    assert (signals_uv[0, LEADS.index("aVF")] == ecg_like(seed=0)[4]).all()


def test_mimic_tables_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    source = write_mimic(tmp_path, [["Sinus rhythm"]] * 3)
    table = tmp_path / "machine_measurements.csv"
    whole = table.read_text()
    for text, message in [
        (whole.replace("report_7", "x"), "no column report_7"),
        (whole[:-30], "row 4, has"),
        (whole + whole.splitlines()[-1] + "\n", "row 5: its study already has a row"),
        (whole[:-2], "cannot be read"),
    ]:
        table.write_text(text)
        with pytest.raises(SourceError, match=message):
            read_source(source)
    table.unlink()
    with pytest.raises(SourceError, match=r"machine_measurements\.csv does not exist"):
        read_source(source)
    (tmp_path / "record_list.csv").write_text("subject_id,study_id,ecg_time,path\n")
    table.write_text(whole)
    with pytest.raises(SourceError, match="has no rows"):
        read_source(source)


def test_both_mimic_tables_decide_whether_data_are_stale(tmp_path: Path) -> None:
    source = write_mimic(tmp_path, [["Sinus rhythm"]] * 3)
    before = source_digest(source, tmp_path / "memo.json")
    table = tmp_path / "machine_measurements.csv"
    table.write_text(table.read_text().replace("Sinus", "Paced"))
    assert source_digest(source, tmp_path / "memo.json") != before


# --- the task, and the register


def test_the_mitbih_task_is_metss_five_beats() -> None:
    task = load_task("mitbih", TAXONOMY, None)
    members = {c.id: sorted(c.members, key=int) for c in task.classes}
    assert members == {
        "N": ["2"],
        "L": ["49"],
        "R": ["47", "53"],
        "A": ["18", "19"],
        "V": ["22", "23", "24", "25", "26", "28"],
    }
    assert task.wordings("ja")[3] == ["心房期外収縮"]


def test_every_kind_of_source_has_an_adapter() -> None:
    from ecgpipe.read_ecg.datasets import adapters

    union, _ = get_args(Source)
    assert set(get_args(union)) == set(adapters._ADAPTERS)
    assert TableSource in adapters._ADAPTERS


def test_the_shipped_file_shows_every_setting_of_every_kind() -> None:
    lines = Path("pipeline.yaml").read_text(encoding="utf-8").splitlines()
    shown: list[str] = []
    for line in lines:
        text = line.removeprefix("    # ")
        if text != line and (text.startswith("- kind:") or (shown and text.startswith("  "))):
            shown.append(text)
    sources = {entry["kind"]: entry for entry in yaml.safe_load("\n".join(shown))}
    assert set(sources) == {"table", "cinc2021", "mitbih", "mimic-iv-ecg", "echonext"}
    for entry in sources.values():
        data = {"sources": [entry], "min_leads": 2}
        config = parse_config(
            {"name": "x", "data": data, "text": {"model": "m"}}, Path.cwd(), "shown"
        )
        source = config.data.sources[0]
        assert {field.name for field in dataclasses.fields(source)} == set(entry)
        for field in dataclasses.fields(source):
            if field.default is not dataclasses.MISSING and field.name != "root":
                assert getattr(source, field.name) == field.default


def test_a_missing_table_of_any_kind_is_named(tmp_path: Path) -> None:
    sources = [
        TableSource(kind="table", table=tmp_path / "x.csv"),
        PtbxlSource(kind="ptbxl", root=tmp_path),
        MimicIvEcgSource(kind="mimic-iv-ecg", root=tmp_path),
    ]
    for source in sources:
        with pytest.raises(SourceError, match=r"The table .*\.csv does not exist or cannot"):
            source_digest(source, tmp_path / "memo.json")
