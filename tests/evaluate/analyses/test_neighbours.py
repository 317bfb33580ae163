"""The vote of the nearest, by hand and against scikit-learn."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from simulated_evaluation import CONFIG, SCORED, TASKS, TRAINED_ON, Noise
from sklearn.neighbors import KNeighborsClassifier

from ecgpipe.evaluate.analyses import neighbours
from ecgpipe.evaluate.analyses.neighbours import nearest, votes


def directions(n: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, 8)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def neighbour_votes(
    ecg_ND: np.ndarray, known_MD: np.ndarray, truth_MC: np.ndarray, k: int = neighbours.K
) -> np.ndarray:
    return votes(*nearest(ecg_ND, known_MD, k), truth_MC)


def test_a_vote_worked_by_hand() -> None:
    # Cosines 1, 0.93 and 0: with two voters exp(-0.07 / 0.07) = 1/e against 1.
    known = np.array([[1, 0], [0.93, np.sqrt(1 - 0.93**2)], [0, 1]], np.float32)
    truth = np.array([[True, False, True], [False, True, True], [True, True, True]])
    found = neighbour_votes(np.array([[1, 0]], np.float32), known, truth, k=2)
    near, far = 1 / (1 + np.exp(-1)), np.exp(-1) / (1 + np.exp(-1))
    np.testing.assert_allclose(found, [[near, far, 1]], atol=1e-6)


@pytest.mark.parametrize("at_once", [1, 10**6])
def test_votes_equal_scikit_learns_weighted_neighbours(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(neighbours, "_SIMILARITIES_AT_ONCE", at_once)
    asked, known = directions(40, 0), directions(300, 1)
    truth = np.random.default_rng(2).random((300, 5)) < 0.3
    found = neighbour_votes(asked, known, truth)
    for number in range(5):
        # Of unit vectors |a - b|^2 / 2 is 1 - cosine.
        model = KNeighborsClassifier(20, weights=lambda d: np.exp((1 - d**2 / 2) / 0.07))
        expected = model.fit(known, truth[:, number]).predict_proba(asked)[:, 1]
        np.testing.assert_allclose(found[:, number], expected, atol=1e-5)


def test_fewer_training_ecgs_than_k_all_vote() -> None:
    found = neighbour_votes(directions(3, 0), directions(2, 1), np.array([[True], [True]]))
    np.testing.assert_allclose(found, 1, atol=1e-6)


def test_no_ecg_asks_and_a_class_nobody_shows_gets_no_vote() -> None:
    assert neighbour_votes(directions(0, 0), directions(5, 1), np.ones((5, 2), bool)).shape == (
        0,
        2,
    )
    found = neighbour_votes(directions(4, 0), directions(30, 1), np.zeros((30, 1), bool))
    assert found.max() == 0


def test_of_very_many_training_ecgs_some_vote(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []

    class Counting(Noise):
        def encode_ecg(self, slots: Any) -> Any:
            encoded.append(len(slots))
            return super().encode_ecg(slots)

    monkeypatch.setattr(neighbours, "MOST_ECGS", 100)
    context: Any = SimpleNamespace(
        need_other_split=lambda *_: None, check_stop=lambda: None, config=CONFIG,
        fully_known_tasks=[SimpleNamespace(task=task) for task in TASKS], train=TRAINED_ON,
        scored=SCORED, model=Counting(0), untrained=[Counting(1)],
        summary=lambda _, votes_NC: {"n": len(votes_NC), "most": float(votes_NC.max())},
    )  # fmt: skip
    found = neighbours.compute(context)
    assert encoded[0] == encoded[2] == len(SCORED)
    assert 100 <= encoded[1] == encoded[3] <= 102  # whole patients of two ECGs
    for task in TASKS:
        assert found["tasks"][task.name]["summary"]["n"] == len(SCORED)
        assert 0 < found["tasks"][task.name]["summary"]["most"] <= 1.000001
