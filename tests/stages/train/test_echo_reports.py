"""Reports of echocardiograms as the texts of ECGs, from the tables to the scores."""

import csv
from pathlib import Path

import pytest
import yaml
from toy_experiment import Experiment

from ecgpipe.config.file import load_config
from ecgpipe.errors import SourceError
from ecgpipe.stages.experiment import Experiment as OpenedExperiment
from ecgpipe.stages.reports.references import with_reports

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
