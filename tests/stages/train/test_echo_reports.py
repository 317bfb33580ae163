"""Reports of echocardiograms as the texts of ECGs, from the tables to the scores."""

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml
from documents import ROOT, read_document
from toy_experiment import Experiment

from ecgpipe.config.file import load_config
from ecgpipe.errors import ConfigError, SourceError
from ecgpipe.stages.experiment import Experiment as OpenedExperiment
from ecgpipe.stages.references import with_reports
from ecgpipe.stages.texts import report_of

NAME = "山田"


@pytest.fixture
def reported(fresh: Experiment, ecgs: Path) -> Experiment:
    """Two of three patients have an echocardiogram with a report of its own, the others one
    without; nothing was measured."""
    with (ecgs / "records.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with (fresh.folder / "records.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "recorded_at"])
        writer.writeheader()
        writer.writerows({**row, "recorded_at": "2024-03-05"} for row in rows)
    with (fresh.folder / "echo.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["patient_id", "echo_at", "所見", "paced"])
        writer.writeheader()
        for n, patient in enumerate(sorted({row["patient_id"] for row in rows})):
            said = f"{NAME}様。EF {30 + n}%。軽度MR。" if n % 3 else ""
            echo = {"patient_id": patient, "echo_at": "2024-03-09", "所見": said, "paced": "no"}
            writer.writerow(echo)
    plain = yaml.safe_load(fresh.path.read_text())
    source = {"kind": "table", "table": "records.csv", "root": str(ecgs)}
    echo = {"table": "echo.csv", "columns": {"report": "所見"}}
    plain["data"] |= {"sources": [source], "echo": echo}
    plain["text"] |= {"source": "echo_report", "prompt": "{text}"}
    plain["train"]["epochs"] = 1
    plain["eval"] |= {"tasks": ["findings"], "analyses": ["retrieval"]}
    fresh.path.write_text(yaml.safe_dump(plain, allow_unicode=True))
    return fresh


def test_ecgs_are_trained_and_retrieved_by_the_reports_of_their_echocardiograms(
    reported: Experiment,
) -> None:
    said = reported.did("--set", "train.best_by=retrieval_mrr")
    assert said["train"]["did_work"]
    experiment = OpenedExperiment(load_config(reported.path))
    records = experiment.records.records
    with_report = {each.patient_id for each in records if each.echo_report}
    assert 0 < len(with_report) < len(set(experiment.records.patients))
    scored = [each for each in experiment.scored.records if each.echo_report]
    found = reported.results()["analyses"]["retrieval"]
    assert (found["n"], found["distinct_texts"]) == (
        len(scored), len({each.patient_id for each in scored})
    )  # fmt: skip
    assert reported.results()["tasks"]["findings"]["n"] <= len(scored)
    # Neither a log nor a result repeats a report.
    kept = [path for path in reported.folder.rglob("*") if path.is_file()]
    told = [path for path in kept if NAME.encode() in path.read_bytes()]
    assert {path.suffix for path in told} <= {".csv", ".parquet"}
    assert {path.name for path in told if path.suffix == ".csv"} == {"echo.csv"}


def test_sentences_of_such_a_report_can_be_learned_one_by_one(reported: Experiment) -> None:
    settings = ("text.source=echo_report", "train.text=sampled_finding")
    code, _, err = reported.run("prepare")
    assert code == 0, err
    texts = OpenedExperiment(load_config(reported.path, settings)).texts
    assert "軽度MR" in texts
    assert {f"EF {30 + n}%" for n in range(4) if n % 3} <= set(texts)


def test_drafts_of_ecg_reports_are_neither_taken_from_nor_compared_with_them(
    reported: Experiment,
) -> None:
    with pytest.raises(SourceError, match=r"of echocardiograms.* a run with text\.source: report"):
        with_reports(OpenedExperiment(load_config(reported.path)), [])


@pytest.mark.parametrize("source", ["echo_report", "report"])
def test_the_pages_vectors_of_an_echo_model_are_trained_on_and_retrieved(
    reported: Experiment, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = read_document(ROOT / "docs/echo.md").blocks
    (program,) = [text for name, text in page if name == "python"]
    changes = yaml.safe_load([text for name, text in page if name == "yaml"][2])
    plain = yaml.safe_load(reported.path.read_text())
    for block in ("text", "train", "eval"):
        plain[block] |= changes[block]
    plain["data"]["echo"]["columns"] = changes["data"]["echo"]["columns"]
    plain["text"]["source"] = source
    plain["eval"]["analyses"] = ["retrieval", "echo"]
    ids = [f"S{n:03}" for n in range(40)]
    records = reported.folder / "records.csv"
    lines = records.read_text(encoding="utf-8").splitlines()
    patients = sorted({line.split(",")[1] for line in lines[1:]})
    study_of = dict(zip(patients, ids, strict=False))
    if source == "report":  # the pairs are in the table of ECGs
        del plain["data"]["echo"]
        paired = [f"{line},{study_of.get(line.split(',')[1], '')}" for line in lines[1:]]
        records.write_text("\n".join([f"{lines[0]},report", *paired]), encoding="utf-8")
    else:
        echos = [f"{patient},2024-03-09,{study}" for patient, study in study_of.items()]
        table = ["patient_id,echo_at,study_id", *echos]
        (reported.folder / "echo.csv").write_text("\n".join(table), encoding="utf-8")
    reported.path.write_text(yaml.safe_dump(plain, allow_unicode=True))
    monkeypatch.chdir(reported.folder)
    vectors = np.random.default_rng(0).normal(size=(40, 16))
    np.savez("studies.npz", id=ids[:-2], vector=vectors[:-2])
    exec(program, {})
    assert reported.run("prepare")[0] == 0
    code, _, err = reported.run("vectors", "import", "vectors.h5")
    assert code == 0, err
    assert "38 vectors added" in err
    assert "2 of this experiment's texts still have none" in err
    code, _, err = reported.run("run")
    assert code == 1
    assert "2 texts have no vector of imported:echo-model" in err
    assert "add them with `ecgpipe vectors import`" in err
    np.savez("studies.npz", id=ids, vector=vectors)
    exec(program, {})
    assert reported.run("vectors", "import", "vectors.h5")[0] == 0
    reported.did("--set", "train.epochs=1")
    results = reported.results()
    assert results["tasks"] == {}
    assert set(results["analyses_left_out"]) == {"echo"}
    assert results["text"]["width"] == 16
    experiment = OpenedExperiment(load_config(reported.path))
    assert set(experiment.texts) <= set(ids), "of paced ECGs none"
    scored = [r for r in experiment.scored.records if report_of(r, experiment.config.text)]
    assert results["analyses"]["retrieval"]["n"] == len(scored) > 0


def test_without_tasks_the_epoch_must_be_chosen_by_retrieval(reported: Experiment) -> None:
    with pytest.raises(ConfigError, match=r"Set train\.best_by to retrieval_mrr, or name a task"):
        load_config(reported.path, ("eval.tasks=[]",))


def test_ecgs_of_which_only_an_echocardiograms_report_says_something_are_learned(
    reported: Experiment,
) -> None:
    records = reported.folder / "records.csv"
    with records.open(encoding="utf-8", newline="") as file:
        rows = [{**row, "findings": ""} for row in csv.DictReader(file)]
    with records.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    settings = ("--set", "data.max_rejected_fraction=0.5")
    _, out, _ = reported.run("check", *settings)
    assert "the task is to find the ECG of a report (retrieval)" in " ".join(out.split())
    said = reported.did(*settings)
    assert said["train"]["best_by"] == "retrieval_mrr"
    assert said["prepare"]["prepared"] == said["prepare"]["echo"]["reports"]
    assert reported.results()["analyses"]["retrieval"]["n"] > 0
