"""`ecgpipe report`: a draft for each recording; refusals; stop and resume."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from toy_experiment import Experiment as Toy

from ecgpipe.apply_model.applied_model import AppliedModel
from ecgpipe.apply_model.recordings import inputs_of
from ecgpipe.errors import ConfigError, StoppedEarly
from ecgpipe.stages.apply import predict
from ecgpipe.stages.apply.predict import PredictOptions, run_predict
from ecgpipe.stages.apply.report import run_report
from ecgpipe.stopping import Stop

MARK = "研究用モデルによる下書き。診断ではありません。"


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_report_has_what_predict_finds_above_its_thresholds(
    applied: AppliedModel, ecgs: Path, tmp_path: Path
) -> None:
    names, task = [str(ecgs / "ecg" / "000")], applied.task()
    reports, answers = tmp_path / "r.jsonl", tmp_path / "p.jsonl"
    run_report(applied, lambda: inputs_of(names), reports, None, Stop(), None)
    options = PredictOptions(k=len(task.classes), out=answers)
    run_predict(applied, lambda: inputs_of(names), options, Stop(), None)
    order = [c.id for c in task.classes]
    n_found = 0
    for report, prediction in zip(lines_of(reports), lines_of(answers), strict=True):
        above = {one["id"] for one in prediction["findings"] if one["above_threshold"]}
        assert report["record_id"] == prediction["record_id"]
        assert [one["id"] for one in report["findings"]] == [i for i in order if i in above]
        n_found += len(above)
    assert n_found


def test_one_bad_recording_is_named_and_the_rest_goes_on(
    finished: tuple[Toy, Any], ecgs: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "README"
    bad.write_text("ECGs\n")
    good = str(sorted((ecgs / "ecg").rglob("*.hea"))[0])
    out = tmp_path / "r.csv"
    code, _, err = finished[0].run("report", "toy", str(bad), good, "--out", str(out), "--json")
    assert code == 1
    with out.open(encoding="utf-8-sig", newline="") as file:
        refused, report = csv.DictReader(file)
    assert "is a text, not an ECG" in refused["refused"]
    assert report["report_ja"].startswith(MARK)
    assert report["report_en"].startswith("Draft by a research model. Not a diagnosis.")
    assert "report: 1 drafts, 1 recordings refused" in err


@pytest.mark.parametrize(("language", "mark"), [("ja", MARK), ("en", "Draft by a research model.")])
def test_without_out_reports_are_shown(
    finished: tuple[Toy, Any], ecgs: Path, language: str, mark: str
) -> None:
    good = str(sorted((ecgs / "ecg").rglob("*.hea"))[0])
    code, out, _ = finished[0].run("report", "toy", good, "--language", language)
    assert code == 0
    name, text = out.splitlines()
    assert f"{name}.hea" == good
    assert text.strip().startswith(mark)


def test_a_stopped_command_goes_on_where_it_stopped(
    applied: AppliedModel, ecgs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [str(ecgs / "ecg" / "000")]
    whole, torn = tmp_path / "whole.jsonl", tmp_path / "torn.jsonl"
    monkeypatch.setattr(predict, "_BATCH", 2)
    run_report(applied, lambda: inputs_of(names), whole, 1, Stop(), None)
    stop = Stop()
    stop.request("a test")
    with pytest.raises(StoppedEarly):
        run_report(applied, lambda: inputs_of(names), torn, 1, stop, None)
    assert not torn.exists()
    result = run_report(applied, lambda: inputs_of(names), torn, 1, Stop(), None)
    assert result.n_earlier == 2
    assert lines_of(torn) == lines_of(whole)


def test_another_kind_of_file_is_refused_before_anything_is_read(applied: AppliedModel) -> None:
    with pytest.raises(ConfigError, match=r"must end in \.csv or \.jsonl"):
        run_report(applied, lambda: inputs_of(["nowhere"]), Path("r.parquet"), 1, Stop(), None)
