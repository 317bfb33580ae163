"""Metrics against scikit-learn, against their definitions, and against cases worked by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    roc_auc_score,
    top_k_accuracy_score,
)

from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.metrics.metrics import (
    RankedClass,
    auroc,
    ranks,
    weighted_auroc,
    wilson_interval,
)
from ecgpipe.evaluate.metrics.thresholds import best_f1_thresholds
from ecgpipe.evaluate.scoring import bootstrap_metrics, percentile_metric, pooled
from ecgpipe.evaluate.tasks.answers import Answers

NO_DRAWS = np.empty((0, 0))


def metrics(scores: np.ndarray, truth: np.ndarray, min_positives: int = 1) -> dict[str, float]:
    draws = bootstrap_metrics(
        scores, truth, PatientDraws.of([str(n) for n in range(len(scores))], 0, 0), min_positives
    )
    return {name: float(value[0]) for name, value in draws.summary.items()}


def test_ranks_are_counted_from_the_best() -> None:
    scores = np.array([[0.1, 0.9, 0.5], [3.0, 2.0, 1.0]], np.float32)
    assert ranks(scores).tolist() == [[3, 1, 2], [1, 2, 3]]


def test_a_tie_counts_against_the_model() -> None:
    assert ranks(np.array([[0.5, 0.5, 0.1]], np.float32)).tolist() == [[2, 2, 3]]
    assert ranks(np.zeros((1, 71), np.float32)).min() == 71


def test_hits_worked_by_hand_on_four_ecgs_and_six_findings() -> None:
    # One row an ECG; scores fall from left to right but for row 2, which is reversed.
    falling = np.arange(6, 0, -1, dtype=np.float32)
    scores = np.stack([falling, falling, falling[::-1], falling])
    truth = np.zeros((4, 6), bool)
    truth[0, [0, 5]] = True  # ranks 1 and 6
    truth[1, 1] = True  # rank 2
    truth[2, 5] = True  # rank 1, since the row is reversed
    truth[3, 3] = True  # rank 4
    got = metrics(scores, truth)
    assert got["hit@1_any"] == pytest.approx(2 / 4)
    assert got["hit@5_any"] == pytest.approx(4 / 4)
    assert got["hit@1_micro"] == pytest.approx(2 / 5)
    assert got["hit@5_micro"] == pytest.approx(4 / 5)
    # By class: 0 hit (1/1), 1 missed (0/1), 3 missed (0/1), 5 hit once of two (1/2).
    assert got["hit@1_macro"] == pytest.approx((1 + 0 + 0 + 0.5) / 4)
    assert got["hit@5_macro"] == pytest.approx((1 + 1 + 1 + 0.5) / 4)


def test_macro_runs_over_classes_with_enough_ecgs_and_over_all_beside() -> None:
    scores = np.eye(7, dtype=np.float32)[[0, 0, 0, 1]]
    truth = np.zeros((4, 7), bool)
    truth[:3, 0] = True
    truth[3, 2] = True
    got = metrics(scores, truth, min_positives=2)
    assert got["hit@1_macro"] == pytest.approx(1.0)
    assert got["hit@1_macro_all"] == pytest.approx(0.5)


def test_hits_equal_scikit_learn_for_one_class_an_ecg() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(500, 12)).astype(np.float32)
    labels = rng.integers(0, 12, 500)
    truth = np.eye(12, dtype=bool)[labels]
    got = metrics(scores, truth)
    for k in (1, 5):
        expected = top_k_accuracy_score(labels, scores, k=k)
        assert got[f"hit@{k}_micro"] == pytest.approx(expected, abs=1e-12)
        assert got[f"hit@{k}_any"] == pytest.approx(expected, abs=1e-12)


def test_auroc_equals_its_definition_with_ties() -> None:
    rng = np.random.default_rng(1)
    for _ in range(1000):
        n = int(rng.integers(2, 30))
        scores = rng.integers(0, 5, n).astype(np.float32)
        truth = rng.random(n) < 0.4
        pairs = [(p, q) for p in scores[truth] for q in scores[~truth]]
        if not pairs:
            assert np.isnan(auroc(scores, truth))
            continue
        wins = sum((p > q) + 0.5 * (p == q) for p, q in pairs)
        assert auroc(scores, truth) == pytest.approx(wins / len(pairs), abs=1e-12)


def test_macro_auroc_equals_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    scores = np.round(rng.normal(size=(300, 9)), 1).astype(np.float32)
    truth = rng.random((300, 9)) < 0.2
    expected = roc_auc_score(truth, scores, average="macro")
    assert metrics(scores, truth)["macro_auroc"] == pytest.approx(expected, abs=1e-12)


def test_a_weighted_auroc_is_that_of_records_written_several_times() -> None:
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 8, 60).astype(np.float32)
    truth = rng.random(60) < 0.3
    weights = rng.integers(0, 4, (20, 60)).astype(float)
    areas = weighted_auroc(scores, truth, weights)
    for row, area in zip(weights.astype(int), areas, strict=True):
        expected = roc_auc_score(np.repeat(truth, row), np.repeat(scores, row))
        assert area == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (10, 10), (7, 20), (1, 1), (450, 1000)])
def test_the_wilson_interval_solves_its_equation(hits: int, n: int) -> None:
    # Its ends are the shares p at which |hits/n - p| is 1.96 standard errors of p.
    z = norm.ppf(0.975)
    for p in wilson_interval(hits / n, n):
        if 1e-9 < p < 1 - 1e-9:
            assert abs(hits / n - p) == pytest.approx(z * np.sqrt(p * (1 - p) / n), abs=1e-9)


def test_patients_are_drawn_not_records() -> None:
    patients = ["a", "a", "a", "b", "c"]
    weights = PatientDraws.of(patients, 2000, seed=0).weights(0, 2000).T
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, [0, 3, 4]].sum(axis=1) == 3).all()  # three patients in each draw
    assert weights[:, 0].mean() == pytest.approx(1, abs=0.05)
    again = PatientDraws.of(patients, 2000, seed=0).weights(0, 2000).T
    assert np.array_equal(weights, again)


def test_a_metric_that_does_not_exist_is_none() -> None:
    assert percentile_metric(np.array([np.nan, np.nan])) == {
        "value": None,
        "low": None,
        "high": None,
    }


def test_draws_without_a_class_are_left_out_of_its_interval() -> None:
    scores = np.eye(6, dtype=np.float32)[[0, 0, 1]]
    truth = np.zeros((3, 6), bool)
    truth[[0, 1], 0] = True
    truth[2, 1] = True
    weights = np.array([[1, 1, 0], [1, 0, 1]], np.uint16)
    draws = bootstrap_metrics(scores, truth, PatientDraws(np.arange(3), weights.T), 1)
    assert np.isnan(draws.by_class["hit@1"][1, 1])
    assert draws.summary["hit@1_macro"].tolist() == [1.0, 1.0, 1.0]


def test_single_label_tasks_score_ecgs_with_exactly_one_class() -> None:
    truth = np.array([[1, 0], [1, 1], [0, 0]], bool)
    assert Answers(truth, None).scored("single_label").tolist() == [True, False, False]
    assert Answers(truth, None).scored("multi_label").tolist() == [True, True, False]


def test_several_untrained_models_pool_their_draws() -> None:
    together = pooled([{"x": np.array([0.2, 0.1, 0.3])}, {"x": np.array([0.4, 0.35, 0.5])}])
    assert together["x"]["value"] == pytest.approx(0.3)
    low, high = together["x"]["low"], together["x"]["high"]
    assert low is not None
    assert high is not None
    assert low < 0.2
    assert high > 0.4


def test_no_records_give_no_metrics() -> None:
    got = metrics(np.empty((0, 7), np.float32), np.empty((0, 7), bool))
    assert all(np.isnan(value) for value in got.values())


def test_the_metric_itself_is_not_one_of_its_draws() -> None:
    assert percentile_metric(np.array([0.9, 0.1, 0.1])) == {"value": 0.9, "low": 0.1, "high": 0.1}


def test_no_classes_give_no_metrics() -> None:
    got = metrics(np.empty((3, 0), np.float32), np.empty((3, 0), bool))
    assert all(np.isnan(value) or value == 0 for value in got.values())


def test_average_precision_worked_by_hand() -> None:
    def auprc(scores: np.ndarray, truth: np.ndarray) -> float:
        return float(RankedClass.of(scores, truth).areas(np.ones((len(truth), 1)))[1][0])

    # From the best: hit, miss, hit, miss. Precision at the hits: 1/1 and 2/3.
    scores = np.array([4, 3, 2, 1], np.float32)
    assert auprc(scores, np.array([1, 0, 1, 0], bool)) == pytest.approx((1 + 2 / 3) / 2)
    # All tied: one step, of the share that shows it.
    assert auprc(np.zeros(4, np.float32), np.array([1, 0, 0, 0], bool)) == pytest.approx(1 / 4)
    # A hit and a miss tie at the top, and one hit lies below: 1/2 and 2/3.
    tied = np.array([2, 2, 1], np.float32)
    assert auprc(tied, np.array([1, 0, 1], bool)) == pytest.approx((1 / 2 + 2 / 3) / 2)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.booleans(), st.integers(0, 3)), min_size=2, max_size=40
    )
)
def test_areas_equal_scikit_learn_with_ties_and_weights(rows: list[tuple[int, bool, int]]) -> None:
    scores, truth, weights = (np.array(column) for column in zip(*rows, strict=True))
    ranked = RankedClass.of(scores.astype(np.float32), truth)
    area, average = ranked.areas(weights[:, None].astype(float))
    if weights[truth].sum() and weights[~truth].sum():
        expected = roc_auc_score(truth, scores, sample_weight=weights)
        assert area[0] == pytest.approx(expected, abs=1e-12)
    else:
        assert np.isnan(area[0])
    if weights[truth].sum():
        expected = average_precision_score(truth, scores, sample_weight=weights)
        assert average[0] == pytest.approx(expected, abs=1e-12)
    else:
        assert np.isnan(average[0])


def test_every_draw_of_a_task_equals_scikit_learn_on_records_written_several_times() -> None:
    rng = np.random.default_rng(7)
    scores = np.round(rng.normal(size=(150, 7)), 1).astype(np.float32)
    truth = rng.random((150, 7)) < 0.25
    truth[~truth.any(axis=1), 0] = True
    thresholds = np.array([0.1, -0.4, 0.0, 0.5, 2.0, np.nan, -9], np.float32)
    patients = [str(p) for p in rng.integers(0, 70, 150)]
    draws = PatientDraws.of(patients, 25, seed=3)
    found = bootstrap_metrics(scores, truth, draws, 1, thresholds)
    weights = np.concatenate([np.ones((1, 150)), draws.weights(0, 25).T]).astype(int)
    for row, weight in enumerate(weights):
        shown, scored = np.repeat(truth, weight, axis=0), np.repeat(scores, weight, axis=0)
        for c in range(7):
            expected = roc_auc_score(shown[:, c], scored[:, c])
            assert found.by_class["auroc"][row, c] == pytest.approx(expected, abs=1e-12)
            expected = average_precision_score(shown[:, c], scored[:, c])
            assert found.by_class["auprc"][row, c] == pytest.approx(expected, abs=1e-12)
            if np.isnan(thresholds[c]):
                assert np.isnan(found.by_class["f1"][row, c])
                continue
            expected = f1_score(shown[:, c], scored[:, c] >= thresholds[c])
            assert found.by_class["f1"][row, c] == pytest.approx(expected, abs=1e-12)
    macro = f1_score(truth, scores >= thresholds, average=None)[[0, 1, 2, 3, 4, 6]].mean()
    assert found.summary["macro_f1"][0] == pytest.approx(macro, abs=1e-12)


def test_draws_on_many_threads_are_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(400, 8)).astype(np.float32)
    truth = rng.random((400, 8)) < 0.3
    draws = PatientDraws.of([str(n // 3) for n in range(400)], 60, seed=0)
    one = bootstrap_metrics(scores, truth, draws, 1)
    monkeypatch.setattr("ecgpipe.evaluate.scoring._WORTH_THREADS", 0)
    monkeypatch.setattr("ecgpipe.evaluate.scoring._WEIGHTS_AT_ONCE", 1)  # four pieces
    monkeypatch.setattr("ecgpipe.evaluate.scoring.n_threads", lambda: 3)
    several = bootstrap_metrics(scores, truth, draws, 1)
    for name, values in one.summary.items():
        np.testing.assert_array_equal(several.summary[name], values)


def test_the_threshold_is_the_best_of_all_and_the_smallest_of_equals() -> None:
    rng = np.random.default_rng(5)
    scores = rng.integers(0, 9, (40, 6)).astype(np.float32)
    truth = rng.random((40, 6)) < 0.3
    truth[:, 5] = False
    chosen = best_f1_thresholds(scores, truth)
    assert np.isnan(chosen[5])  # nothing to choose by
    for c in range(5):
        tried = {t: f1_score(truth[:, c], scores[:, c] >= t) for t in np.unique(scores[:, c])}
        best = max(tried.values())
        assert chosen[c] == min(t for t, f1 in tried.items() if f1 == pytest.approx(best))
    # Two thresholds with an F1 of 2/3: one alone found of two, or both among four.
    by_hand = best_f1_thresholds(
        np.array([[4], [3], [2], [1]], np.float32), np.array([[1], [0], [0], [1]], bool)
    )
    assert by_hand[0] == 1


def test_ranks_are_those_of_sorting_each_row_with_ties_against_the_class() -> None:
    rng = np.random.default_rng(4)
    scores = rng.integers(0, 6, (300, 9)).astype(np.float32)  # many ties
    ascending = np.sort(scores, axis=1)
    below = [np.searchsorted(row, each) for row, each in zip(ascending, scores, strict=True)]
    assert np.array_equal(ranks(scores), scores.shape[1] - np.array(below))
    assert ranks(scores[:0]).shape == (0, 9)
    assert ranks(scores[:, :0]).shape == (300, 0)
