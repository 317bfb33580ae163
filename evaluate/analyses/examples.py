"""Which ECGs are worth looking at: the best, the worst, the most confidently wrong.

Owns the choice and nothing of the drawing. C = classes, N = records.

best               a true class comes first; the widest lead over the best false class
worst              the best-placed true class stands furthest down the list
confidently_wrong  a false class comes first, with the widest lead over the runner-up
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.evaluate.scored_task import ScoredTask

_TOP = 5


def examples(
    scored: ScoredTask, record_ids: Sequence[str], of_each: int = 1
) -> list[dict[str, Any]]:
    """The chosen ECGs of a task, each once, ready for the results file.

    Args:
        scored: the task's scores and truth.
        record_ids: of every record of the split, whether the task scores it or not.
        of_each: how many of each kind; fewer where there are no more.
    """
    places = np.flatnonzero(scored.chosen_N)
    scores_NC, truth_NC = scored.scores, scored.truth
    if not len(places) or scores_NC.shape[1] < 2:
        return []
    ids = [c.id for c in scored.task.classes]
    found = []
    taken: set[int] = set()
    for kind, order in _orders(scores_NC.astype(np.float64), truth_NC).items():
        for n in [n for n in order if n not in taken][:of_each]:
            taken.add(n)
            found.append(
                {
                    "kind": kind,
                    "record_id": record_ids[places[n]],
                    **_facts(scores_NC[n], truth_NC[n], ids),
                }
            )
    return found


def _orders(
    scores_NC: npt.NDArray[np.float64], truth_NC: npt.NDArray[np.bool_]
) -> dict[str, list[int]]:
    """By kind, the records it applies to, the most extreme first."""
    of_truth = np.where(truth_NC, scores_NC, -np.inf).max(axis=1)
    of_rest = np.where(truth_NC, -np.inf, scores_NC).max(axis=1)
    lead_N = of_truth - of_rest  # infinite where every class is true: nothing to be told apart
    rank_N = (scores_NC > of_truth[:, None]).sum(axis=1) + 1
    two_N2 = np.sort(scores_NC, axis=1)[:, -2:]
    sure_N = two_N2[:, 1] - two_N2[:, 0]
    wrong_N = lead_N < 0
    right_N = (lead_N > 0) & np.isfinite(lead_N)
    return {
        "best": _picked(right_N, lead_N),
        "worst": _picked(wrong_N, rank_N - lead_N / 10),  # leads stay below 2: they break ties
        "confidently_wrong": _picked(wrong_N, sure_N),
    }


def _picked(chosen_N: npt.NDArray[np.bool_], key_N: npt.NDArray[np.float64]) -> list[int]:
    order = np.argsort(-np.where(chosen_N, key_N, -np.inf), kind="stable")
    return [int(n) for n in order if chosen_N[n]]


def _facts(
    scores_C: npt.NDArray[np.float32], truth_C: npt.NDArray[np.bool_], ids: Sequence[str]
) -> dict[str, Any]:
    order = np.argsort(-scores_C, kind="stable")
    return {
        "findings": [ids[c] for c in order if truth_C[c]],
        "top": [{"id": ids[c], "score": round(float(scores_C[c]), 4)} for c in order[:_TOP]],
        "rank_of_truth": int((scores_C > scores_C[truth_C].max()).sum()) + 1,
    }
