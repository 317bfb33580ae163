"""The score from which a class is predicted, chosen on validation records alone.

Owns the choice. V = validation records, C = classes.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def best_f1_thresholds(
    scores_VC: npt.NDArray[np.float32],
    truth_VC: npt.NDArray[np.bool_],
    known_VC: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.float32]:
    """The threshold of each class that gives the best F1 on these records.

    Candidates are the scores that occur; a record whose score is at least the threshold is
    predicted to show the class. Of equally good thresholds the smallest is taken: it finds most.

    Args:
        scores_VC: similarity of each validation record to each class.
        truth_VC: which classes each shows.
        known_VC: of which classes that is known; the others of a record are left out. None: all.

    Returns:
        (C,), NaN for a class that no validation record shows.
    """
    chosen = np.full(scores_VC.shape[1], np.nan, np.float32)
    for number in np.flatnonzero(truth_VC.any(axis=0)):
        known = slice(None) if known_VC is None else known_VC[:, number]
        chosen[number] = _best(scores_VC[known, number], truth_VC[known, number])
    return chosen


def _best(scores_V: npt.NDArray[np.float32], truth_V: npt.NDArray[np.bool_]) -> np.float32:
    candidates, place_V = np.unique(scores_V, return_inverse=True)
    at = np.bincount(place_V, minlength=len(candidates))
    shown_at = np.bincount(place_V, truth_V, minlength=len(candidates))
    predicted = np.cumsum(at[::-1])[::-1]
    both = np.cumsum(shown_at[::-1])[::-1]
    f1 = 2 * both / (predicted + truth_V.sum())
    best: np.float32 = candidates[np.argmax(f1)]  # the first of equals is the smallest
    return best
