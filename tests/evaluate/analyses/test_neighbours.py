"""The vote of the nearest, by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from ecgpipe.evaluate.analyses import neighbours
from ecgpipe.evaluate.analyses.neighbours import neighbour_votes


def directions(n: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, 8)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_vote_worked_by_hand() -> None:
    # Cosines 1, 0.93 and 0: with two voters exp(-0.07 / 0.07) = 1/e against 1.
    known = np.array([[1, 0], [0.93, np.sqrt(1 - 0.93**2)], [0, 1]], np.float32)
    truth = np.array([[True, False, True], [False, True, True], [True, True, True]])
    votes = neighbour_votes(np.array([[1, 0]], np.float32), known, truth, k=2)
    near, far = 1 / (1 + np.exp(-1)), np.exp(-1) / (1 + np.exp(-1))
    np.testing.assert_allclose(votes, [[near, far, 1]], atol=1e-6)


@pytest.mark.parametrize(("at_once", "known_at_once"), [(1, 10**6), (10**6, 10**6), (10**6, 37)])
def test_votes_equal_scikit_learns_weighted_neighbours(
    monkeypatch: pytest.MonkeyPatch, at_once: int, known_at_once: int
) -> None:
    monkeypatch.setattr(neighbours, "_SIMILARITIES_AT_ONCE", at_once)
    monkeypatch.setattr(neighbours, "_KNOWN_AT_ONCE", known_at_once)
    asked, known = directions(40, 0), directions(300, 1)
    truth = np.random.default_rng(2).random((300, 5)) < 0.3
    votes = neighbour_votes(asked, known, truth)
    for number in range(5):
        # Of unit vectors |a - b|^2 / 2 is 1 - cosine.
        model = KNeighborsClassifier(20, weights=lambda d: np.exp((1 - d**2 / 2) / 0.07))
        expected = model.fit(known, truth[:, number]).predict_proba(asked)[:, 1]
        np.testing.assert_allclose(votes[:, number], expected, atol=1e-5)


def test_fewer_training_ecgs_than_k_all_vote() -> None:
    votes = neighbour_votes(directions(3, 0), directions(2, 1), np.array([[True], [True]]))
    np.testing.assert_allclose(votes, 1, atol=1e-6)


def test_no_ecg_asks_and_a_class_nobody_shows_gets_no_vote() -> None:
    assert neighbour_votes(directions(0, 0), directions(5, 1), np.ones((5, 2), bool)).shape == (
        0,
        2,
    )
    votes = neighbour_votes(directions(4, 0), directions(30, 1), np.zeros((30, 1), bool))
    assert votes.max() == 0
