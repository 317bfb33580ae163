"""ECG to report and report to ECG: where the right one stands among all.

Owns what counts as right. Two ECGs with the same text have the same vector, so no model could tell
their texts apart: the texts that compete are the distinct ones, and of a text every ECG that has
it is right. A tie with a wrong one counts against the model, so one that encodes everything alike
finds nothing. N = ECGs, T = distinct texts, D = joint width.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecgpipe.evaluate.scoring import Summary

Vectors = npt.NDArray[np.float32]
Ranks = npt.NDArray[np.int64]

AT = (1, 5, 10)
_SIMILARITIES_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class RetrievalRanks:
    """For each ECG, where the right one stands; 1 is the best."""

    ecg_to_text_N: Ranks
    """Its text among the distinct texts."""

    text_to_ecg_N: Ranks
    """Of the ECGs with its text the best one, among them and all with other texts."""


def retrieval_ranks(
    ecg_ND: Vectors, text_TD: Vectors, text_of_N: npt.NDArray[np.int64]
) -> RetrievalRanks:
    """Rank by similarity in both directions.

    Args:
        ecg_ND: unit vectors of the ECGs.
        text_TD: unit vectors of the distinct texts.
        text_of_N: which text each ECG has.
    """
    ecg_to_text = np.empty(len(ecg_ND), np.int64)
    for rows in _pieces(len(ecg_ND), len(text_TD)):
        similar = ecg_ND[rows] @ text_TD.T
        own = np.take_along_axis(similar, text_of_N[rows, None], axis=1)
        ecg_to_text[rows] = (similar >= own).sum(axis=1)
    of_text = np.empty(len(text_TD), np.int64)
    for rows in _pieces(len(text_TD), len(ecg_ND)):
        similar = text_TD[rows] @ ecg_ND.T
        right = text_of_N[None, :] == np.arange(len(text_TD))[rows, None]
        best = np.where(right, similar, -np.inf).max(axis=1, keepdims=True)
        of_text[rows] = 1 + ((similar >= best) & ~right).sum(axis=1)
    return RetrievalRanks(ecg_to_text, of_text[text_of_N])


def recalls(ranks_N: Ranks, weights_DN: npt.NDArray[np.float64]) -> Summary:
    """R@k: the share of ECGs for which the right one is among the k best, by draw.

    Args:
        ranks_N: of the right one.
        weights_DN: bootstrap weights of the ECGs.

    Returns:
        By name (1 + D,); row 0 is the metric itself.
    """
    weights = np.concatenate([np.ones((1, len(ranks_N))), weights_DN])
    return {f"R@{k}": (weights @ (ranks_N <= k)) / weights.sum(axis=1) for k in AT}


def _pieces(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Rows that go through together, so that memory does not grow with both counts."""
    step = max(1, _SIMILARITIES_AT_ONCE // max(n_columns, 1))
    for start in range(0, n_rows, step):
        yield slice(start, start + step)
