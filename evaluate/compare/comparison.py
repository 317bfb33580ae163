"""Runs side by side: differences between metrics of the same ECGs, with intervals and p-values.

Owns the statistics of a comparison. All runs use the same draws of patients, so the chance that
they share cancels in their difference. N = records, C = classes, D = draws.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NotRequired

import numpy as np
import numpy.typing as npt

from ecgpipe.errors import ComparisonError
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.results import Metric
from ecgpipe.evaluate.scoring import TaskDraws, bootstrap_metrics, percentile_metric, share_metric
from ecgpipe.evaluate.tasks.answers import Answers

Floats = npt.NDArray[np.float64]

HEADLINE = "macro_auroc"
"""The metric whose p-values are adjusted over tasks."""


class Difference(Metric):
    """A difference of two metrics, and the chance of one as great by luck."""

    p: float | None
    p_holm: NotRequired[float]
    """Adjusted over several differences."""


@dataclass(frozen=True)
class KeptScores:
    """One run's scores of one task, for the ECGs that the task scores."""

    class_ids: tuple[str, ...]
    record_ids: tuple[str, ...]
    patients: npt.NDArray[np.int64]
    scores_NC: npt.NDArray[np.float32]
    truth_NC: npt.NDArray[np.bool_]
    known_NC: npt.NDArray[np.bool_] | None = None
    """Where the truth is known; None: everywhere."""

    @property
    def answers(self) -> Answers:
        """Which ECG shows which class, and where that is known."""
        return Answers(self.truth_NC, self.known_NC)


@dataclass(frozen=True)
class Contender:
    """One column of a comparison: a run, or several runs that differ by their seed."""

    name: str
    runs: Mapping[str, KeptScores]
    """By name of the run."""


def compare_task(
    contenders: Sequence[Contender], min_positives: int, draws: int, seed: int
) -> dict[str, Any]:
    """One task of one or several contenders, each against the first.

    A contender of several runs has the mean of its runs' metrics; `between_runs` is their standard
    deviation, which is not in the interval, since that is about patients.

    Args:
        contenders: at least one.
        min_positives: the ECGs that a class needs for macro metrics and for a p-value.
        draws: resamplings of patients.
        seed: of the draws.

    Returns:
        `n`, `patients`, `summary` and `classes`, ready for JSON. A difference is against the first
        contender, with its 95 % interval, `p` (two-sided, normal with the draws' standard error)
        and for classes `p_holm`, adjusted over the classes of the task (Holm 1979).

    Raises:
        ComparisonError: the runs were scored on different ECGs, or with different classes.
    """
    aligned = _aligned(contenders)
    first = next(iter(aligned[0].runs.values()))
    drawn = PatientDraws.of([str(p) for p in first.patients], draws, seed)
    by_run = [
        [
            bootstrap_metrics(
                run.scores_NC, run.truth_NC, drawn, min_positives, known_NC=run.known_NC
            )
            for run in contender.runs.values()
        ]
        for contender in aligned
    ]
    means = [_mean_draws(runs) for runs in by_run]
    n_per_class, n_known = means[0].n_per_class, first.answers.n_known_C
    enough_C = first.answers.enough(min_positives)
    classes: dict[str, Any] = {}
    for number, class_id in enumerate(first.class_ids):
        if n_per_class[number] == 0:
            continue
        entry: dict[str, Any] = {"n": int(n_per_class[number])}
        if first.known_NC is not None:
            entry["n_known"] = int(n_known[number])
        for name in means[0].by_class:
            if name.startswith("hit") or name == "auroc":
                n_effective = float(means[0].class_n_effective[name][number])
                columns = [each.by_class[name][:, number] for each in means]
                entry[name] = _beside(columns, n_effective)
        classes[class_id] = entry
    _adjust_over_classes(classes, {first.class_ids[number] for number in np.flatnonzero(enough_C)})
    return {
        "n": len(first.record_ids),
        "patients": len(np.unique(first.patients)),
        "classes": classes,
        "summary": {
            name: {
                **_beside(
                    [each.summary[name] for each in means], means[0].summary_n_effective[name]
                ),
                "between_runs": [
                    _spread([run.summary[name][0] for run in runs]) for runs in by_run
                ],
            }
            for name in means[0].summary
            if not name.startswith("macro_f1")  # needs thresholds, which are not kept
        },
    }


def adjust_over_tasks(tasks: Mapping[str, dict[str, Any]]) -> None:
    """Add `p_holm` to the headline's differences, adjusted over all tasks and contenders."""
    entries = [
        difference
        for task in tasks.values()
        for difference in task["summary"].get(HEADLINE, {}).get("differences", [])
        if difference["p"] is not None
    ]
    for entry, p in zip(entries, holm([entry["p"] for entry in entries]), strict=True):
        entry["p_holm"] = p


def holm(ps: Sequence[float]) -> list[float]:
    """P-values adjusted so that the chance of any false positive does not grow with their number.

    Source: Holm 1979, A simple sequentially rejective multiple test procedure.
    """
    order = np.argsort(ps, kind="stable")
    steps = np.asarray(ps, np.float64)[order] * np.arange(len(ps), 0, -1)
    adjusted = np.empty(len(ps))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(ps) else steps
    return [float(p) for p in adjusted]


def difference(values: Floats, reference: Floats) -> Difference:
    """values − reference of paired draws (row 0 the metrics themselves), ready for JSON.

    `p` is None where the metric does not exist or never varies.
    """
    paired = values - reference
    entry = percentile_metric(paired)
    drawn = paired[1:][np.isfinite(paired[1:])]
    error = float(np.std(drawn, ddof=1)) if len(drawn) > 1 else 0.0
    if not np.isfinite(paired[0]):
        p = None
    elif error > 0:
        p = math.erfc(abs(float(paired[0])) / error / math.sqrt(2))
    else:
        p = 1.0 if paired[0] == 0 else None
    return {"value": entry["value"], "low": entry["low"], "high": entry["high"], "p": p}


def _aligned(contenders: Sequence[Contender]) -> list[Contender]:
    """The same contenders with every run's records in the first run's order."""
    reference_name, reference = next(iter(contenders[0].runs.items()))
    return [
        replace(
            contender,
            runs={
                name: _in_order_of(reference, run, reference_name, name)
                for name, run in contender.runs.items()
            },
        )
        for contender in contenders
    ]


def _in_order_of(
    reference: KeptScores, run: KeptScores, reference_name: str, name: str
) -> KeptScores:
    if set(run.class_ids) != set(reference.class_ids):
        other = sorted(set(run.class_ids) ^ set(reference.class_ids))
        raise ComparisonError(
            f"{reference_name} and {name} were scored with different classes ({len(other)} are in"
            f" only one of them: {', '.join(other[:5])}{', …' if len(other) > 5 else ''}), so their"
            " ranks are not comparable. Evaluate both with the same taxonomy and eval.candidates."
        )
    if set(run.record_ids) != set(reference.record_ids):
        common = len(set(run.record_ids) & set(reference.record_ids))
        raise ComparisonError(
            f"{reference_name} was scored on {len(reference.record_ids):,} ECGs, {name} on"
            f" {len(run.record_ids):,}; {common:,} are in both. Evaluate both on the same split of"
            " the same records."
        )
    place = {record: row for row, record in enumerate(run.record_ids)}
    rows = [place[record] for record in reference.record_ids]
    columns = [run.class_ids.index(class_id) for class_id in reference.class_ids]
    at = np.ix_(rows, columns)
    truth, known = run.truth_NC[at], None if run.known_NC is None else run.known_NC[at]
    if not (
        np.array_equal(truth, reference.truth_NC)
        and np.array_equal(Answers(truth, known).absent_NC, reference.answers.absent_NC)
    ):
        raise ComparisonError(
            f"{reference_name} and {name} were scored on the same ECGs with different findings."
            " Evaluate both again on the current table."
        )
    return replace(reference, scores_NC=run.scores_NC[at], truth_NC=truth, known_NC=known)


def _mean_draws(runs: Sequence[TaskDraws]) -> TaskDraws:
    """The mean over runs, draw by draw."""
    first = runs[0]
    by_class, summary = (
        {name: np.mean([getattr(run, side)[name] for run in runs], axis=0) for name in names}
        for side, names in (("by_class", first.by_class), ("summary", first.summary))
    )
    return replace(first, by_class=by_class, summary=summary)


def _beside(columns: Sequence[Floats], n_effective: float) -> dict[str, Any]:
    """Each column's metric with its interval, and its difference from the first."""
    return {
        "values": [share_metric(column, n_effective) for column in columns],
        "differences": [difference(column, columns[0]) for column in columns[1:]],
    }


def _spread(values: Sequence[float]) -> float | None:
    """The standard deviation between runs; None for one run."""
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    return float(np.std(values, ddof=1))


def _adjust_over_classes(classes: Mapping[str, dict[str, Any]], with_enough: set[str]) -> None:
    """Add `p_holm` to every difference of a class, adjusted over the classes with enough ECGs.

    With fewer ECGs the draws vary too little: such a class has no p-value.
    """
    for class_id, entry in classes.items():
        if class_id not in with_enough:
            for metrics in (each for each in entry.values() if isinstance(each, dict)):
                for change in metrics["differences"]:
                    change["p"] = None
    enough = [entry for class_id, entry in classes.items() if class_id in with_enough]
    if not enough:
        return
    names = [name for name in enough[0] if isinstance(enough[0][name], dict)]
    for name in names:
        for number in range(len(enough[0][name]["differences"])):
            found = [entry[name]["differences"][number] for entry in enough]
            known = [each for each in found if each["p"] is not None]
            for each, p in zip(known, holm([each["p"] for each in known]), strict=True):
                each["p_holm"] = p
