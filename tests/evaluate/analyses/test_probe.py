"""The linear probe: who learns from what, and that it is scikit-learn's regression and no other."""

import math
import time
import tracemalloc

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ecgpipe.cache.records_table import Record, RecordsTable
from ecgpipe.evaluate.analyses import probe
from ecgpipe.evaluate.analyses.probe import (
    SHARES,
    STRENGTHS,
    at_most,
    choose_strength,
    learn_class,
    nested_shares,
    probe_share,
)
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.tasks.task import Task, TaskClass

SIZES = {"train": 300, "val": 80, "test": 120}


def task(name: str, classes: dict[str, str], kind: str = "multi_label") -> Task:
    made = [TaskClass(i, {"ja": i, "en": i}, frozenset(m)) for i, m in classes.items()]
    return Task(name, {"ja": "", "en": ""}, "", kind, tuple(made))


TASKS = [task("fine", {"a": "a", "b": "b", "c": "c"}), task("coarse", {"A": "a", "BC": "bc"})]


def world(seed: int = 0) -> tuple[dict[str, RecordsTable], dict[str, np.ndarray]]:
    """Records with findings a, b, c, and features that tell a and b apart, but not c."""
    rng = np.random.default_rng(seed)
    tables, features = {}, {}
    for split, n in SIZES.items():
        truth = rng.random((n, 3)) < (0.5, 0.3, 0.1)
        records = [
            Record(
                slot=k, record_id=f"{split}{k}", patient_id=f"{split}{k // 2}", source="t",
                split=split, findings=tuple(np.array(["a", "b", "c"])[truth[k]]),
            )
            for k in range(n)
        ]  # fmt: skip
        signal = truth[:, :2] @ np.array([[1.5, 0, 1], [0, 1.5, 1]])
        noise = rng.normal(size=(n, 3))
        features[split] = np.concatenate(
            [signal + noise, rng.normal(size=(n, 5)), np.full((n, 1), 7.0)], axis=1
        ).astype(np.float32)
        tables[split] = RecordsTable(tuple(records))
    return tables, features


def block(tables: dict[str, RecordsTable], features: dict[str, np.ndarray], tasks=TASKS) -> dict:
    draws = PatientDraws.of(tables["test"].patients, 100, 0)
    rng = np.random.default_rng(9)
    noise = [rng.normal(size=part.shape).astype(np.float32) for part in features.values()]
    findings = [[r.findings for r in table.records] for table in tables.values()]
    truths = {task.name: [task.truth(each) for each in findings] for task in tasks}
    train = np.concatenate([truth for truth, *_ in truths.values()], axis=1)
    block: dict = {task.name: {"shares": {}} for task in tasks}
    for share, places in nested_shares(tables["train"].patients, train, SHARES, seed=0).items():
        found, random = (
            probe_share(tasks, truths, each, places, draws, 5)
            for each in ([*features.values()], noise)
        )
        for name, entry in found.items():
            block[name]["shares"][f"{share:g}"] = {**entry, "random_encoder": random[name]}
    return {"tasks": block}


def test_of_very_many_ecgs_whole_patients_are_learnt_from_and_no_class_is_lost() -> None:
    train = world()[0]["train"]
    some = at_most(train, TASKS, 150, seed=4)
    assert 150 <= len(some) < len(train)
    chosen = set(some.patients)
    assert some.records == tuple(r for r in train.records if r.patient_id in chosen)
    shown = TASKS[0].truth([r.findings for r in train.records]).any(axis=0)
    assert (TASKS[0].truth([r.findings for r in some.records]).any(axis=0) == shown).all()
    assert at_most(train, TASKS, len(train), seed=4) is train


def test_shares_are_nested_hold_whole_patients_and_stay_the_same() -> None:
    rng = np.random.default_rng(0)
    patients = [f"p{k}" for k in rng.integers(0, 200, 500)]
    truth = rng.random((500, 12)) < 0.05
    shares = nested_shares(patients, truth, (0.01, 0.1, 1.0), seed=3)
    small, middle, whole = (set(shares[s].tolist()) for s in (0.01, 0.1, 1.0))
    assert small < middle < whole == set(range(500))
    for share in (small, middle):
        inside = {patients[k] for k in share}
        assert share == {k for k in range(500) if patients[k] in inside}
    most = max(np.unique(patients, return_counts=True)[1])
    assert 5 <= len(small) < 5 + most
    assert 50 <= len(middle) < 50 + most
    again = nested_shares(patients, truth, (0.01, 0.1, 1.0), seed=3)
    assert all(np.array_equal(shares[s], again[s]) for s in shares)
    other = nested_shares(patients, truth, (0.01, 0.1, 1.0), seed=4)
    assert not np.array_equal(shares[0.1], other[0.1])


def plain_shares(
    patients: list[str], truth: np.ndarray, shares: tuple[float, ...], seed: int
) -> dict[float, np.ndarray]:
    """The same, patient by patient, with every sum made anew."""
    names = np.unique(patients)
    order = [str(names[place]) for place in np.random.default_rng(seed).permutation(len(names))]
    commonest = np.argsort(-truth.sum(axis=0), kind="stable")
    taken: set[str] = set()

    def n_taken() -> int:
        return sum(patient in taken for patient in patients)

    found = {}
    for share in shares:
        target = max(1, round(share * len(truth)))
        until = n_taken() + math.ceil((target - n_taken()) / 2)
        for k in commonest:
            showing = {patients[row] for row in np.flatnonzero(truth[:, k])}
            if showing and not showing & taken and n_taken() < until:
                taken.add(next(patient for patient in order if patient in showing))
        for patient in order:
            if n_taken() >= target:
                break
            taken.add(patient)
        found[share] = np.flatnonzero([patient in taken for patient in patients])
    return found


def test_shares_are_those_of_drawing_patient_by_patient() -> None:
    rng = np.random.default_rng(0)
    for seed in range(30):
        n = int(rng.integers(1, 80))
        patients = [f"p{k}" for k in rng.integers(0, n, n)]
        truth = rng.random((n, 9)) < (0.02, 0.1, 0.5)[seed % 3]
        expected = plain_shares(patients, truth, (0.01, 0.1, 0.5, 1.0), seed)
        found = nested_shares(patients, truth, (0.01, 0.1, 0.5, 1.0), seed)
        assert all(np.array_equal(found[share], expected[share]) for share in expected)


def test_shares_of_a_hundred_thousand_patients_are_drawn_in_a_second_or_two() -> None:
    # A sum over all patients for each of them would take ten.
    truth = np.random.default_rng(0).random((100_000, 5)) < 0.1
    started = time.process_time()
    shares = nested_shares([f"p{k}" for k in range(100_000)], truth, SHARES, seed=0)
    assert time.process_time() - started < 3
    assert [len(places) for places in shares.values()] == [1_000, 10_000, 100_000]


def test_all_training_ecgs_are_standardised_without_a_second_copy() -> None:
    values = np.random.default_rng(0).normal(3, 2, (5000, 256))
    values[:, 7] = 4.0  # constant: its deviation counts as 1
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    deviation[7] = 1.0
    expected = (values - mean) / deviation
    tracemalloc.start()
    found = probe._standardise(values)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.array_equal(values, expected)
    assert np.array_equal(found, (mean, deviation))
    assert most < values.nbytes / 3


def test_a_probe_holds_the_ecgs_it_learns_from_once(monkeypatch: pytest.MonkeyPatch) -> None:
    train = np.random.default_rng(0).normal(size=(20_000, 128)).astype(np.float32)
    shared = np.flatnonzero(np.arange(len(train)) % 10)
    seen: list[np.ndarray] = []

    def learn(train_NF: np.ndarray, truth_N: np.ndarray, others: object) -> None:
        seen.append(train_NF)

    monkeypatch.setattr(probe, "learn_class", learn)
    few = train[:10]
    truths = {"fine": [np.ones((len(each), 3), bool) for each in (train, few, few)]}
    draws = PatientDraws.of([str(k) for k in range(10)], 2, 0)
    tracemalloc.start()
    probe_share(TASKS[:1], truths, (train, few, few), shared, draws, 1)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    expected = train[shared].astype(float)
    expected = (expected - expected.mean(axis=0)) / expected.std(axis=0)
    assert np.array_equal(seen[0], expected)
    assert most < 1.4 * expected.nbytes


def test_rare_classes_are_in_a_share_where_there_is_room() -> None:
    # 20 classes with three ECGs each of 1,000: by chance a tenth shows some 27 % of them.
    truth = np.zeros((1000, 20), bool)
    for k in range(20):
        truth[np.random.default_rng(k).choice(1000, 3, replace=False), k] = True
    shares = nested_shares([str(k) for k in range(1000)], truth, (0.01, 0.1, 1.0), seed=0)
    assert truth[shares[0.1]].any(axis=0).all()
    assert 5 <= truth[shares[0.01]].any(axis=0).sum() <= 12  # 10 ECGs, half of them for classes


def test_every_class_is_scikit_learns_regression_on_standardised_features() -> None:
    tables, features = world()
    truth = np.array([["a" in r.findings] for r in tables["train"].records])[:, 0]
    share = np.arange(0, 300, 3)
    scaler = StandardScaler().fit(features["train"][share].astype(float))
    train, *others = (scaler.transform(each.astype(float)) for each in features.values())
    odds = learn_class(train[share], truth[share], others)
    assert odds is not None
    for strength, found in zip(STRENGTHS, odds, strict=True):
        model = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000)
        model.fit(train[share], truth[share])
        expected = model.decision_function(np.concatenate(others))
        np.testing.assert_allclose(found, expected, atol=5e-3)


def test_the_penalty_is_chosen_on_validation_alone_as_worked_by_hand() -> None:
    truth = np.array([[True], [False], [True], [False]])
    right, wrong = np.array([[4], [1], [3], [2]]), np.array([[1], [4], [2], [3]])
    half = np.array([[4], [3], [1], [2]])
    odds = np.array([wrong, half, right, right], np.float32)
    assert choose_strength(odds, truth) == STRENGTHS[2]  # the first of equals
    # Of the first two ECGs alone `half` is right as well.
    assert choose_strength(odds[:, :2], truth[:2]) == STRENGTHS[1]
    middle = STRENGTHS[len(STRENGTHS) // 2]
    assert choose_strength(odds, np.zeros((4, 1), bool)) == middle


def test_features_that_tell_are_told_from_features_that_do_not() -> None:
    found = block(*world())["tasks"]
    assert set(found["fine"]["shares"]) == {"0.01", "0.1", "1"}
    whole = found["coarse"]["shares"]["1"]
    assert whole["n_train"] == 300
    assert whole["macro_auroc"]["low"] > 0.6
    noise = whole["random_encoder"]["macro_auroc"]
    assert noise["low"] < 0.5 < noise["high"]


def test_the_metric_is_the_auroc_of_the_chosen_regression() -> None:
    tables, features = world()
    entry = block(tables, features)["tasks"]["fine"]["shares"]["1"]
    truth = {s: np.array([[f in r.findings for f in "abc"] for r in t.records])
             for s, t in tables.items()}  # fmt: skip
    shown = truth["test"].any(axis=1)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=entry["strength"], tol=1e-10))
    areas = []
    for k in range(3):
        model.fit(features["train"].astype(float), truth["train"][:, k])
        odds = model.decision_function(features["test"].astype(float))
        areas.append(roc_auc_score(truth["test"][shown, k], odds[shown]))
    assert entry["macro_auroc"]["value"] == pytest.approx(np.mean(areas), abs=2e-3)


def test_scored_labels_change_nothing_that_is_chosen() -> None:
    tables, features = world()
    first = block(tables, features)["tasks"]
    mixed = np.random.default_rng(1).permutation(SIZES["test"])
    tables["test"] = RecordsTable(tuple(tables["test"].records[k] for k in mixed))
    second = block(tables, features)["tasks"]
    for name in first:
        for share, entry in first[name]["shares"].items():
            assert entry["strength"] == second[name]["shares"][share]["strength"]
    assert second["coarse"]["shares"]["1"]["macro_auroc"]["value"] < 0.65  # no leak


def test_a_class_the_share_does_not_show_is_named_and_not_scored() -> None:
    tables, features = world()
    tasks = [task("odd", {"a": "a", "never": "x"})]
    entry = block(tables, features, tasks)["tasks"]["odd"]["shares"]["1"]
    assert entry["not_learnt"] == ["never"]
    assert entry["classes_scored"] == 1


def test_one_class_for_everybody_has_no_metric() -> None:
    tables, features = world()
    everybody = [task("all", {"abc": "abcz"})]
    for split, table in tables.items():
        rows = [Record(slot=r.slot, record_id=r.record_id, patient_id=r.patient_id, source="t",
                       split=split, findings=("z",)) for r in table.records]  # fmt: skip
        tables[split] = RecordsTable(tuple(rows))
    entry = block(tables, features, everybody)["tasks"]["all"]["shares"]["1"]
    assert entry["not_learnt"] == ["abc"]
    assert entry["macro_auroc"] == {"value": None, "low": None, "high": None}
    assert entry["random_encoder"]["macro_auroc"]["value"] is None


def test_one_ecg_of_one_patient_everywhere_is_no_error() -> None:
    tables, features = world()
    small = {s: RecordsTable(t.records[:1]) for s, t in tables.items()}
    found = block(small, {s: f[:1] for s, f in features.items()})["tasks"]
    assert found["fine"]["shares"]["1"]["n_train"] == 1
    assert found["fine"]["shares"]["1"]["macro_auroc"]["value"] is None


def test_without_validation_the_penalty_is_the_middle_one() -> None:
    tables, features = world()
    tables["val"], features["val"] = RecordsTable(()), features["val"][:0]
    entry = block(tables, features)["tasks"]["fine"]["shares"]["1"]
    assert entry["strength"] == STRENGTHS[len(STRENGTHS) // 2]
    assert entry["macro_auroc"]["value"] > 0.5


def test_classes_of_the_same_findings_are_learnt_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []

    def counting(train: np.ndarray, truth: np.ndarray, others: list[np.ndarray]) -> None:
        counts.append(int(truth.sum()))

    monkeypatch.setattr(probe, "learn_class", counting)
    block(*world())
    # coarse's A is fine's a: four classes in each of three shares, for two encoders.
    assert len(counts) == 4 * 3 * 2
