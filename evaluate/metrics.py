"""Figures from scores and truth, for plain arrays.

Owns the definitions. N = records, C = classes, D = draws of the bootstrap.
"""

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Truth = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

_Z_95 = 1.959963984540054


def ranks(scores_NC: Scores) -> npt.NDArray[np.int64]:
    """The rank (N, C) of each class for each record, 1 the best.

    A tie counts against the class: all of a tied group take the group's worst rank, so a model that
    gives every class the same score hits nothing.
    """
    ascending = np.sort(scores_NC, axis=1)
    below = [np.searchsorted(row, scores) for row, scores in zip(ascending, scores_NC, strict=True)]
    found: npt.NDArray[np.int64] = scores_NC.shape[1] - np.array(below, np.int64).reshape(
        scores_NC.shape
    )
    return found


def wilson_interval(hits: float, n: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a share; (0, 1) where n is 0.

    Source: Wilson 1927, eq. for the score interval.
    """
    if n == 0:
        return 0.0, 1.0
    share, z2 = hits / n, _Z_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z_95 / (1 + z2 / n) * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def weighted_auroc(scores_N: Scores, truth_N: Truth, weights_DN: Floats) -> Floats:
    """The area under the ROC curve for each row of record weights.

    It is the chance that a record that shows the class scores above one that does not, a tie
    counting half, with records counted by weight.

    Returns:
        (D,), NaN where a draw has no record, or none but records, that show the class.
    """
    order = np.argsort(scores_N, kind="stable")
    sorted_scores = scores_N[order]
    positives = order[truth_N[order]]
    negative_below = np.cumsum(weights_DN[:, order] * ~truth_N[order], axis=1)
    negative_below = np.concatenate([np.zeros((len(weights_DN), 1)), negative_below], axis=1)
    first = np.searchsorted(sorted_scores, scores_N[positives], side="left")
    after = np.searchsorted(sorted_scores, scores_N[positives], side="right")
    wins = (negative_below[:, first] + negative_below[:, after]) / 2
    pairs = weights_DN[:, positives].sum(axis=1) * negative_below[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        areas: Floats = (weights_DN[:, positives] * wins).sum(axis=1) / pairs
    return areas


def auroc(scores_N: Scores, truth_N: Truth) -> float:
    """The area under the ROC curve; NaN where one side is empty."""
    return float(weighted_auroc(scores_N, truth_N, np.ones((1, len(scores_N))))[0])
