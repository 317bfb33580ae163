"""Results -> charts: ROC, precision-recall, confusion, reliability, training.

Owns the data of a chart and which curves are named; those of an analysis are the analysis's, and
how a chart looks is `ecgpipe.drawing`'s.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from ecgpipe.drawing.plot import Axis, CountGrid, Label, Plot, Series
from ecgpipe.evaluate.analyses.registry import ANALYSES
from ecgpipe.evaluate.results import Calibration, Confusion, Results, TaskResults
from ecgpipe.evaluate.table import area
from ecgpipe.evaluate.words import Words, class_names, metric_words, word

_QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)
_QUARTER_TEXTS = ("0", ".25", ".5", ".75", "1")
_NAMED_CURVES = 6
MOST_CONFUSED = 16


def all_charts(results: Results) -> Iterator[Plot | CountGrid]:
    """Every chart of the report, in its order."""
    for name, task in results["tasks"].items():
        yield from task_charts(name, task)
    for name in results["analyses"]:
        yield from analysis_charts(results, name)
    if training := training_chart(results):
        yield training


def analysis_charts(results: Results, name: str) -> list[Plot]:
    """The charts of one analysis."""
    return list(ANALYSES[name].charts(results["analyses"][name], results["tasks"]))


def task_charts(name: str, task: TaskResults) -> list[Plot | CountGrid]:
    """The charts of one task."""
    found: list[Plot | CountGrid] = []
    if task["curves"]:
        found += [curve_chart(name, task, "roc"), curve_chart(name, task, "pr")]
    if task["confusion"]:
        found.append(confusion_chart(name, task["confusion"], task))
    if task["calibration"]:
        found.append(reliability_chart(name, task["calibration"], task))
    return found


def curve_chart(name: str, task: TaskResults, which: Literal["roc", "pr"]) -> Plot:
    """ROC or precision-recall curves: the commonest classes are named, the others grey."""
    x, y = ("fpr", "tpr") if which == "roc" else ("recall", "precision")
    ids = sorted(task["curves"], key=lambda c: -task["classes"][c]["n"])
    named = ids[:_NAMED_CURVES]
    series = []
    for class_id in reversed(ids):
        curve = task["curves"][class_id][which]
        entry = task["classes"][class_id]
        metric = area(entry["auroc" if which == "roc" else "auprc"], interval=False)
        words = {
            language: f"{text} {metric}" for language, text in class_names(task, class_id).items()
        }
        mark = named.index(class_id) if class_id in named else 0
        points = np.column_stack([curve[x], curve[y]]).astype(np.float64)
        main = class_id in named
        series.append(Series(words, points, mark, faint=not main, named=main))
    series.sort(key=lambda one: (not one.faint, one.mark))
    return Plot(
        f"{name}-{which}",
        _titled(task, word("sections", which)),
        word("text", f"{which}_about"),
        _unit_axis(word("text", x)),
        _unit_axis(word("text", y)),
        tuple(series),
        diagonal=which == "roc",
    )


def confusion_chart(name: str, confusion: Confusion, task: TaskResults) -> CountGrid:
    """All classes of the confusion matrix that any ECG shows or is taken for."""
    ids, counts = confusion_part(confusion, most=len(confusion["classes"]))
    return CountGrid(
        f"{name}-confusion",
        _titled(task, word("sections", "confusion")),
        word("text", "confusion_about", n=f"{confusion['n']:,}"),
        word("columns", "truth"),
        word("columns", "predicted"),
        tuple(class_names(task, class_id) for class_id in ids),
        counts,
    )


def confusion_part(
    confusion: Confusion, most: int = MOST_CONFUSED
) -> tuple[list[str], npt.NDArray[np.int64]]:
    """The classes that occur in the matrix, at most `most`, the commonest, and their counts."""
    ids = confusion["classes"]
    counts = np.array(confusion["counts"], np.int64).reshape(len(ids), len(ids))
    weight = counts.sum(axis=1) * len(ids) * 10 + counts.sum(axis=0)
    kept = [i for i in np.argsort(-weight, kind="stable") if weight[i]][:most]
    kept = sorted(kept) if len(ids) <= most else kept
    return [ids[i] for i in kept], counts[np.ix_(kept, kept)]


def reliability_chart(name: str, calibration: Calibration, task: TaskResults) -> Plot:
    """Confidence against the share that was right; bars show the bins' sizes."""
    bins = [b for b in calibration["bins"] if b["n"]]
    total = sum(b["n"] for b in bins) or 1
    points = np.array([(b["confidence"], b["share"]) for b in bins], np.float64).reshape(-1, 2)
    bars = np.array([(b["low"], b["high"], b["n"] / total) for b in bins], np.float64)
    return Plot(
        f"{name}-reliability",
        _titled(task, word("sections", "reliability")),
        word("text", "reliability_about"),
        _unit_axis(word("text", "confidence")),
        _unit_axis(word("text", "share_right")),
        (Series(word("columns", "model"), points, 0, dots=True),),
        diagonal=True,
        bars=bars.reshape(-1, 3),
    )


def training_chart(results: Results) -> Plot | None:
    """The loss and the metric that chose the epoch, each scaled to 0..1; None without a log."""
    log = results["training_log"]
    if not log:
        return None
    by = results["training"]["best_by"]
    epochs = np.array([line["epoch"] for line in log], np.float64)
    curves = [
        (word("columns", "loss"), np.array([line["loss"] for line in log], np.float64)),
        (
            metric_words("multi_label", by),
            np.array([_number(line["val"].get(by)) for line in log], np.float64),
        ),
    ]
    series = []
    for mark, (words, values) in enumerate(curves):
        known = np.isfinite(values)
        if not known.any():
            continue
        low, high = values[known].min(), values[known].max()
        scaled = (values[known] - low) / (high - low) if high > low else 0.5 * known[known]
        named = {
            language: f"{text}（{low:.3g}–{high:.3g}）" if language == "ja" else
            f"{text} ({low:.3g} to {high:.3g})" for language, text in words.items()
        }  # fmt: skip
        points = np.column_stack([epochs[known], scaled]).astype(np.float64)
        series.append(Series(named, points, mark, dots=bool(known.sum() <= 40)))
    last = float(epochs.max())
    ticks = _round_ticks(float(epochs.min()), last)
    best = results["training"]["best_epoch"]
    labels: tuple[Label, ...] = ()
    if series:
        place = series[-1].points
        at = place[np.abs(place[:, 0] - best).argmin()]
        labels = (Label(float(at[0]), float(at[1]), word("text", "best_epoch")),)
    least_most = {"ja": "最小から最大", "en": "least to greatest"}
    return Plot(
        "training",
        word("sections", "training"),
        word("text", "training_about", best=best),
        Axis(word("columns", "epoch"), float(epochs.min()) - 0.5, last + 0.5, ticks,
             tuple(f"{tick:g}" for tick in ticks)),
        Axis(least_most, -0.05, 1.08, (0.0, 1.0), ("", "")),
        tuple(series),
        labels,
        aspect=0.5,
    )  # fmt: skip


def _titled(task: TaskResults, words: Words) -> Words:
    return {
        "ja": f"{task['title']['ja']}：{words['ja']}",
        "en": f"{task['title']['en']}: {words['en']}",
    }


def _unit_axis(label: Words) -> Axis:
    return Axis(label, 0.0, 1.0, _QUARTERS, _QUARTER_TEXTS)


def _round_ticks(low: float, high: float) -> tuple[float, ...]:
    """About five whole numbers between two."""
    step = next(
        (s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if (high - low) / s <= 6), 5000
    )
    first = -(-int(low) // step) * step
    return tuple(float(t) for t in range(max(first, 1), int(high) + 1, step))


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)
