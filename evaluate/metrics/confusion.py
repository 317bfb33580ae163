"""Which class is taken for which, among ECGs with exactly one.

Owns the count. N = records, C = classes.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ecgpipe.evaluate.results import Confusion


def confusion(
    scores_NC: npt.NDArray[np.float32], truth_NC: npt.NDArray[np.bool_], ids: Sequence[str]
) -> Confusion | None:
    """The `confusion` block of a task: row = truth, column = the class that scores best.

    ECGs with no class or several are left out. A tie counts for the wrong class, as it is a miss in
    hit@1; so the diagonal has the hits.

    Returns:
        n, class ids and counts; None where no ECG shows exactly one class.
    """
    one = truth_NC.sum(axis=1) == 1
    if not one.any():
        return None
    scores, truth_N = scores_NC[one], truth_NC[one].argmax(axis=1)
    every = np.arange(len(scores))
    others = scores.copy()
    others[every, truth_N] = -np.inf
    best_other = others.argmax(axis=1)
    hit = scores[every, truth_N] > others[every, best_other]
    counts = np.zeros((len(ids), len(ids)), np.int64)
    np.add.at(counts, (truth_N, np.where(hit, truth_N, best_other)), 1)
    return {"n": len(scores), "classes": list(ids), "counts": counts.tolist()}
