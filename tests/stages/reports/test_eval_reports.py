"""`ecgpipe eval-reports`: three rungs side by side, written and scored by one command."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from toy_experiment import Experiment as Toy
from toy_training import StopAfter
from wfdb_files import ecg_like, write_wfdb

from ecgpipe.config.file import load_config
from ecgpipe.errors import ModelError, StoppedEarly
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.reports import writers
from ecgpipe.stages.reports.ladder import run_eval_reports
from ecgpipe.stopping import Stop
from ecgpipe.write_report import writer_training
from ecgpipe.write_report.ladder import METRICS

MARK = "Draft by a research model. Not a diagnosis."


@pytest.fixture(scope="module", autouse=True)
def few_steps() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_training, "_MIN_STEPS", 8)
        yield


@pytest.fixture(scope="module")
def scored(
    tmp_path_factory: pytest.TempPathFactory, finished: tuple[Toy, Any]
) -> tuple[Toy, str, str]:
    """A copy of the finished experiment with its ladder, and what the command said."""
    toy = finished[0].copy(tmp_path_factory.mktemp("ladder"))
    code, out, err = toy.run("eval-reports", "--language", "en")
    assert code == 0, err
    return toy, out, err


def folder_of(toy: Toy) -> Path:
    return toy.folder / "work" / "runs" / "toy" / "report-scores"


def test_one_command_scores_three_rungs_beside_their_controls(scored: tuple[Toy, str, str]) -> None:
    toy, out, err = scored
    results = json.loads((folder_of(toy) / "results.json").read_text("utf-8"))
    assert list(results["rungs"]) == ["template", "nearest", "written"]
    for rung in results["rungs"].values():
        assert list(rung["controls"]) == ["shuffled_ecg", "blank_ecg", "commonest_report"]
        for scores in (rung, *rung["controls"].values()):
            assert set(scores["summary"]) == set(METRICS)
            assert 0 <= scores["summary"]["micro_f1"]["value"] <= 1
    assert results["provenance"]["packages"]["torch"]
    assert results["left_out"] == {}
    # A model of random weights writes nothing that names a finding.
    assert "○ written does not beat its controls: F1, micro .000" in out
    assert "SIMULATED" in (folder_of(toy) / "report.md").read_text("utf-8")
    assert "million numbers are trained through a frozen language model" in err


def test_drafts_stand_beside_their_references_and_never_in_messages(
    scored: tuple[Toy, str, str],
) -> None:
    toy, out, err = scored
    lines = (folder_of(toy) / "drafts.jsonl").read_text("utf-8").splitlines()
    drafts = [json.loads(line) for line in lines]
    records = Experiment(load_config(toy.path)).scored.records
    assert [one["record_id"] for one in drafts] == [r.record_id for r in records if r.findings]
    assert all(one["reference"].startswith("Findings: ") for one in drafts)
    said = {one[name] for one in drafts for name in ("reference", "nearest")}
    assert not any(text in out + err for text in said)


def test_what_is_scored_already_is_not_scored_again(scored: tuple[Toy, str, str]) -> None:
    code, _, err = scored[0].run("eval-reports", "--language", "en")
    assert code == 0
    assert "eval-reports: nothing to do: micro F1 on" in err


def test_the_trained_writer_drafts_reports_that_say_where_they_were_cut(
    scored: tuple[Toy, str, str], ecgs: Path, tmp_path: Path
) -> None:
    write_wfdb(tmp_path, "three", ecg_like(n_leads=3), leads=("I", "II", "V1"))
    good = str(sorted((ecgs / "ecg").rglob("*.hea"))[0])
    out = tmp_path / "r.csv"
    asked = ("report", "toy", good, str(tmp_path / "three.hea"), str(scored[0].path))
    code, _, err = scored[0].run(*asked, "--rung", "written", "--language", "en", "-o", str(out))
    assert code == 1, err
    with out.open(encoding="utf-8-sig", newline="") as file:
        whole, leads, text = csv.DictReader(file)
    assert whole["report_en"].startswith(f"{MARK} Written by a language model, which may invent:")
    assert "This text did not end within its limit of" in whole["report_en"]
    assert "is a text, not an ECG" in text["refused"]
    assert leads["refused"] or "Leads are missing" in leads["report_en"]


def test_without_a_trained_writer_the_way_to_one_is_named(finished: tuple[Toy, Any]) -> None:
    code, _, err = finished[0].run("report", "toy", "--split", "test", "--rung", "written")
    assert code == 1
    assert "has no trained writer of reports in the language 'ja'" in err
    assert "ecgpipe eval-reports --language ja" in err


def test_a_language_model_that_cannot_write_is_left_out_and_the_rest_goes_on(
    experiment: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise ModelError("text.model random is no language model that could write a report.")

    monkeypatch.setattr(writers, "_load", refuse)
    code, out, err = experiment.run("eval-reports")
    assert code == 0
    assert "the rung written is left out: text.model random is no language model" in err
    assert "Rung written was left out: text.model random is no language model" in out
    results = json.loads((folder_of(experiment) / "results.json").read_text("utf-8"))
    assert list(results["rungs"]) == ["template", "nearest"]


def test_a_stopped_command_keeps_what_is_trained(experiment: Toy) -> None:
    opened = Experiment(load_config(experiment.path))
    with pytest.raises(StoppedEarly, match="of the writer; everything is saved"):
        run_eval_reports(opened, ["written"], None, StopAfter(0))
    (left,) = (opened.workspace.run / "writers").iterdir()
    assert [path.name for path in left.iterdir()] == ["checkpoint.safetensors"]
    result = run_eval_reports(opened, ["written"], None, Stop())
    assert result.did_work
    assert {path.name for path in left.iterdir()} == {"config.json", "connector.safetensors"}
