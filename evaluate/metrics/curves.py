"""The ROC and precision-recall curves of one class, with few enough points to draw.

Owns which points are kept. N = records.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MOST_POINTS = 101


def curves(
    scores_N: npt.NDArray[np.float32], truth_N: npt.NDArray[np.bool_]
) -> dict[str, dict[str, list[float]]] | None:
    """The `curves` entry of a class: {roc: {fpr, tpr}, pr: {recall, precision}}.

    Every point belongs to some threshold; of more than 101, evenly spaced ones are kept, always
    with both ends. The ROC begins at (0, 0). The precision-recall curve begins at recall 0 with the
    precision of the highest score, and both end at the lowest score.

    Returns:
        None if no record shows the class, or every record does.
    """
    n_shown = int(truth_N.sum())
    n_other = len(truth_N) - n_shown
    if not n_shown or not n_other:
        return None
    distinct, place_N = np.unique(scores_N, return_inverse=True)
    found = np.cumsum(np.bincount(place_N, truth_N, minlength=len(distinct))[::-1])
    taken = np.cumsum(np.bincount(place_N, minlength=len(distinct))[::-1])
    recall, precision = found / n_shown, found / taken
    fpr, tpr = np.concatenate([[0.0], (taken - found) / n_other]), np.concatenate([[0.0], recall])
    recall, precision = np.concatenate([[0.0], recall]), np.concatenate([precision[:1], precision])
    kept = _spread(fpr, tpr)
    kept_pr = _spread(recall, precision)
    return {
        "roc": {"fpr": fpr[kept].tolist(), "tpr": tpr[kept].tolist()},
        "pr": {"recall": recall[kept_pr].tolist(), "precision": precision[kept_pr].tolist()},
    }


def _spread(x: Floats, y: Floats) -> npt.NDArray[np.int64]:
    """Places of at most 101 points: all corners if these are few enough, else evenly spread."""
    corner = np.ones(len(x), np.bool_)
    with np.errstate(invalid="ignore"):
        before, after = np.diff(x)[:-1], np.diff(x)[1:]
        turn = before * np.diff(y)[1:] - after * np.diff(y)[:-1]
    corner[1:-1] = np.abs(turn) > 1e-15
    places = np.flatnonzero(corner)
    if len(places) <= MOST_POINTS:
        return places
    length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    wanted = np.linspace(0, length[-1], MOST_POINTS)
    nearest = np.searchsorted((length[places][1:] + length[places][:-1]) / 2, wanted)
    return places[np.unique(nearest)]
