"""Metrics from scores and truth, for plain arrays.

Owns the definitions. N = records, C = classes, D = draws of the bootstrap.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Truth = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

_Z_95 = 1.959963984540054


def ranks(scores_NC: Scores) -> npt.NDArray[np.int64]:
    """The rank (N, C) of each class for each record, 1 the best.

    A tie counts against the class: tied classes take the worst rank of the tie, so a model that
    gives every class the same score hits nothing.
    """
    from scipy.stats import rankdata

    if not scores_NC.size:
        return np.zeros(scores_NC.shape, np.int64)
    found: npt.NDArray[np.int64] = rankdata(-scores_NC, method="max", axis=1).astype(np.int64)
    return found


def wilson_interval(share: float, n: float) -> tuple[float, float]:
    """The 95 % Wilson score interval of a share of n > 0, which need not be whole.

    Source: Wilson 1927, eq. for the score interval.
    """
    z2 = _Z_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z_95 / (1 + z2 / n) * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


@dataclass(frozen=True)
class RankedClass:
    """The records of one class arranged so that both areas follow from sums of weights.

    Only the scores of positives matter, so records are grouped into 3G + 1 heaps, with G distinct
    scores of positives, ascending: the G + 1 gaps between these scores with the negatives inside,
    the G scores with the negatives that tie, and the G scores with their positives. One sum of
    weights a heap and draw replaces sorting in every draw, exactly.
    """

    heaps: Any
    """Sparse (heaps, N) of ones: the records of each heap, in the order above."""

    n_scores: int
    """G."""

    @staticmethod
    def of(
        scores_N: Scores,
        truth_N: Truth,
        dtype: npt.DTypeLike = np.float64,
        known_N: Truth | None = None,
    ) -> "RankedClass":
        """Arrange the records of a class.

        Args:
            scores_N: of each record.
            truth_N: which records show the class.
            dtype: that of the weights.
            known_N: the records of which this is known; the others are in no heap. None: all.
        """
        from scipy.sparse import csr_array

        n_records, places = len(scores_N), None
        if known_N is not None:
            places, scores_N, truth_N = np.flatnonzero(known_N), scores_N[known_N], truth_N[known_N]
        distinct = np.unique(scores_N[truth_N])
        n = len(distinct)
        heap_N = np.searchsorted(distinct, scores_N, side="left")
        ties_N = np.searchsorted(distinct, scores_N, side="right") > heap_N
        heap_N += (n + 1) * ties_N + n * (truth_N & ties_N)
        ends = np.cumsum(np.bincount(heap_N, minlength=3 * n + 1))
        order = np.argsort(heap_N, kind="stable")
        order = (order if places is None else places[order]).astype(np.int32)
        starts = np.concatenate([[0], ends]).astype(np.int32)
        ones = np.ones(len(order), dtype)
        return RankedClass(csr_array((ones, order, starts), shape=(3 * n + 1, n_records)), n)

    def areas(self, weights_ND: npt.NDArray[Any]) -> tuple[Floats, Floats]:
        """AUROC and average precision (D,) for each column of record weights.

        AUROC is the chance that a record with the class scores above one without, a tie counting
        half. Average precision is the mean, over records with the class, of the precision at their
        score, where records of one score are predicted together.

        Returns:
            NaN if a draw has no record with the class; AUROC also if it has none without.

        Source: Mann & Whitney 1947; scikit-learn's `average_precision_score`.
        """
        n = self.n_scores
        sums = self.heaps @ weights_ND
        between, ties, positive = sums[: n + 1], sums[n + 1 : 2 * n + 1], sums[2 * n + 1 :]
        with_ties = between.copy()
        with_ties[1:] += ties
        below = np.cumsum(with_ties, axis=0)  # row g: negatives below score g; row G: all
        positive = positive.astype(np.float64)
        all_positive, all_negative = positive.sum(axis=0), below[n].astype(np.float64)
        below = below[:n]
        with np.errstate(invalid="ignore", divide="ignore"):
            wins = np.einsum("gd,gd->d", positive, below + ties / 2)
            auroc = wins / (all_positive * all_negative)
            found = np.cumsum(positive[::-1], axis=0)[::-1]
            precision = found / (found + (all_negative - below))
            precision[positive == 0] = 0  # no step of recall; it may be 0/0
            average = np.einsum("gd,gd->d", positive, precision) / all_positive
        return auroc, average


def weighted_auroc(scores_N: Scores, truth_N: Truth, weights_DN: Floats) -> Floats:
    """(D,) the area under the ROC curve for each row of record weights; NaN: one side is empty."""
    weights_ND = np.ascontiguousarray(weights_DN.T, np.float64)
    return RankedClass.of(scores_N, truth_N).areas(weights_ND)[0]


def auroc(scores_N: Scores, truth_N: Truth) -> float:
    """The area under the ROC curve; NaN where one side is empty."""
    return float(weighted_auroc(scores_N, truth_N, np.ones((1, len(scores_N))))[0])
