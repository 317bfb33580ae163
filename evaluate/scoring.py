"""The metrics of one task, from scores and truth.

Owns which metrics a task has, and their records and classes. Every metric is computed with record
weights, so the value (all weights 1) and its bootstrap draws are one computation, a few draws at a
time while their weights are in the processor's cache. N = records, C = classes, D = draws.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

import numpy as np
import numpy.typing as npt

from ecgpipe.evaluate.metrics.bootstrap import (
    PatientDraws,
    percentile_interval,
    share_interval,
)
from ecgpipe.evaluate.metrics.metrics import RankedClass, ranks, wilson_interval
from ecgpipe.evaluate.results import ClassMetrics, Metric, Summary
from ecgpipe.evaluate.tasks.answers import Answers

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
DrawsByName = dict[str, Floats]

T = TypeVar("T")
"""By name of a metric (1 + D,): the metric itself, then its draws."""

FromMembers = Literal["max", "mean", "logsumexp"]

START_TEMPERATURE = 0.07  # of the cosine, at the start of training
_WEIGHTS_AT_ONCE = 640_000  # records x draws: 2.5 MB, which fits a processor's cache
_WORTH_THREADS = 30_000_000  # records x classes x draws; below, starting threads costs more
_EXACT_RECORDS = 1 << 21  # weights of as many records sum exactly in float32, halves included


@dataclass(frozen=True)
class TaskDraws:
    """Every metric of a task for each draw; row 0 is the metric itself."""

    n_per_class: npt.NDArray[np.int64]
    """(C,) records that show each class."""

    by_class: DrawsByName
    """By name (1 + D, C): hit@k, the share of a class's records in which it is among the k best,
    only where every answer is known, since an unknown class may be the true one; auroc; auprc,
    average precision; f1, NaN for classes without a threshold."""

    summary: DrawsByName
    """By name (1 + D,)."""

    thresholds_C: npt.NDArray[np.float32]
    """The score from which a class is predicted; NaN for none."""

    class_n_effective: dict[str, Floats]
    """By name of a class's metric: (C,) the independent patients behind it, at least."""

    summary_n_effective: dict[str, float]
    """The same for each summary metric."""

    def summary_metrics(self) -> Summary:
        """Each summary with its interval, ready for JSON."""
        return {
            name: share_metric(values, self.summary_n_effective[name])
            for name, values in self.summary.items()
        }


def bootstrap_metrics(
    scores_NC: npt.NDArray[np.float32],
    truth_NC: Booleans,
    draws: PatientDraws,
    min_positives: int,
    thresholds_C: npt.NDArray[np.float32] | None = None,
    known_NC: Booleans | None = None,
) -> TaskDraws:
    """All metrics of a task.

    Args:
        scores_NC: similarity of each record to each class.
        truth_NC: which classes each record shows; at least one for every record, if all is known.
        draws: bootstrap draws of the records.
        min_positives: macro metrics are over classes with at least this many records; those over
            all classes with any have names that end in `_all`.
        thresholds_C: the score from which a class is predicted, chosen on other records; NaN for
            none. Without them there is no macro F1.
        known_NC: where the truth is known. A class's metrics are over the records of which it is;
            the means are over classes that at least `min_positives` records show and as many do
            not. None: everywhere.
    """
    with_f1 = thresholds_C is not None
    if thresholds_C is None:
        thresholds_C = np.full(scores_NC.shape[1], np.nan, np.float32)
    layout = _Layout.of(scores_NC, Answers(truth_NC, known_NC), thresholds_C)
    pieces = list(_pieces(layout, draws))
    return _joined(pieces, layout, draws, min_positives, with_f1=with_f1)


def scores_from_members(
    scores_NM: npt.NDArray[np.float32], class_of_M: npt.NDArray[np.int64], how: FromMembers
) -> npt.NDArray[np.float32]:
    """Scores (N, C) of classes out of those of their members' prompts (N, M).

    Args:
        scores_NM: similarity of each record to each member.
        class_of_M: the class of each member, ascending; every class has one.
        how: the members' maximum, their mean, or in between their log-sum-exp at the temperature
            that training starts from.
    """
    starts_C = np.searchsorted(class_of_M, np.arange(class_of_M.max() + 1))
    if how == "max":
        scores_NC = np.maximum.reduceat(scores_NM, starts_C, axis=1)
    elif how == "mean":
        scores_NC = np.add.reduceat(scores_NM, starts_C, axis=1) / np.bincount(class_of_M)
    else:
        sharp_NM = scores_NM / START_TEMPERATURE
        scores_NC = START_TEMPERATURE * np.logaddexp.reduceat(sharp_NM, starts_C, axis=1)
    return scores_NC.astype(np.float32)


def percentile_metric(draws: Floats) -> Metric:
    """A value with the percentile interval of its draws, for JSON; None where it does not exist."""
    low, high = percentile_interval(draws[1:])
    return {"value": _number(draws[0]), "low": _number(low), "high": _number(high)}


def share_metric(draws: Floats, n_effective: float) -> Metric:
    """A value with the interval of a share (`share_interval`), for JSON; None where none exists."""
    low, high = share_interval(float(draws[0]), draws[1:], n_effective)
    return {"value": _number(draws[0]), "low": _number(low), "high": _number(high)}


def wilson_metric(share: float, n: int) -> Metric:
    """A share of n records with its Wilson interval, for JSON."""
    low, high = wilson_interval(share, n)
    return {"value": share, "low": low, "high": high}


def class_metrics(draws: TaskDraws, number: int) -> ClassMetrics:
    """The metrics of one class, for JSON: n, hit@k with Wilson intervals, AUROC, AUPRC, F1."""
    n = int(draws.n_per_class[number])
    entry: dict[str, Any] = {"n": n}
    for name, values in draws.by_class.items():
        if n == 0 or (name == "f1" and np.isnan(values[0, number])):
            entry[name] = None
        elif name.startswith("hit"):
            entry[name] = wilson_metric(float(values[0, number]), n)
        else:
            n_effective = float(draws.class_n_effective[name][number])
            entry[name] = share_metric(values[:, number], n_effective)
    return cast(ClassMetrics, entry)


def pooled(summaries: Sequence[DrawsByName]) -> Summary:
    """Summaries of several models of one kind: the mean, and the interval of all their draws."""
    together = {}
    for name in summaries[0]:
        values = np.array([summary[name][0] for summary in summaries])
        draws = np.concatenate([summary[name][1:] for summary in summaries])
        together[name] = percentile_metric(np.concatenate([[values.mean()], draws]))
    return together


def pooled_over(
    each: Iterable[T], n: int, draws: PatientDraws, values: Callable[[T, PatientDraws], DrawsByName]
) -> Summary:
    """The summary of several models, or of one that is exchanged in several ways; {} if of none.

    Each draw is of a model and of patients, so the interval covers both kinds of chance at the
    price of one model.

    Args:
        each: the models, or what stands for them.
        n: how many.
        draws: divided among them.
        values: of one of them, by name: of all ECGs and then of each of its draws.
    """
    parts = (draws.part(number, n) for number in range(n))
    found = [values(one, part) for one, part in zip(each, parts, strict=True)]
    return pooled(found) if found else {}


@dataclass(frozen=True)
class _Layout:
    """The records arranged for sums of weights."""

    answers: Answers
    thresholds_C: npt.NDArray[np.float32]
    ks: tuple[int, ...]
    counted: Any
    """Sparse (rows, N), summed by `_counts`. Rows: one for all records; the classes' positives;
    for each k any-hits and the classes' hits; each class's predicted; its true positives."""

    classes: dict[int, RankedClass]
    """By number, those that some record shows."""

    @staticmethod
    def of(
        scores_NC: npt.NDArray[np.float32],
        answers: Answers,
        thresholds_C: npt.NDArray[np.float32],
    ) -> "_Layout":
        from scipy.sparse import csr_array, vstack

        truth_NC, known_NC = answers.shown_NC, answers.known_NC
        n_records, n_classes = scores_NC.shape
        dtype = np.float32 if n_records < _EXACT_RECORDS else np.float64
        ks: tuple[int, ...] = (1, 5) if n_classes > 5 else (1,)
        predicted_NC = scores_NC >= thresholds_C  # nothing is at least NaN
        if known_NC is not None:
            ks, predicted_NC = (), predicted_NC & known_NC
        blocks: list[Any] = [np.ones((n_records, 1), np.bool_), truth_NC]
        rank_NC = ranks(scores_NC) if ks else scores_NC
        for k in ks:
            hit_NC = (rank_NC <= k) & truth_NC
            blocks += [hit_NC.any(axis=1, keepdims=True), hit_NC]
        blocks += [predicted_NC, predicted_NC & truth_NC]
        counted = vstack([csr_array(block.T, dtype=dtype) for block in blocks], format="csr")
        classes = {
            int(number): RankedClass.of(
                scores_NC[:, number],
                truth_NC[:, number],
                dtype,
                None if known_NC is None else known_NC[:, number],
            )
            for number in np.flatnonzero(truth_NC.any(axis=0))
        }
        return _Layout(answers, thresholds_C, ks, counted, classes)


def _pieces(layout: _Layout, draws: PatientDraws) -> Iterator[DrawsByName]:
    """The metrics, then their draws, a few at a time on all processors."""
    n_records, n_classes = layout.answers.shown_NC.shape
    yield _piece(layout, np.ones((n_records, 1), layout.counted.dtype))
    at_once = max(16, _WEIGHTS_AT_ONCE // max(n_records, 1))
    starts = range(0, len(draws), at_once)

    def work(start: int) -> DrawsByName:
        after = min(start + at_once, len(draws))
        return _piece(layout, draws.weights(start, after))

    if n_records * n_classes * len(draws) < _WORTH_THREADS:
        yield from map(work, starts)
    else:
        with ThreadPoolExecutor(n_threads()) as threads:
            yield from threads.map(work, starts)


def n_threads() -> int:
    """The processors this process may use; at most OMP_NUM_THREADS if that is set."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    stated = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(allowed or 1, int(stated) if stated.isdecimal() else 1 << 30))


def _piece(layout: _Layout, weights_ND: npt.NDArray[Any]) -> DrawsByName:
    """All metrics of a few draws, (draws, C) by class and (draws,) over all.

    hit@k_any: records with any of their classes among the k best. hit@k_micro: pairs.
    """
    n_draws, n_classes = weights_ND.shape[1], layout.answers.shown_NC.shape[1]
    heights = [1, n_classes, *([1, n_classes] * len(layout.ks)), n_classes, n_classes]
    sums_DR = (layout.counted @ weights_ND).T.astype(np.float64)
    rows = iter(np.split(sums_DR, np.cumsum(heights)[:-1], axis=1))
    everybody, shown = next(rows)[:, 0], next(rows)
    found: DrawsByName = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        for k in layout.ks:
            any_hit, class_hits = next(rows)[:, 0], next(rows)
            found[f"hit@{k}"] = class_hits / shown
            found[f"hit@{k}_any"] = any_hit / everybody
            found[f"hit@{k}_micro"] = class_hits.sum(axis=1) / shown.sum(axis=1)
        predicted, both = next(rows), next(rows)
        f1 = np.where(shown > 0, 2 * both / (predicted + shown), np.nan)
    for name in ("auroc", "auprc"):
        found[name] = np.full((n_draws, n_classes), np.nan)
    for number, ranked in layout.classes.items():
        found["auroc"][:, number], found["auprc"][:, number] = ranked.areas(weights_ND)
    f1[:, np.isnan(layout.thresholds_C)] = np.nan
    return found | {"f1": f1}


def _joined(
    pieces: Sequence[DrawsByName],
    layout: _Layout,
    draws: PatientDraws,
    min_positives: int,
    *,
    with_f1: bool,
) -> TaskDraws:
    """The draws of all pieces, with the means over classes."""
    n_per_class = layout.answers.shown_NC.sum(axis=0)
    together = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    by_class = {name: values for name, values in together.items() if values.ndim == 2}
    summary = {name: values for name, values in together.items() if values.ndim == 1}
    class_n_effective, n_patients = _n_effective(layout.answers, draws, by_class)
    summary_n_effective = dict.fromkeys(summary, n_patients)
    for suffix, least in (("", min_positives), ("_all", 1)):
        for name, metrics in by_class.items():
            if name == "f1" and not with_f1:
                continue
            chosen = layout.answers.enough(least)
            if name == "f1":
                chosen &= ~np.isnan(layout.thresholds_C)
            full = (f"{name}_macro" if name.startswith("hit") else f"macro_{name}") + suffix
            summary[full] = mean_over(metrics, chosen)
            summary_n_effective[full] = n_effective_of_mean(
                class_n_effective[name][chosen], n_patients
            )
    return TaskDraws(
        n_per_class=n_per_class,
        by_class=by_class,
        summary=summary,
        thresholds_C=layout.thresholds_C,
        class_n_effective=class_n_effective,
        summary_n_effective=summary_n_effective,
    )


def _n_effective(
    answers: Answers, draws: PatientDraws, names: Iterable[str]
) -> tuple[dict[str, Floats], float]:
    """The patients behind each class's metrics, at least; and all patients.

    An AUROC compares two groups, and is no more certain than the smaller one.
    """
    showing = draws.n_patients(answers.shown_NC).astype(np.float64)
    others = draws.n_patients(answers.absent_NC).astype(np.float64)
    everybody = float(draws.n_patients(np.ones((len(answers.shown_NC), 1), np.bool_))[0])
    smaller = np.minimum(showing, others)
    return {name: smaller if name == "auroc" else showing for name in names}, everybody


def n_effective_of_mean(n_effective_C: Floats, most: float) -> float:
    """C²/Σ(1/n): a mean over C classes with equal shares is as certain as a share of that many
    patients; at most `most`, since a patient may count in several classes.
    """
    known = n_effective_C[n_effective_C > 0]
    return min(most, len(known) ** 2 / float(np.sum(1 / known))) if len(known) else 0.0


def mean_over(metrics: Floats, chosen: npt.NDArray[np.bool_]) -> Floats:
    """The mean over the chosen classes that occur in a draw; NaN if none does."""
    if not chosen.any():
        return np.full(len(metrics), np.nan)
    values = metrics[:, chosen]
    known = ~np.isnan(values)
    values[~known] = 0
    # np.nanmean warns of a draw without any, and silencing warnings would affect all threads.
    with np.errstate(invalid="ignore"):
        means: Floats = values.sum(axis=1) / known.sum(axis=1)
    return means


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
