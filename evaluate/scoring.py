"""The figures of one task, from scores and truth.

Owns which figures a task has and over which records and classes they run. Every summary is computed
with record weights, so that the value (all weights 1) and its bootstrap draws are one computation.
N = records, C = classes, D = draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ecgpipe.evaluate.bootstrap import percentile_interval
from ecgpipe.evaluate.metrics import ranks, weighted_auroc, wilson_interval
from ecgpipe.evaluate.tasks import Kind

Floats = npt.NDArray[np.float64]
Summary = dict[str, Floats]
FromMembers = Literal["max", "mean", "logsumexp"]

_TEMPERATURE = 0.07


@dataclass(frozen=True)
class TaskDraws:
    """Every figure of a task for each draw; row 0 is the figure itself."""

    n_per_class: npt.NDArray[np.int64]
    """(C,) records that show each class."""

    hits: dict[int, Floats]
    """By k: (1 + D, C), the share of a class's records in which it is among the k best."""

    auroc: Floats
    """(1 + D, C)."""

    summary: Summary
    """By name: (1 + D,)."""


def scored_records(kind: Kind, truth_NC: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which records a task scores: with some class, or with exactly one (single_label)."""
    n_shown = truth_NC.sum(axis=1)
    scored: npt.NDArray[np.bool_] = n_shown == 1 if kind == "single_label" else n_shown >= 1
    return scored


def draw_figures(
    scores_NC: npt.NDArray[np.float32],
    truth_NC: npt.NDArray[np.bool_],
    weights_DN: Floats,
    min_positives: int,
) -> TaskDraws:
    """All figures of a task.

    Args:
        scores_NC: similarity of each record to each class.
        truth_NC: which classes each record shows; at least one for every record.
        weights_DN: bootstrap weights; none (0 rows) gives the figures alone.
        min_positives: macro figures are over classes with at least so many records; beside them
            stand those over all classes with any, under names that end in `_all`.
    """
    weights = np.concatenate([np.ones((1, len(scores_NC))), weights_DN])
    rank_NC = ranks(scores_NC)
    ks = (1, 5) if scores_NC.shape[1] > 5 else (1,)
    hits = {k: _class_hits(rank_NC <= k, truth_NC, weights) for k in ks}
    area = _class_auroc(scores_NC, truth_NC, weights)
    n_per_class = truth_NC.sum(axis=0)
    summary: Summary = {}
    for k in ks:
        summary |= _pooled_hits(k, (rank_NC <= k) & truth_NC, truth_NC, weights)
    for suffix, least in (("", min_positives), ("_all", 1)):
        chosen = n_per_class >= least
        for k in ks:
            summary[f"hit@{k}_macro{suffix}"] = _mean_over(hits[k], chosen)
        summary[f"macro_auroc{suffix}"] = _mean_over(area, chosen)
    return TaskDraws(n_per_class, hits, area, summary)


def scores_from_members(
    scores_NM: npt.NDArray[np.float32], class_of_M: npt.NDArray[np.int64], how: FromMembers
) -> npt.NDArray[np.float32]:
    """Scores (N, C) of classes out of those of their members' prompts (N, M).

    Args:
        scores_NM: similarity of each record to each member.
        class_of_M: the class of each member, ascending; every class has one.
        how: the members' greatest, their mean, or between both the log of the summed exponentials
            at the temperature that training starts from.
    """
    starts_C = np.searchsorted(class_of_M, np.arange(class_of_M.max() + 1))
    if how == "max":
        scores_NC = np.maximum.reduceat(scores_NM, starts_C, axis=1)
    elif how == "mean":
        scores_NC = np.add.reduceat(scores_NM, starts_C, axis=1) / np.bincount(class_of_M)
    else:
        sharp_NM = scores_NM / _TEMPERATURE
        scores_NC = _TEMPERATURE * np.logaddexp.reduceat(sharp_NM, starts_C, axis=1)
    return scores_NC.astype(np.float32)


def figure(draws: Floats) -> dict[str, float | None]:
    """A value with the interval of its draws, ready for JSON; None where it does not exist."""
    low, high = percentile_interval(draws[1:])
    return {"value": _number(draws[0]), "low": _number(low), "high": _number(high)}


def class_figures(draws: TaskDraws, number: int) -> dict[str, Any]:
    """The figures of one class, ready for JSON: n, hit@k with Wilson intervals, AUROC."""
    n = int(draws.n_per_class[number])
    entry: dict[str, Any] = {"n": n}
    for k, hits in draws.hits.items():
        value = _number(hits[0, number])
        low, high = wilson_interval(0 if value is None else value * n, n)
        entry[f"hit@{k}"] = {"value": value, "low": low, "high": high} if n else None
    entry["auroc"] = figure(draws.auroc[:, number]) if n else None
    return entry


def pooled(summaries: Sequence[Summary]) -> dict[str, dict[str, float | None]]:
    """Summaries of several models of one kind: the mean, and the interval of all their draws."""
    together = {}
    for name in summaries[0]:
        values = np.array([summary[name][0] for summary in summaries])
        draws = np.concatenate([summary[name][1:] for summary in summaries])
        together[name] = figure(np.concatenate([[values.mean()], draws]))
    return together


def _class_hits(
    hit_NC: npt.NDArray[np.bool_], truth_NC: npt.NDArray[np.bool_], weights: Floats
) -> Floats:
    with np.errstate(invalid="ignore"):
        shares: Floats = (weights @ (hit_NC & truth_NC)) / (weights @ truth_NC.astype(np.float64))
    return shares


def _class_auroc(
    scores_NC: npt.NDArray[np.float32], truth_NC: npt.NDArray[np.bool_], weights: Floats
) -> Floats:
    areas = np.empty((len(weights), scores_NC.shape[1]))
    for number, (scores, truth) in enumerate(zip(scores_NC.T, truth_NC.T, strict=True)):
        areas[:, number] = weighted_auroc(scores, truth, weights)
    return areas


def _pooled_hits(
    k: int, hit_NC: npt.NDArray[np.bool_], truth_NC: npt.NDArray[np.bool_], weights: Floats
) -> Summary:
    """hit@k_any: records with any of their classes among the k best. hit@k_micro: pairs."""
    with np.errstate(invalid="ignore"):
        return {
            f"hit@{k}_any": (weights @ hit_NC.any(axis=1)) / weights.sum(axis=1),
            f"hit@{k}_micro": (weights @ hit_NC.sum(axis=1)) / (weights @ truth_NC.sum(axis=1)),
        }


def _mean_over(figures: Floats, chosen: npt.NDArray[np.bool_]) -> Floats:
    """The mean over the chosen classes that exist in each draw; NaN where none does."""
    if not chosen.any():
        return np.full(len(figures), np.nan)
    values = figures[:, chosen]
    known = ~np.isnan(values)
    values[~known] = 0
    # np.nanmean warns of a draw without any such class, and warnings are silenced for all threads.
    with np.errstate(invalid="ignore"):
        means: Floats = values.sum(axis=1) / known.sum(axis=1)
    return means


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
