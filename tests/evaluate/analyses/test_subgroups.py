"""Who belongs to which group, and that a group's metrics are those of its ECGs alone."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ecgpipe.cache.records_table import Record
from ecgpipe.evaluate.analyses.subgroups import age_band, group_metrics
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.scored_task import ScoredTask
from ecgpipe.evaluate.tasks.task import Task, TaskClass

TASK = Task(
    "two", {"ja": "", "en": ""}, "", "multi_label",
    tuple(TaskClass(c, {"ja": c, "en": c}, frozenset({c})) for c in "ab"),
)  # fmt: skip


def person(number: int, sex: str | None, age: float | None = None, site: str | None = None):
    return Record(
        slot=number, record_id=str(number), patient_id=f"p{number // 2}", source="t", split="test",
        findings=(), sex=sex, age=age, site=site,
    )  # fmt: skip


def scored(n: int, seed: int = 0) -> ScoredTask:
    rng = np.random.default_rng(seed)
    truth = rng.random((n, 2)) < 0.5
    return ScoredTask(TASK, truth.any(axis=1), rng.normal(size=(n, 2)).astype(np.float32), truth)


def metrics(task: ScoredTask, records: list[Record]) -> dict:
    draws = PatientDraws.of([r.patient_id for r in records], 50, 0)
    return group_metrics(task, records, draws, 1)


def test_age_bands_meet_without_a_gap() -> None:
    ages = [0, 39.9, 40, 64.99, 65, 79.9, 80, 300]
    bands = ["<40", "<40", "40-64", "40-64", "65-79", "65-79", ">=80", ">=80"]
    assert [age_band(age) for age in ages] == bands
    assert [age_band(age) for age in (None, -1.0, float("nan"))] == [None] * 3


def test_a_groups_figures_are_those_of_its_ecgs() -> None:
    task = scored(200)
    records = [person(n, "female" if n % 4 < 2 else "male") for n in range(200)]
    found = metrics(task, records)
    assert set(found) == {"sex"}  # nobody has an age or a site
    for place, name in enumerate(("female", "male")):
        members = task.chosen_N & (np.arange(200) % 4 // 2 == place)
        entry = found["sex"][name]
        assert entry["n"] == members.sum()
        assert entry["patients"] == len({n // 2 for n in np.flatnonzero(members)})
        expected = roc_auc_score(task.truth_NC[members], task.scores_NC[members])
        assert entry["summary"]["macro_auroc"]["value"] == pytest.approx(expected, abs=1e-12)
        assert entry["classes_scored"] == 2


def test_small_groups_stand_together_and_the_unknown_apart() -> None:
    sites = ["A"] * 60 + ["B"] * 10 + ["other"] * 40 + [None] * 30
    records = [person(n, None, site=site) for n, site in enumerate(sites)]
    task = scored(140)
    found = metrics(task, records)["site"]
    assert list(found) == ["A", "other", "unknown"]
    assert sum(entry["n"] for entry in found.values()) == task.chosen_N.sum()
    assert found["other"]["summary"] == found["unknown"]["summary"] == {}
    assert found["other"]["n"] == task.chosen_N[60:110].sum()


def test_sex_that_nobody_has_is_left_out() -> None:
    records = [person(n, None, age=50) for n in range(40)]
    assert set(metrics(scored(40), records)) == {"age"}


def test_twenty_ecgs_of_one_patient_have_figures_without_width() -> None:
    task = scored(60)
    records = [person(0, "male") for _ in range(60)]
    entry = metrics(task, records)["sex"]["male"]
    assert entry["patients"] == 1
    area = entry["summary"]["macro_auroc"]
    assert area["low"] == area["value"] == area["high"]


def test_a_split_of_one_ecg_is_no_group() -> None:
    one = ScoredTask(TASK, np.array([True]), np.ones((1, 2), np.float32), np.array([[True, False]]))
    found = metrics(one, [person(0, "male", 70, "A")])
    assert {name: set(groups) for name, groups in found.items()} == {
        "sex": {"other"}, "age": {"other"}, "site": {"other"},
    }  # fmt: skip


def test_a_groups_ecgs_keep_their_own_weights() -> None:
    # All men's ECGs are one person's: however patients are drawn, they count alike.
    records = [person(n, "female") for n in range(60)] + [person(999, "male")] * 60
    found = metrics(scored(120), records)["sex"]
    male, female = (found[sex]["summary"]["macro_auroc"] for sex in ("male", "female"))
    assert male["low"] == pytest.approx(male["high"])
    assert female["low"] < female["high"]
