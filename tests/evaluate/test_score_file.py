"""scores.h5: what is read is what was written, or it is refused."""

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest

from ecgpipe.cache.records_table import Record, RecordsTable
from ecgpipe.errors import StoreError
from ecgpipe.evaluate.score_file import read_scores, write_scores
from ecgpipe.evaluate.scored_task import ScoredTask
from ecgpipe.evaluate.tasks.task import load_task
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy

TASK = load_task("superclass", load_taxonomy("ptbxl"), None)
RECORDS = RecordsTable(
    tuple(
        Record(
            slot=n, record_id=f"記録{n}", patient_id=f"secret-{'bab'[n]}", source="t", split="test",
            findings=("SR",),
        )
        for n in range(3)
    )
)  # fmt: skip


def scored() -> dict[str, ScoredTask]:
    rng = np.random.default_rng(0)
    truth = rng.random((3, 5)) < 0.5
    scores = rng.normal(size=(3, 5)).astype(np.float32)
    task = ScoredTask(TASK, np.array([True, False, True]), scores, truth)
    partly = dataclasses.replace(task, known_NC=truth | (rng.random((3, 5)) < 0.5))
    again = dataclasses.replace(task, scores_NC=-scores)
    return {"superclass": task, "again": again, "partly": partly}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_scores(tmp_path / "scores.h5", scored(), RECORDS, "the key")
    return tmp_path / "scores.h5"


def test_what_was_written_is_read(path: Path) -> None:
    found = read_scores(path)
    assert found.key == "the key"
    assert found.record_ids == ("記録0", "記録1", "記録2")
    assert found.patients_N.tolist() == [0, 1, 0]
    assert set(found.tasks) == {"superclass", "again", "partly"}
    for name, task in scored().items():
        got = found.tasks[name]
        assert got.class_ids == ("NORM", "MI", "STTC", "CD", "HYP")
        np.testing.assert_array_equal(got.scores_NC, task.scores_NC)
        np.testing.assert_array_equal(got.truth_NC, task.truth_NC)
        np.testing.assert_array_equal(got.chosen_N, task.chosen_N)
        np.testing.assert_array_equal(got.known_NC, task.known_NC)
        assert got.truth_NC.dtype == got.chosen_N.dtype == np.bool_


def test_patients_ids_are_not_in_the_file(path: Path) -> None:
    assert b"secret" not in path.read_bytes()


def test_the_same_scores_are_the_same_bytes(path: Path, tmp_path: Path) -> None:
    write_scores(tmp_path / "other.h5", scored(), RECORDS, "the key")
    assert (tmp_path / "other.h5").read_bytes() == path.read_bytes()


def test_a_plain_reader_finds_the_published_layout(path: Path) -> None:
    with h5py.File(path) as file:
        assert file["tasks/superclass/scores"].dtype == np.float32
        assert file["tasks/superclass/scores"].shape == (3, 5)
        assert file["record_ids"][0].decode() == "記録0"


def test_every_flipped_bit_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(StoreError, match=r"scores\.h5 is .*damaged.*Run `ecgpipe eval`"):
            read_scores(path)


@pytest.mark.parametrize("length", [0, 100, 5000])
def test_a_cut_file_is_refused(path: Path, length: int) -> None:
    whole = path.read_bytes()
    assert length < len(whole)
    path.write_bytes(whole[:length])
    with pytest.raises(StoreError, match="damaged"):
        read_scores(path)


def test_a_missing_or_foreign_file_is_refused(path: Path) -> None:
    with pytest.raises(StoreError, match="is missing"):
        read_scores(path.with_name("none.h5"))
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "other/1"
    with pytest.raises(StoreError, match="its format is not"):
        read_scores(path)


def test_nothing_scored_is_a_file_too(tmp_path: Path) -> None:
    write_scores(tmp_path / "s.h5", {}, RecordsTable(()), "k")
    assert read_scores(tmp_path / "s.h5").record_ids == ()
