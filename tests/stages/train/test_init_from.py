"""Training that begins with another model's weights, and whose patients it may not touch."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from toy_experiment import Experiment

from ecgpipe.apply_model.export.patients import read as read_patients
from ecgpipe.apply_model.export.patients import write as write_patients
from ecgpipe.cache.records_table import Record
from ecgpipe.config.file import load_config
from ecgpipe.stages.experiment import Experiment as Opened

SECOND = ("--set", "name=second", "--set", "train.epochs=1")


def _from(folder: Path) -> tuple[str, ...]:
    return (*SECOND, "--set", f"train.init_from={folder}")


def _records(toy: Experiment) -> tuple[Record, ...]:
    return Opened(load_config(toy.path)).records.records


def _log(toy: Experiment, name: str) -> list[dict[str, float]]:
    path = toy.folder / "work" / "runs" / name / "log.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def _seen(toy: Experiment, source: Path, **moved: tuple[str, str]) -> set[str]:
    """Let the source have seen this run's patients in other splits; returns their ids.

    moved: for each name a split of this run, and the source's split for three of its patients.
    """
    by_split: dict[str, set[str]] = {}
    for record in _records(toy):
        by_split.setdefault(record.split, set()).add(record.patient_id)
    theirs = {split: set(ids) for split, ids in by_split.items()}
    changed: set[str] = set()
    for own, other in moved.values():
        three = sorted(by_split[own])[:3]
        theirs[own] -= set(three)
        theirs[other] |= set(three)
        changed |= set(three)
    write_patients(source / "patients.json", theirs)
    return changed


@pytest.fixture
def source(experiment: Experiment) -> Path:
    """The finished run's folder."""
    return experiment.folder / "work" / "runs" / "toy"


def test_a_run_begins_with_the_weights_of_another_run(experiment: Experiment, source: Path) -> None:
    code, _, messages = experiment.run("train", *_from(source))
    assert code == 0, messages
    assert f"beginning with the weights of {source}" in messages
    assert _log(experiment, "second")[0]["loss"] < _log(experiment, "toy")[0]["loss"]
    code, _, messages = experiment.run("train", *_from(source))
    assert (code, "nothing to do" in messages) == (0, True)


def test_a_run_begins_with_an_exported_model_wherever_it_lies(
    experiment: Experiment, source: Path, tmp_path: Path
) -> None:
    exported = tmp_path / "exported"
    code, _, messages = experiment.run("export", "--to", str(exported))
    assert code == 0, messages
    code, _, messages = experiment.run("train", *_from(exported))
    assert code == 0, messages
    exported.rename(tmp_path / "moved")
    code, _, messages = experiment.run("train", *_from(tmp_path / "moved"))
    assert "nothing to do" in messages, "the run depends on where the model lies"
    (tmp_path / "moved" / "model.safetensors").write_bytes(b"damaged")
    code, _, messages = experiment.run("train", *_from(tmp_path / "moved"), "--set", "train.lr=0.1")
    assert code == 1
    assert "model.safetensors has 7 bytes" in messages


def test_other_weights_in_the_folder_are_another_run(
    experiment: Experiment, source: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(source, copy)
    experiment.run("train", *_from(copy))
    card = json.loads((copy / "model" / "config.json").read_text())
    (copy / "model" / "config.json").write_text(json.dumps({**card, "sha256": "0" * 64}))
    code, _, messages = experiment.run("train", *_from(copy))
    assert code == 1
    assert "model.safetensors does not match its config.json" in messages


@pytest.mark.parametrize("held_out", ["val", "test"])
def test_a_patient_whom_the_model_was_judged_by_is_not_trained_on(
    experiment: Experiment, source: Path, held_out: str
) -> None:
    leaked = _seen(experiment, source, moved=("train", held_out))
    code, _, messages = experiment.run("train", *_from(source))
    assert code == 1
    assert "3 patients are in the training part, but in the validation or test part of" in messages
    assert "with the column `split`" in messages
    assert not any(patient in messages for patient in leaked)
    assert not (experiment.folder / "work" / "runs" / "second" / "model").exists()


@pytest.mark.parametrize("own", ["val", "test"])
def test_a_patient_whom_the_model_has_learnt_from_does_not_judge_the_new_one(
    experiment: Experiment, source: Path, own: str
) -> None:
    leaked = _seen(experiment, source, moved=(own, "train"))
    code, _, messages = experiment.run("train", *_from(source))
    assert code == 1
    assert "3 patients are in the validation or test part, but the model in" in messages
    assert not any(patient in messages for patient in leaked)


def test_who_the_first_of_three_models_has_seen_is_remembered(
    experiment: Experiment, source: Path
) -> None:
    leaked = _seen(experiment, source, moved=("train", "train"))
    first = read_patients(source / "patients.json")
    write_patients(source / "patients.json", {"test": leaked}, first)
    _, _, messages = experiment.run("train", *_from(source))
    assert "3 patients are in the training part" in messages
    write_patients(source / "patients.json", {}, first)
    assert experiment.run("train", *_from(source))[0] == 0
    kept = read_patients(experiment.folder / "work" / "runs" / "second" / "patients.json")
    assert kept.earlier[1].by_split == first.by_split
    train = {record.patient_id for record in _records(experiment) if record.split == "train"}
    assert kept.contains(train, ("train",)) == train


def test_an_export_passes_on_whom_earlier_models_have_seen(
    experiment: Experiment, source: Path, tmp_path: Path
) -> None:
    patients = read_patients(source / "patients.json")
    write_patients(source / "patients.json", {"train": ["own"]}, patients)
    assert experiment.run("export", "--to", str(tmp_path / "exported"))[0] == 0
    assert read_patients(tmp_path / "exported" / "patients.json").earlier == (patients,)


def test_check_names_the_rows_and_its_list_their_records(
    experiment: Experiment, source: Path, tmp_path: Path
) -> None:
    leaked = _seen(experiment, source, a=("train", "test"), b=("val", "train"))
    code, out, _ = experiment.run("check", "--list", str(tmp_path / "list.csv"), *_from(source))
    assert code == 1
    assert out.count("of 3 patients: in the") == 2
    with (tmp_path / "list.csv").open(encoding="utf-8-sig") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "init_from"]
    theirs = {record.record_id for record in _records(experiment) if record.patient_id in leaked}
    assert {row["record_id"] for row in rows} == theirs
    assert all(row["place"].endswith(" of records") for row in rows)
    code, out, _ = experiment.run("check", *SECOND)
    assert code == 0


@pytest.mark.parametrize("command", ["check", "train"])
def test_a_model_that_does_not_say_whom_it_has_seen_is_refused(
    experiment: Experiment, source: Path, command: str
) -> None:
    (source / "patients.json").unlink()
    code, out, messages = experiment.run(command, *_from(source))
    assert code == 1
    assert "has no patients.json" in " ".join((out + messages).split())


@pytest.mark.parametrize("command", ["check", "train"])
def test_a_model_of_another_shape_is_refused_with_the_setting_to_change(
    experiment: Experiment, source: Path, command: str
) -> None:
    code, out, messages = experiment.run(command, *_from(source), "--set", "train.encoder=cnn1d")
    assert code in (1, 2)
    assert "train.encoder is cnn1d, not resnet1d18" in " ".join((out + messages).split())


def test_vectors_of_another_kind_keep_the_encoder_and_say_so(
    experiment: Experiment, source: Path
) -> None:
    other = ("--set", "text.pooling=mean")
    assert experiment.run("embed", *_from(source), *other)[0] == 0
    code, _, messages = experiment.run("train", *_from(source), *other)
    assert code == 0, messages
    assert "but a text projection of its own" in messages


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("nowhere", "holds no model. Name a folder that `ecgpipe export` wrote"),
        ("work/runs/second", "is this run's own folder"),
    ],
)
def test_a_folder_without_a_model_is_refused_with_the_way_out(
    experiment: Experiment, folder: str, message: str
) -> None:
    code, _, messages = experiment.run("train", *_from(experiment.folder / folder))
    assert code in (1, 2)
    assert message in messages
