"""`ecgpipe report --rung nearest`: whose report it takes, and whom it refuses."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from toy_experiment import Experiment as Toy

from ecgpipe.cache.records_table import Record
from ecgpipe.config.file import load_config
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.references import with_reports


@pytest.fixture(scope="module")
def records(finished: tuple[Toy, Any]) -> dict[str, Record]:
    opened = Experiment(load_config(finished[0].path))
    return {record.record_id: record for record in opened.records.records}


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_report_is_that_of_another_patients_training_ecg(
    finished: tuple[Toy, Any], records: dict[str, Record], tmp_path: Path, split: str
) -> None:
    out = tmp_path / "r.jsonl"
    asked = ("report", "toy", "--rung", "nearest", "--split", split, "--out", str(out))
    code, _, err = finished[0].run(*asked)
    assert code == 0, err
    opened = Experiment(load_config(finished[0].path))
    known, texts = with_reports(opened, opened.records.of_split("train").records)
    said: dict[str, set[str]] = {}
    for record, text in zip(known, texts, strict=True):
        said.setdefault(text["en"], set()).add(record.patient_id)
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert len(lines) == sum(record.split == split for record in records.values())
    for line in lines:
        begin, _, body = line["reports"]["en"].partition("): ")
        assert begin.startswith("Draft by a research model. Not a diagnosis. The report of the")
        body = body.partition(" On the recording:")[0]
        assert said[body] - {records[line["record_id"]].patient_id}
        assert line["findings"]
        assert line["reports"]["ja"].startswith("研究用モデルによる下書き")


def test_a_recording_of_which_nobody_says_whose_it_is_is_refused(
    finished: tuple[Toy, Any], ecgs: Path, tmp_path: Path
) -> None:
    with (ecgs / "records.csv").open(encoding="utf-8") as file:
        row = next(iter(csv.DictReader(file)))
    table = tmp_path / "list.csv"
    path = row["path"]
    table.write_text(f"record_id,path,patient_id\na,{path},somebody\nb,{path}.hea,\n")
    asked = ("report", "toy", "--rung", "nearest", "--table", str(table), "--root", str(ecgs))
    code, out, err = finished[0].run(*asked)
    assert code == 1
    assert "a\n  研究用モデルによる下書き。" in out
    assert "nothing says whose ECG it is" in out
    assert "1 drafts, 1 recordings refused" in err


def test_an_exported_model_has_no_reports_to_take(
    exported: Path, finished: tuple[Toy, Any]
) -> None:
    code, _, err = finished[0].run("report", str(exported), "--rung", "nearest", "--split", "test")
    assert code == 1
    assert "is an exported model, and those hold no text of any report" in err
