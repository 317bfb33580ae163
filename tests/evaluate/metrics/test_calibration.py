"""Calibration against scikit-learn, a general minimiser and cases worked by hand."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, softmax
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.metrics.calibration import (
    PairLogits,
    calibration,
    calibration_error,
    fitted_scale,
    platt_fits,
    reliability_bins,
)

RNG = np.random.default_rng(0)


def single(n: int, scale: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of four classes, and truth drawn from their softmax at this scale."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(-0.5, 0.5, (n, 4)).astype(np.float32)
    chances = softmax(scale * scores.astype(np.float64), axis=1)
    labels = (rng.random((n, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    return scores, np.eye(4, dtype=bool)[np.minimum(labels, 3)]


def draws(n: int) -> PatientDraws:
    return PatientDraws.of([str(p) for p in range(n)], 200, seed=0)


def test_the_error_worked_by_hand() -> None:
    # Bins of 1/15. 0.95 and 0.97 lie in the last, one right of two: |1.92 - 1|. 0.50 lies in
    # (7/15, 8/15], right: |0.5 - 1|. 0.20 is the very end of (2/15, 3/15], wrong: |0.2 - 0|.
    confidence = np.array([0.95, 0.97, 0.50, 0.20])
    right = np.array([True, False, True, False])
    error = calibration_error(confidence[:, None], right[:, None], draws(4))["value"]
    assert error == pytest.approx((0.92 + 0.5 + 0.2) / 4, abs=1e-12)
    bins = reliability_bins(confidence, right)
    assert [b["n"] for b in bins] == [0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2]
    assert bins[14]["confidence"] == pytest.approx(0.96)
    assert bins[14]["share"] == 0.5
    assert bins[0] == {"low": 0.0, "high": 1 / 15, "n": 0, "confidence": None, "share": None}


def test_bins_equal_scikit_learns() -> None:
    confidence = RNG.random(500)
    right = RNG.random(500) < confidence
    share, mean = calibration_curve(right, confidence, n_bins=15)
    full = [b for b in reliability_bins(confidence, right) if b["n"]]
    np.testing.assert_allclose([b["share"] for b in full], share, atol=1e-12)
    np.testing.assert_allclose([b["confidence"] for b in full], mean, atol=1e-12)
    error = sum(b["n"] * abs(b["share"] - b["confidence"]) for b in full) / 500
    found = calibration_error(confidence[:, None], right[:, None], draws(500))["value"]
    assert found == pytest.approx(error, abs=1e-12)


def test_the_temperature_is_that_of_a_general_minimiser_and_near_the_true_one() -> None:
    scores, truth = single(4000, scale=12, seed=1)

    def loss(log_scale: float) -> float:
        return -float(log_softmax(np.exp(log_scale) * scores.astype(float), axis=1)[truth].mean())

    best = minimize_scalar(loss, bounds=(-3, 6), method="bounded", options={"xatol": 1e-9})
    assert fitted_scale(scores, truth) == pytest.approx(np.exp(best.x), rel=1e-5)
    assert fitted_scale(scores, truth) == pytest.approx(12, rel=0.1)


def test_a_temperature_has_limits_where_validation_cannot_tell() -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    truth = np.eye(2, dtype=bool)
    assert fitted_scale(scores, truth) > 50  # all right: as sure as float64 can tell
    assert fitted_scale(scores, ~truth) == pytest.approx(1e-3)


def test_platts_sigmoid_equals_scikit_learns_logistic_regression_of_smoothed_targets() -> None:
    scores = RNG.normal(0.2, 0.1, (80, 3)).astype(np.float32)
    truth = RNG.random((80, 3)) < expit(12 * (scores - 0.25).astype(float))
    slopes, offsets = platt_fits(scores, truth)
    for c in range(3):
        n_shown = truth[:, c].sum()
        target = np.where(
            truth[:, c], (n_shown + 1) / (n_shown + 2), 1 / (80 - n_shown + 2)
        )  # each record twice: as shown with weight t, as not shown with 1 - t
        x = np.tile(scores[:, [c]].astype(float), (2, 1))
        fit = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000, solver="newton-cholesky")
        fit.fit(x, np.repeat([1, 0], 80), sample_weight=np.concatenate([target, 1 - target]))
        assert slopes[c] == pytest.approx(fit.coef_[0, 0], rel=1e-6)
        assert offsets[c] == pytest.approx(fit.intercept_[0], rel=1e-6)


def test_platts_sigmoid_stays_finite_where_validation_separates_or_scores_are_equal() -> None:
    truth = np.array([[1, 1], [1, 0], [0, 0], [0, 0]], bool)
    scores = np.array([[0.9, 0.3], [0.8, 0.3], [0.1, 0.3], [0.0, 0.3]], np.float32)
    slopes, offsets = platt_fits(scores, truth)
    chances = expit(slopes * scores + offsets)
    # Four records of two kinds: the targets are 3/4 and 1/4, and no sigmoid goes far beyond.
    assert chances[:, 0] == pytest.approx([0.75, 0.75, 0.25, 0.25], abs=0.1)
    # Nothing to tell them apart: the mean of the targets, (2/3 + 3 x 1/5) / 4.
    assert chances[:, 1] == pytest.approx([(2 / 3 + 3 / 5) / 4] * 4, abs=1e-6)


def test_validation_makes_a_model_that_is_too_sure_calibrated() -> None:
    scored, validation = (*single(3000, 8, seed=2), None), (*single(3000, 8, seed=3), None)
    found = calibration(
        "single_label", "abcd", scored, validation, PairLogits(60, None), draws(3000)
    )
    assert found is not None
    assert found["method"] == "temperature"
    assert found["n_val"] == 3000
    assert found["scale"] == pytest.approx(8, rel=0.1)  # what the scores were drawn with
    assert found["sigmoids"] == {}
    assert found["ece"]["value"] < 0.03
    assert found["ece_uncalibrated"]["value"] > 0.2
    assert sum(b["n"] for b in found["bins"]) == 3000
    for name in ("ece", "ece_uncalibrated"):
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"]


def test_several_labels_have_a_sigmoid_each_and_only_where_validation_shows_the_class() -> None:
    scores = RNG.uniform(-0.5, 0.5, (2000, 3)).astype(np.float32)
    truth = RNG.random((2000, 3)) < expit(10 * scores.astype(float) - 1)
    val = scores[1000:], truth[1000:] & [True, True, False], None
    scored = scores[:1000], truth[:1000], None
    found = calibration("multi_label", "abc", scored, val, PairLogits(40, -1), draws(1000))
    assert found is not None
    assert found["method"] == "platt"
    assert sum(b["n"] for b in found["bins"]) == 2 * 1000
    slopes, offsets = platt_fits(val[0][:, :2], val[1][:, :2])
    assert found["scale"] is None
    assert found["sigmoids"] == {
        class_id: {"slope": slopes[c], "offset": offsets[c]} for c, class_id in enumerate("ab")
    }
    assert found["ece"]["value"] < 0.04 < found["ece_uncalibrated"]["value"]
    without = calibration("multi_label", "abc", scored, val, PairLogits(40, None), draws(1000))
    assert without is not None
    assert without["ece_uncalibrated"] == {"value": None, "low": None, "high": None}


def test_without_validation_records_there_is_nothing_to_fit() -> None:
    scored = (*single(10, 8, seed=2), None)
    nothing = np.empty((0, 4), np.float32), np.empty((0, 4), bool), None
    found = calibration("single_label", "abcd", scored, nothing, PairLogits(9, None), draws(10))
    assert found is None
