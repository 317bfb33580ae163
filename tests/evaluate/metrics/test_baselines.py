"""Baselines: the prior, shuffled prompts, and scores adjusted by the prior."""

import numpy as np
import pytest

from ecgpipe.evaluate.metrics.baselines import (
    N_SHUFFLES,
    ecg_shuffles,
    log_prior_adjusted,
    prior_scores,
    shuffles,
)


@pytest.mark.parametrize(
    ("n_classes", "expected"), [(1, 0), (2, 1), (3, 2), (4, 9), (5, N_SHUFFLES), (98, N_SHUFFLES)]
)
def test_no_class_keeps_its_own_prompt_and_no_order_comes_twice(
    n_classes: int, expected: int
) -> None:
    orders = shuffles(n_classes, seed=0)
    assert len(orders) == expected
    assert len({tuple(order) for order in orders}) == expected
    for order in orders:
        assert sorted(order) == list(range(n_classes))
        assert (order != np.arange(n_classes)).all()


@pytest.mark.parametrize(
    "patients", [[0, 0, 0, 1, 2, 3, 3], [5, 5, 1, 1], list(range(30)), [1, 0] * 9]
)
def test_every_record_gets_another_patients_ecg_and_every_ecg_is_used_once(
    patients: list[int],
) -> None:
    of_N = np.array(patients)
    orders = ecg_shuffles(of_N, seed=0)
    assert len(orders) == N_SHUFFLES
    for order in orders:
        assert sorted(order) == list(range(len(of_N)))
        assert (of_N[order] != of_N).all()


def test_one_patient_has_nobody_to_exchange_with_and_a_majority_keeps_some() -> None:
    assert ecg_shuffles(np.array([4, 4, 4]), seed=0) == []
    assert ecg_shuffles(np.array([], np.int64), seed=0) == []
    for order in ecg_shuffles(np.array([4, 4, 4, 7]), seed=0):
        assert sorted(order) == [0, 1, 2, 3]


def test_the_prior_prefers_frequent_classes_and_of_equals_the_first() -> None:
    scores = prior_scores(np.array([3, 9, 3]), 2)
    assert np.argsort(-scores, axis=1).tolist() == [[1, 0, 2], [1, 0, 2]]


def test_adjusting_is_bayes_rule_for_a_prior_the_model_was_not_told() -> None:
    # Chances that the model gives with equal priors, times the frequencies, are the adjusted ones.
    cosines = np.array([[0.1, 0.3, -0.2]], np.float32)
    counts, n = np.array([80, 15, 4]), 99
    logits = log_prior_adjusted(cosines, 10.0, counts, n).astype(float)
    adjusted = np.exp(logits) / np.exp(logits).sum()
    raw = np.exp(10 * cosines.astype(float))
    expected = raw * (counts + 0.5)
    np.testing.assert_allclose(adjusted, expected / expected.sum(), rtol=1e-5)


def test_a_class_never_trained_on_can_still_be_scored() -> None:
    assert np.isfinite(
        log_prior_adjusted(np.zeros((1, 2), np.float32), 10, np.array([0, 5]), 5)
    ).all()
