"""ECG to text and back: by hand, and against the plainest definition there is."""

from collections.abc import Sequence

import numpy as np
import pytest

from ecgpipe.evaluate.analyses import retrieval
from ecgpipe.evaluate.analyses.retrieval import (
    Vectors,
    mean_reciprocal_rank,
    recalls,
    retrieval_ranks,
)


def unit(rows: list[list[float]]) -> np.ndarray:
    vectors = np.array(rows, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_ranks_worked_by_hand_on_four_ecgs_and_three_texts() -> None:
    # Texts along x, y and z; similarity is then the ECG's own coordinate.
    texts = np.eye(3, dtype=np.float32)
    ecgs = np.array(
        [[0.9, 0.1, 0.2], [0.3, 0.2, 0.8], [0.5, 0.7, 0.1], [0.4, 0.6, 0.5]], np.float32
    )
    text_of = np.array([0, 0, 1, 2])
    found = retrieval_ranks(ecgs, texts, text_of)
    # ECG 1 means x (.3), but z (.8) is nearer; ECG 3 means z (.5), but y (.6) is nearer.
    assert found["ecg_to_text"].tolist() == [1, 2, 1, 2]
    # Text x: its best ECG is ECG 0 (.9), the nearest of all; z: ECG 1 (.8) is before ECG 3 (.5).
    assert found["text_to_ecg"].tolist() == [1, 1, 1, 2]


def test_an_ecg_with_the_same_text_is_right() -> None:
    # Every ECG looks like the first; two of three have its text.
    ecgs = unit([[1, 0], [0.9, 0.1], [0.8, 0.3]])
    texts = unit([[1, 0], [0, 1]])
    found = retrieval_ranks(ecgs, texts, np.array([0, 0, 1]))
    assert found["ecg_to_text"].tolist() == [1, 1, 2]
    assert found["text_to_ecg"].tolist() == [1, 1, 1]


def test_a_model_that_encodes_everything_alike_finds_nothing() -> None:
    ecgs, texts = np.ones((6, 2), np.float32), np.ones((3, 2), np.float32)
    found = retrieval_ranks(ecgs, texts, np.array([0, 0, 0, 1, 1, 2]))
    assert found["ecg_to_text"].tolist() == [3] * 6
    assert found["text_to_ecg"].tolist() == [4, 4, 4, 5, 5, 6]  # behind every wrong one


@pytest.mark.parametrize("at_once", [1, 7, 10**6])
def test_ranks_equal_the_plain_definition_in_pieces_of_any_size(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(retrieval, "_SIMILARITIES_AT_ONCE", at_once)
    rng = np.random.default_rng(0)
    for _ in range(20):
        n, t = int(rng.integers(2, 30)), int(rng.integers(2, 9))
        # Small whole numbers: many ties, and sums without rounding.
        ecgs = rng.integers(-2, 3, (n, 4)).astype(np.float32)
        texts = rng.integers(-2, 3, (t, 4)).astype(np.float32)
        text_of = rng.integers(0, t, n)
        found = retrieval_ranks(ecgs, texts, text_of)
        for ecg in range(n):
            own = ecgs[ecg] @ texts[text_of[ecg]]
            wrong = [k for k in range(t) if k != text_of[ecg]]
            assert found["ecg_to_text"][ecg] == 1 + sum(ecgs[ecg] @ texts[k] >= own for k in wrong)
            text = texts[text_of[ecg]]
            best = max(text @ ecgs[k] for k in range(n) if text_of[k] == text_of[ecg])
            wrong = [k for k in range(n) if text_of[k] != text_of[ecg]]
            assert found["text_to_ecg"][ecg] == 1 + sum(text @ ecgs[k] >= best for k in wrong)


def test_recalls_worked_by_hand_with_weights() -> None:
    ranks = np.array([1, 3, 6, 12])
    found = recalls(ranks, np.array([[4.0, 0, 0, 0], [0, 1, 1, 2]]))
    assert found["R@1"].tolist() == [0.25, 1, 0]
    assert found["R@5"].tolist() == [0.5, 1, 0.25]
    assert found["R@10"].tolist() == [0.75, 1, 0.5]


def test_the_mean_reciprocal_rank_is_worked_out_by_hand() -> None:
    """Two ECGs of text a, one of b: a's best ECG is first, b's is second behind one of a."""
    ecgs = np.array([[1, 0], [0.6, 0.8], [0.8, 0.6]], np.float32)
    texts = {"a": [1, 0], "b": [0, 1]}

    def encode(distinct: Sequence[str]) -> Vectors:
        return np.array([texts[text] for text in distinct], np.float32)

    assert mean_reciprocal_rank(ecgs, ["a", "a", "b"], encode) == pytest.approx((1 + 1 + 1 / 2) / 3)
    assert np.isnan(mean_reciprocal_rank(ecgs, ["a", "a", "a"], encode))
