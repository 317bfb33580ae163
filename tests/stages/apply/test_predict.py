"""`ecgpipe predict`: answers for recordings, tables and experiments; refusals; stop and resume."""

import csv
import json
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from toy_experiment import Experiment as Toy
from wfdb_files import ecg_like, write_wfdb

from ecgpipe.apply_model.applied_model import AppliedModel
from ecgpipe.apply_model.archive import read_archive
from ecgpipe.apply_model.prediction_files import open_partial
from ecgpipe.apply_model.recordings import inputs_of
from ecgpipe.errors import CheckpointError, ConfigError, ModelError, StoppedEarly, StoreError
from ecgpipe.evaluate.score_file import read_scores
from ecgpipe.read_ecg.datasets.table_file import read_table
from ecgpipe.stages.apply import predict
from ecgpipe.stages.apply.models import open_model
from ecgpipe.stages.apply.predict import PredictOptions, PredictResult, run_predict
from ecgpipe.stopping import Stop

Rows = list[dict[str, Any]]


def answered(
    model: AppliedModel, names: list[str], stop: Stop | None = None, **options: Any
) -> PredictResult:
    return run_predict(
        model, lambda: inputs_of(names), PredictOptions(**options), stop or Stop(), None
    )


def rows_of(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_record_gets_the_scores_of_the_runs_own_evaluation(
    finished: tuple[Toy, Any], applied: AppliedModel, ecgs: Path, tmp_path: Path
) -> None:
    kept = read_scores(finished[0].eval_folder / "scores.h5")
    task = kept.tasks["findings"]
    out = tmp_path / "all.jsonl"
    answered(applied, [str(ecgs / "ecg")], out=out, k=len(task.class_ids))
    by_name = {Path(row["record_id"]).name: row for row in rows_of(out)}
    place_of = {class_id: place for place, class_id in enumerate(task.class_ids)}
    for record_id, scores_C in zip(kept.record_ids, task.scores_NC, strict=True):
        for one in by_name[record_id]["findings"]:
            assert one["cosine"] == pytest.approx(scores_C[place_of[one["id"]]], abs=1e-5)


def test_the_best_findings_come_first_with_probability_and_threshold(
    applied: AppliedModel, ecgs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "p.jsonl"
    answered(applied, [str(ecgs / "ecg" / "000")], out=out, k=3)
    task = applied.task()
    classes = {c.id: c for c in task.classes}
    some_probability = False
    for row in rows_of(out):
        cosines = [one["cosine"] for one in row["findings"]]
        assert len(cosines) == 3
        assert cosines == sorted(cosines, reverse=True)
        for one in row["findings"]:
            known = classes[one["id"]]
            assert one["names"] == dict(known.names)
            assert (one["above_threshold"] is None) == (known.threshold is None)
            if known.slope is not None and known.offset is not None:
                some_probability = True
                logit = known.slope * one["cosine"] + known.offset
                assert one["probability"] == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-5)
            else:
                assert one["probability"] is None
    assert some_probability


def test_one_bad_recording_is_named_and_the_rest_goes_on(
    finished: tuple[Toy, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "ward"
    write_wfdb(folder, "good", ecg_like(seed=1))
    write_wfdb(folder, "short", ecg_like(seed=1, samples=500))
    three = ecg_like(seed=1)[:3]
    np.save(folder / "three.npy", three.T.astype(np.float64) / 1000)
    (folder / "three.json").write_text(
        '{"rate_hz": 500, "units": "mV", "leads": ["I", "II", "V1"]}'
    )
    np.save(folder / "nan.npy", np.full((5000, 12), np.nan))
    leads = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
    facts = {"rate_hz": 500, "units": "mV", "leads": leads}
    (folder / "nan.json").write_text(json.dumps(facts))
    (folder / "README").write_text("ECGs\n")
    out = tmp_path / "p.csv"
    code, _, err = finished[0].run("predict", "toy", str(folder), "--out", str(out))
    assert code == 1
    with out.open(encoding="utf-8-sig", newline="") as file:
        refused = {Path(row["record_id"]).name: row["refused"] for row in csv.DictReader(file)}
    assert refused["good"] == ""
    assert "it lasts 1.0 s" in refused["short"]
    assert "7 of 12 leads are usable" in refused["three.npy"]
    assert "the model's min_leads is 12" in refused["three.npy"]
    assert "0 of 12 leads are usable" in refused["nan.npy"]
    assert "is a text, not an ECG" in refused["README"]
    assert "1 ECGs answered; 4 refused" in err


def test_a_few_are_shown_as_tables_in_the_language_that_is_wanted(
    finished: tuple[Toy, Any], ecgs: Path
) -> None:
    name = str(ecgs / "ecg" / "000" / "p00000r1")
    code, out, _ = finished[0].run("predict", "toy", name, "--language", "en", "-k", "2")
    assert code == 0
    assert out.splitlines()[0] == name
    assert "probability" in out
    code, out, err = finished[0].run("predict", "toy", name, "--json")
    assert "コサイン" in out
    assert json.loads(out.splitlines()[-1])["predict"]["answered"] == 1
    assert "SIMULATED" in err  # the notice of the model's data


def test_a_table_without_labels_is_answered_in_its_order(
    finished: tuple[Toy, Any], ecgs: Path, tmp_path: Path
) -> None:
    rows = [row for _, row in read_table(ecgs / "records.csv")][:5][::-1]
    table = tmp_path / "list.csv"
    lines = [f"{row['record_id']},{row['path']}" for row in rows]
    table.write_text("\n".join(["record_id,path", *lines, f"{rows[0]['record_id']},elsewhere"]))
    out = tmp_path / "p.parquet"
    arguments = ("--table", str(table), "--root", str(ecgs), "--out", str(out))
    code, _, _ = finished[0].run("predict", "toy", *arguments)
    assert code == 1
    read = pq.read_table(out).to_pylist()
    assert [row["record_id"] for row in read[:5]] == [row["record_id"] for row in rows]
    assert "another recording before it has the id" in read[5]["refused"]


def test_without_input_the_experiments_own_records_are_answered(
    finished: tuple[Toy, Any], tmp_path: Path
) -> None:
    toy, out = finished[0], tmp_path / "p.jsonl"
    assert toy.run("predict", "toy", "--split", "test", "--out", str(out))[0] == 0
    kept = read_scores(toy.eval_folder / "scores.h5")
    assert {row["record_id"] for row in rows_of(out)} == set(kept.record_ids)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x.xml", "--table", "t.csv"), "not both"),
        (("x.xml", "--split", "test"), "leave out INPUT"),
        (("x.xml", "--root", "."), "belongs to --table"),
        (("x.xml", "--out", "p.xlsx"), r"must end in .csv"),
        (("x.xml", "--prevalence"), "needs --out"),
        (("x.xml", "--task", "nothing"), "no task nothing"),
        (("x.xml", "--prevalence", "--out", "p.csv"), "at least 100 ECGs"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_work(
    finished: tuple[Toy, Any], arguments: tuple[str, ...], message: str
) -> None:
    code, _, err = finished[0].run("predict", "toy", *arguments)
    assert code == 2
    assert message in err


def test_an_empty_folder_says_what_was_looked_for(
    finished: tuple[Toy, Any], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    code, _, err = finished[0].run("predict", "toy", str(tmp_path / "empty"))
    assert code == 1
    assert "holds no recording, at any depth" in err


def test_a_stopped_command_goes_on_and_gives_what_an_undisturbed_one_gives(
    applied: AppliedModel, ecgs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "_BATCH", 10)
    names, whole, out = [str(ecgs / "ecg")], tmp_path / "whole.jsonl", tmp_path / "p.jsonl"
    answered(applied, names, out=whole, vectors=tmp_path / "whole.h5")
    stop, seen = Stop(), 0

    def show(row: Mapping[str, Any]) -> None:
        nonlocal seen
        seen += 1
        if seen == 25:
            stop.request("SIGTERM")

    options = PredictOptions(out=out, vectors=tmp_path / "p.h5")
    with pytest.raises(StoppedEarly, match=r"Stopped by SIGTERM\. 30 ECGs are finished and kept"):
        run_predict(applied, lambda: inputs_of(names), options, stop, show)
    assert not out.exists()
    result = answered(applied, names, out=out, vectors=tmp_path / "p.h5")
    assert result.n_earlier == 30
    assert result.n_answered == len(rows_of(whole))
    left, right = rows_of(out), rows_of(whole)
    assert [row["record_id"] for row in left] == [row["record_id"] for row in right]
    for one, other in zip(left, right, strict=True):
        for a, b in zip(one["findings"], other["findings"], strict=True):
            assert a["cosine"] == pytest.approx(b["cosine"], abs=1e-6)
    vectors = [
        np.concatenate([block.copy() for block in read_archive(path).blocks()])
        for path in (tmp_path / "p.h5", tmp_path / "whole.h5")
    ]
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


def test_sigterm_ends_with_75_and_the_next_start_finishes(
    finished: tuple[Toy, Any], ecgs: Path, tmp_path: Path
) -> None:
    toy = finished[0]
    table, out = tmp_path / "list.csv", tmp_path / "p.csv"
    path = next(row["path"] for _, row in read_table(ecgs / "records.csv"))
    table.write_text("\n".join(["record_id,path", *(f"r{n},{path}" for n in range(1000))]))
    arguments = ("predict", "toy", "--table", str(table), "--root", str(ecgs), "--out", str(out))
    process = toy.start(*arguments, "--workers", "2")
    partial, end = tmp_path / ".p.csv.partial", time.monotonic() + 60
    while time.monotonic() < end and not (partial.exists() and partial.stat().st_size > 20_000):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "run the same command again" in err
    assert not out.exists()
    code, _, err = toy.run(*arguments)
    assert code == 0
    assert "by an earlier start" in err
    with out.open(encoding="utf-8-sig", newline="") as file:
        assert [row["record_id"] for row in csv.DictReader(file)] == [f"r{n}" for n in range(1000)]


def test_other_options_do_not_continue_what_was_begun(
    applied: AppliedModel, ecgs: Path, tmp_path: Path
) -> None:
    out, names = tmp_path / "p.csv", [str(ecgs / "ecg")]
    with open_partial(out, "another key", 4):
        pass
    with pytest.raises(StoreError, match="another model or other options"):
        answered(applied, names, out=out)


def test_workers_read_what_this_process_reads(
    applied: AppliedModel, ecgs: Path, tmp_path: Path
) -> None:
    names = [str(ecgs / "ecg"), str(tmp_path / "nothing.xml")]
    for workers, name in ((1, "one"), (2, "two")):
        answered(applied, names, out=tmp_path / f"{name}.jsonl", workers=workers)
    assert rows_of(tmp_path / "one.jsonl") == rows_of(tmp_path / "two.jsonl")


def test_a_wording_of_ones_own_with_a_kept_vector_needs_no_language_model(
    applied: AppliedModel, ecgs: Path, tmp_path: Path
) -> None:
    out, one = tmp_path / "p.jsonl", applied.task().classes[0]
    wording = one.wordings["ja"][0]
    asked = tmp_path / "questions.txt"
    asked.write_bytes(f"\n{wording}\n\n".encode("cp932"))
    options = {"questions": (wording,), "questions_file": asked, "language": "ja"}
    applied_without = AppliedModel(applied.content, applied._model, "/nowhere")
    answered(applied_without, [str(ecgs / "ecg" / "000")], out=out, k=99, **options)
    for row in rows_of(out):
        (question,) = row["questions"]  # asked twice, answered once
        cosine = {f["id"]: f["cosine"] for f in row["findings"]}[one.id]
        assert question["cosine"] == pytest.approx(cosine, abs=1e-5)


def test_a_wording_without_vector_or_language_model_says_what_to_do(
    applied: AppliedModel, ecgs: Path
) -> None:
    without = AppliedModel(applied.content, applied._model, "/nowhere")
    with pytest.raises(ModelError, match=r"no kept vector.*ecgpipe fetch-model"):
        answered(without, [str(ecgs / "ecg")], questions=("ぶどう膜炎に特徴的な所見",))


def test_a_wording_without_vector_is_read_by_the_language_model(
    applied: AppliedModel, ecgs: Path, tmp_path: Path, tiny_llama: Path
) -> None:
    out = tmp_path / "p.jsonl"
    model = AppliedModel(applied.content, applied._model, str(tiny_llama))
    answered(model, [str(ecgs / "ecg" / "000")], out=out, questions=("左軸偏位を伴う何か",))
    (question,) = rows_of(out)[0]["questions"]
    assert question["distance"] is None or 0 <= question["distance"] <= 2


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\x81\xff\x00\x81"])
def test_a_file_without_questions_is_refused(
    applied: AppliedModel, ecgs: Path, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "questions.txt"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="--ask-file"):
        answered(applied, [str(ecgs / "ecg")], questions_file=file)


def test_probabilities_for_other_frequencies_stand_beside_the_first(
    finished: tuple[Toy, Any], ecgs: Path, tmp_path: Path
) -> None:
    paths = [row["path"] for _, row in read_table(ecgs / "records.csv")]
    table, out = tmp_path / "list.csv", tmp_path / "p.csv"
    lines = [f"r{n},{paths[n % len(paths)]}" for n in range(150)]
    table.write_text("\n".join(["record_id,path", *lines]))
    arguments = ("--table", str(table), "--root", str(ecgs), "--out", str(out), "--prevalence")
    code, stdout, err = finished[0].run("predict", "toy", *arguments, "--json")
    assert code == 0, err
    estimated = json.loads(stdout.splitlines()[-1])["predict"]["prevalence"]
    assert estimated
    assert all(0 <= row["found"] <= 1 for row in estimated)
    with out.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    share = {row["id"]: (row["known"], row["found"]) for row in estimated}
    checked = 0
    for row in rows:
        if row["probability_1"] and row["finding_1"] in share:
            known, found = share[row["finding_1"]]
            odds = float(row["probability_1"]) / (1 - float(row["probability_1"]))
            odds *= found / known * (1 - known) / (1 - found)
            assert float(row["corrected_1"]) == pytest.approx(odds / (1 + odds), abs=1e-4)
            checked += 1
    assert checked


def test_a_model_that_is_none_is_refused(finished: tuple[Toy, Any], tmp_path: Path) -> None:
    code, _, err = finished[0].run("predict", "nobody", "x.xml")
    assert code == 1
    assert "nobody" in err


def test_a_folder_that_holds_no_model_says_what_a_model_is(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"neither a folder that `ecgpipe export` wrote nor"):
        open_model(str(tmp_path), None)
