"""Curves and confusion against scikit-learn, and thin curves against the whole ones."""

import numpy as np
import pytest
from sklearn.metrics import (
    auc,
    confusion_matrix,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from ecgpipe.evaluate.metrics.confusion import confusion
from ecgpipe.evaluate.metrics.curves import MOST_POINTS, curves


def points(x: list[float], y: list[float]) -> set[tuple[float, float]]:
    return set(zip(np.round(x, 12), np.round(y, 12), strict=True))


def test_few_points_are_scikit_learns() -> None:
    scores = np.array([5, 4, 4, 3, 2, 1, 1], np.float32)
    truth = np.array([1, 0, 1, 1, 0, 0, 1], bool)
    found = curves(scores, truth)
    assert found is not None
    fpr, tpr, _ = roc_curve(truth, scores)  # it too drops points on a line
    np.testing.assert_allclose(found["roc"]["fpr"], fpr, atol=1e-12)
    np.testing.assert_allclose(found["roc"]["tpr"], tpr, atol=1e-12)
    assert auc(**dict(zip("xy", found["roc"].values(), strict=True))) == pytest.approx(
        roc_auc_score(truth, scores), abs=1e-12
    )
    precision, recall, _ = precision_recall_curve(truth, scores)
    kept = points(found["pr"]["recall"], found["pr"]["precision"])
    assert kept - {(0.0, 1.0)} <= points(recall, precision) | {(0.0, 1.0)}
    assert found["pr"]["recall"][-1] == 1


def test_long_curves_are_thinned_to_points_of_their_own() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(5000) < 0.2
    scores = (rng.normal(size=5000) + truth).astype(np.float32)
    found = curves(scores, truth)
    assert found is not None
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    precision, recall, _ = precision_recall_curve(truth, scores)
    whole = {"roc": points(fpr, tpr), "pr": points(recall, precision)}
    for name, (x, y) in ((n, tuple(c.values())) for n, c in found.items()):
        assert 60 <= len(x) <= MOST_POINTS
        assert points(x[1:], y[1:]) <= whole[name]
        assert x == sorted(x)
        assert (x[0], x[-1]) == (0, 1)
    area = auc(found["roc"]["fpr"], found["roc"]["tpr"])
    assert area == pytest.approx(roc_auc_score(truth, scores), abs=0.005)


def test_one_sided_classes_have_no_curve() -> None:
    assert curves(np.arange(3, dtype=np.float32), np.zeros(3, bool)) is None
    assert curves(np.arange(3, dtype=np.float32), np.ones(3, bool)) is None


def test_confusion_equals_scikit_learns_over_ecgs_with_one_class() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(200, 5)).astype(np.float32)
    truth = rng.random((200, 5)) < 0.3
    one = truth.sum(axis=1) == 1
    found = confusion(scores, truth, list("abcde"))
    assert found is not None
    assert found["n"] == one.sum()
    expected = confusion_matrix(
        truth[one].argmax(axis=1), scores[one].argmax(axis=1), labels=range(5)
    )
    assert found["counts"] == expected.tolist()
    assert found["classes"] == list("abcde")


def test_a_tie_with_the_truth_counts_for_the_other_class() -> None:
    scores = np.array([[1, 1, 0], [0, 1, 1]], np.float32)
    found = confusion(scores, np.array([[1, 0, 0], [0, 1, 0]], bool), list("abc"))
    assert found is not None
    assert found["counts"] == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]


def test_no_ecg_with_one_class_gives_no_confusion() -> None:
    assert confusion(np.zeros((2, 2), np.float32), np.ones((2, 2), bool), ["a", "b"]) is None
