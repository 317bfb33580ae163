"""Probabilities corrected for how frequent findings are elsewhere."""

import dataclasses

import numpy as np
import pytest

from ecgpipe.apply_model.prevalence import estimate_prevalence


def test_one_ecg_worked_by_hand() -> None:
    # Calibrated where half the ECGs have the finding, and the mean of these two is half as well.
    same = estimate_prevalence("multi_label", np.array([[0.8], [0.2]]), np.array([0.5]))
    assert same.found_C == pytest.approx([0.5], abs=1e-4)
    # Where the prior is 0.2 instead of 0.5, odds of 4 become odds of 4 x (0.2/0.5) / (0.8/0.5) = 1.
    there = estimate_prevalence("multi_label", np.array([[0.8], [0.2]]), np.array([0.5]))
    there = dataclasses.replace(there, found_C=np.array([0.2]))
    assert there.corrected(np.array([[0.8]])) == pytest.approx(np.array([[0.5]]))


def test_exclusive_classes_worked_by_hand() -> None:
    there = estimate_prevalence("single_label", np.array([[0.5, 0.3, 0.2]]), np.full(3, 1 / 3))
    there = dataclasses.replace(there, found_C=np.array([0.2, 0.3, 0.5]))
    # 0.5 x 0.2 : 0.3 x 0.3 : 0.2 x 0.5 = 10 : 9 : 10
    assert there.corrected(np.array([[0.5, 0.3, 0.2]])) == pytest.approx(
        np.array([[10 / 29, 9 / 29, 10 / 29]])
    )


def sigmoid(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))


@pytest.mark.parametrize("truly", [0.02, 0.3, 0.8])
def test_the_true_frequency_of_a_simulated_hospital_is_found(truly: float) -> None:
    # Two normal classes at +-1: the log odds under equal priors are exactly 2x.
    rng = np.random.default_rng(0)
    ill = rng.random(20_000) < truly
    evidence = rng.normal(np.where(ill, 1.0, -1.0))
    there = estimate_prevalence("multi_label", sigmoid(2 * evidence)[:, None], np.array([0.5]))
    assert there.found_C[0] == pytest.approx(truly, abs=0.015)
    exact = sigmoid(2 * evidence + np.log(truly / (1 - truly)))
    corrected = there.corrected(sigmoid(2 * evidence)[:, None])[:, 0]
    assert np.abs(corrected - exact).mean() < 0.01
    assert corrected.mean() == pytest.approx(there.found_C[0], abs=1e-5)


def test_true_frequencies_of_exclusive_classes_are_found() -> None:
    rng = np.random.default_rng(1)
    truly = np.array([0.7, 0.25, 0.05])
    drawn = rng.choice(3, 30_000, p=truly)
    centres = np.array([[2.0, 0, 0], [0, 2, 0], [0, 0, 2]])
    evidence = rng.normal(centres[drawn])
    likelihoods = np.exp(-0.5 * ((evidence[:, None] - centres) ** 2).sum(axis=2))
    known = np.array([0.2, 0.3, 0.5])
    joint = likelihoods * known
    there = estimate_prevalence("single_label", joint / joint.sum(axis=1, keepdims=True), known)
    assert there.found_C == pytest.approx(truly, abs=0.01)


def test_a_class_without_calibration_stays_without_and_disturbs_no_other() -> None:
    probabilities = np.array([[0.8, np.nan], [0.3, np.nan], [0.1, np.nan]])
    both = estimate_prevalence("multi_label", probabilities, np.array([0.5, np.nan]))
    alone = estimate_prevalence("multi_label", probabilities[:, :1], np.array([0.5]))
    assert np.isnan(both.found_C[1])
    assert both.found_C[0] == alone.found_C[0]
    assert np.isnan(both.corrected(probabilities)[:, 1]).all()


def test_certain_probabilities_stay_certain() -> None:
    there = estimate_prevalence("multi_label", np.zeros((50, 1)), np.array([0.5]))
    assert there.found_C[0] == 0
    assert there.corrected(np.array([[0.0], [1.0]])).tolist() == [[0.0], [1.0]]


def test_more_ecgs_than_fit_one_block_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    probabilities = rng.random((1000, 3)).astype(np.float32)
    whole = estimate_prevalence("multi_label", probabilities, np.full(3, 0.4))
    monkeypatch.setattr("ecgpipe.apply_model.prevalence._ROWS_AT_ONCE", 7)
    parts = estimate_prevalence("multi_label", probabilities, np.full(3, 0.4))
    assert parts.found_C == pytest.approx(whole.found_C, abs=1e-9)


def test_a_frequency_of_zero_or_of_another_number_of_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        estimate_prevalence("multi_label", np.full((3, 1), 0.5), np.array([0.0]))
    with pytest.raises(ValueError, match="do not fit"):
        estimate_prevalence("multi_label", np.full((3, 1), 0.5), np.array([0.5, 0.5]))
