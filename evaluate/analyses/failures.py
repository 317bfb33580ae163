"""Where a model fails: which finding is taken for which, and how the coarse diagnoses fare.

Owns the definitions of a confusion where an ECG shows several findings. N = records, C = classes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.evaluate.metrics.metrics import wilson_interval
from ecgpipe.evaluate.scored_task import ScoredTask

Floats = npt.NDArray[np.float64]

_WORST = 20
_NONE = "none"


def overtaken(
    scores_NC: npt.NDArray[np.float32], truth_NC: npt.NDArray[np.bool_], min_positives: int
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """How often a class j that an ECG does not show scores as high as a class i that it does.

    Returns:
        The rate (C, C), NaN where fewer than `min_positives` ECGs show i and not j; and how many
        those are.
    """
    n_classes = scores_NC.shape[1]
    rates = np.full((n_classes, n_classes), np.nan)
    counts = truth_NC.T.astype(np.int64) @ (~truth_NC).astype(np.int64)
    for i in range(n_classes):
        own = truth_NC[:, i]
        over = (scores_NC[own] >= scores_NC[own, i][:, None]) & ~truth_NC[own]
        enough = counts[i] >= max(min_positives, 1)
        rates[i, enough] = over.sum(axis=0)[enough] / counts[i, enough]
    np.fill_diagonal(rates, np.nan)
    return rates, counts


def taken_for(
    scored: ScoredTask, similarity_CC: Floats | None, min_positives: int
) -> list[dict[str, Any]]:
    """The pairs of findings that are mistaken most, by the lower bound of the rate: a pair of few
    ECGs must be worse to come first.

    Args:
        scored: the task.
        similarity_CC: cosines of the class prompts in the language model, to stand beside.
        min_positives: the least ECGs of a pair.
    """
    rates, counts = overtaken(scored.scores, scored.truth, min_positives)
    ids = [each.id for each in scored.task.classes]
    entries: list[dict[str, Any]] = []
    for i, j in np.argwhere(np.isfinite(rates)).tolist():
        n = int(counts[i, j])
        low, high = wilson_interval(rates[i, j] * n, n)
        entries.append(
            {
                "shown": ids[i],
                "taken_for": ids[j],
                "n": n,
                "rate": {"value": float(rates[i, j]), "low": low, "high": high},
                "text_cosine": None if similarity_CC is None else float(similarity_CC[i, j]),
            }
        )
    return sorted(entries, key=lambda entry: -entry["rate"]["low"])[:_WORST]


def by_coarse_class(
    scored: ScoredTask, coarse_of: Sequence[str | None], names: Sequence[str]
) -> list[dict[str, Any]]:
    """How the ECGs of each coarse class fare, and into which coarse class their first guess falls.

    An ECG counts for every coarse class that one of its findings belongs to.

    Args:
        scored: a task whose classes are findings.
        coarse_of: the coarse class of each of the task's classes; None for those without one.
        names: the coarse classes.
    """
    first_guess = scored.scores.argmax(axis=1) if len(scored.scores) else np.empty(0, np.int64)
    right = scored.truth[np.arange(len(first_guess)), first_guess]
    better = _ranks_of_best_truth(scored)
    entries = []
    for name in names:
        own = np.array([coarse == name for coarse in coarse_of])
        shown = scored.truth[:, own].any(axis=1)
        n = int(shown.sum())
        if n == 0:
            continue
        guesses = [coarse_of[guess] or _NONE for guess in first_guess[shown]]
        hits = int(right[shown].sum())
        low, high = wilson_interval(hits, n)
        entries.append(
            {
                "class": name,
                "n": n,
                "any_hit": {"value": hits / n, "low": low, "high": high},
                "median_rank": float(np.median(better[shown])),
                "first_guess": {
                    guess: guesses.count(guess) for guess in (*names, _NONE) if guess in guesses
                },
            }
        )
    return entries


def _ranks_of_best_truth(scored: ScoredTask) -> npt.NDArray[np.int64]:
    """The rank of the best-scored finding that each ECG shows, 1 the first; ties count against."""
    best = np.where(scored.truth, scored.scores, -np.inf).max(axis=1, initial=-np.inf)
    ahead = (scored.scores >= best[:, None]) & ~scored.truth
    ranks: npt.NDArray[np.int64] = ahead.sum(axis=1) + 1
    return ranks
