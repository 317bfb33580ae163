"""Patients of a model's data are recognised, and their ids are not in the file."""

import hashlib
import hmac
import json
from pathlib import Path

import pytest

from ecgpipe.apply_model.export.patients import read, write
from ecgpipe.errors import CheckpointError

PATIENTS = {"train": ["p1", "p2", "p2"], "val": ["山田"], "test": ["p4"]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "patients.json", PATIENTS)
    return tmp_path / "patients.json"


def test_a_patient_of_validation_or_test_is_found_and_one_of_training_is_not(path: Path) -> None:
    found = read(path)
    assert found.contains(["p1", "山田", "p4", "p4", "p9"]) == {"山田", "p4"}
    assert found.contains(["p1", "山田"], splits=["train"]) == {"p1"}
    assert {split: len(found.by_split[split]) for split in PATIENTS} == {
        "train": 2,
        "val": 1,
        "test": 1,
    }


def test_the_file_holds_hmacs_of_the_standard_library_and_no_id(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not any(one in text for ids in PATIENTS.values() for one in ids)
    content = json.loads(text)
    own = hmac.new(bytes.fromhex(content["salt"]), "山田".encode(), hashlib.sha256).hexdigest()
    assert content["splits"]["val"] == [own]


def test_one_patient_has_another_digest_in_another_export(path: Path, tmp_path: Path) -> None:
    write(tmp_path / "other.json", PATIENTS)
    first, second = read(path), read(tmp_path / "other.json")
    assert not first.by_split["train"] & second.by_split["train"]
    assert second.contains(["p4"]) == {"p4"}


def test_who_an_earlier_model_has_seen_is_passed_on_through_any_number_of_models(
    path: Path, tmp_path: Path
) -> None:
    write(tmp_path / "second.json", {"train": ["q1"], "test": ["q2"]}, read(path))
    second = read(tmp_path / "second.json")
    write(tmp_path / "third.json", {"train": ["r1"]}, second)
    third = read(tmp_path / "third.json")
    assert third.contains(["p1", "q1", "r1", "x"], splits=["train"]) == {"p1", "q1", "r1"}
    assert third.contains(["山田", "q2", "r1"]) == {"山田", "q2"}
    assert len(third.earlier) == 2
    assert not third.earlier[0].earlier


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "not an object with format, salt, splits"),
        ('{"format": "ecgpipe-patients/9", "salt": "", "splits": {}}', "'ecgpipe-patients/9'"),
        ('{"format": "ecgpipe-patients/1", "salt": "00", "splits": {"train": []}}', "damaged"),
        ('{"format": "ecgpipe-patients/1", "salt": "zz", "splits": {}}', "damaged"),
    ],
)
def test_a_damaged_file_is_refused(path: Path, content: str, message: str) -> None:
    path.write_text(content)
    with pytest.raises(CheckpointError, match=message):
        read(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"patients\.json is missing\. Export"):
        read(tmp_path / "patients.json")
