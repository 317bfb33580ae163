"""Results to charts: ROC, precision-recall, confusion, reliability, map, training.

Owns what is drawn and which curves have a name. How it looks on paper or on a page is
`ecgpipe.drawing`'s and `svg_chart`'s. Drawn from the results file alone.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ecgpipe.drawing.plot import MARKS, Axis, CountGrid, Label, Plot, Points, Series
from ecgpipe.evaluate.report.words import Words, class_names, metric_words, word
from ecgpipe.evaluate.results import Results, area

_QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)
_QUARTER_TEXTS = ("0", ".25", ".5", ".75", "1")
_NAMED_CURVES = 6
_MOST_LABELS = 24
MOST_CONFUSED = 16


def all_charts(results: Results) -> Iterator[Plot | CountGrid]:
    """Every chart of the report, in its order."""
    for name, task in results["tasks"].items():
        yield from task_charts(name, task)
    yield from (metric for metric in (map_chart(results), training_chart(results)) if metric)


def task_charts(name: str, task: Mapping[str, Any]) -> list[Plot | CountGrid]:
    """The charts of one task."""
    found: list[Plot | CountGrid] = []
    if any(curves["roc"]["fpr"] for curves in task.get("curves", {}).values()):
        found += [curve_chart(name, task, "roc"), curve_chart(name, task, "pr")]
    if task.get("confusion") and task["confusion"]["n"]:
        found.append(confusion_chart(name, task))
    if task.get("calibration"):
        found.append(reliability_chart(name, task))
    return found


def curve_chart(name: str, task: Mapping[str, Any], which: str) -> Plot:
    """ROC or precision-recall curves: the commonest classes by name, the others grey."""
    x, y = ("fpr", "tpr") if which == "roc" else ("recall", "precision")
    area_key = "auroc" if which == "roc" else "auprc"
    ids = sorted(task["curves"], key=lambda c: -task["classes"][c]["n"])
    named = ids[:_NAMED_CURVES]
    series = []
    for class_id in reversed(ids):
        curve = task["curves"][class_id][which]
        metric = area(task["classes"][class_id].get(area_key), interval=False)
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


def confusion_chart(name: str, task: Mapping[str, Any]) -> CountGrid:
    """All classes of the confusion matrix that any ECG shows or is taken for."""
    ids, counts = confusion_part(task, most=10**6)
    return CountGrid(
        f"{name}-confusion",
        _titled(task, word("sections", "confusion")),
        word("text", "confusion_about", n=f"{task['confusion']['n']:,}"),
        word("columns", "truth"),
        word("columns", "predicted"),
        tuple(class_names(task, class_id) for class_id in ids),
        counts,
    )


def confusion_part(
    task: Mapping[str, Any], most: int = MOST_CONFUSED
) -> tuple[list[str], np.ndarray[Any, np.dtype[np.int64]]]:
    """The classes that occur in the matrix, at most so many of the commonest, and their counts."""
    ids = task["confusion"]["classes"]
    counts = np.array(task["confusion"]["counts"], np.int64).reshape(len(ids), len(ids))
    weight = counts.sum(axis=1) * len(ids) * 10 + counts.sum(axis=0)
    kept = [i for i in np.argsort(-weight, kind="stable") if weight[i]][:most]
    kept = sorted(kept) if len(ids) <= most else kept
    return [ids[i] for i in kept], counts[np.ix_(kept, kept)]


def reliability_chart(name: str, task: Mapping[str, Any]) -> Plot:
    """Confidence against the share that was right, with the bins' sizes behind."""
    bins = [b for b in task["calibration"]["bins"] if b["n"]]
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


def map_chart(results: Results) -> Plot | None:
    """ECGs and texts on the first two components; None where there is no map."""
    block = results.get("map")
    if not block or not block["ecgs"]:
        return None
    task = _map_task(results)
    counts: dict[str | None, int] = {}
    for ecg in block["ecgs"]:
        counts[ecg["class"]] = counts.get(ecg["class"], 0) + 1
    named = sorted((c for c in counts if c is not None), key=lambda c: -counts[c])[: len(MARKS)]
    series = []
    for class_id in (None, *named):
        of_class = [
            ecg
            for ecg in block["ecgs"]
            if (ecg["class"] if ecg["class"] in named else None) == class_id
        ]
        words = class_names(task, class_id) if class_id else word("text", "others")
        mark = named.index(class_id) if class_id else 0
        for right in (False, True):
            chosen = [(ecg["x"], ecg["y"]) for ecg in of_class if ecg["right"] == right]
            points = np.array(chosen, np.float64).reshape(-1, 2)
            series.append(
                Series(
                    words, points, mark, line=False, dots=True, hollow=not right,
                    faint=class_id is None, named=right and bool(of_class),
                )
            )  # fmt: skip
    texts = block["texts"] if len(block["texts"]) <= _MOST_LABELS else [
        text for text in block["texts"] if text["id"] in named
    ]  # fmt: skip
    everything = np.array([(p["x"], p["y"]) for p in (*block["ecgs"], *texts)], np.float64).reshape(
        -1, 2
    )
    labels = tuple(Label(t["x"], t["y"], class_names(task, t["id"])) for t in texts)
    x, y = (
        _span_axis(
            everything[:, side],
            word("text", "axis", n=side + 1, share=f"{100 * block['explained'][side]:.0f} %"),
        )
        for side in (0, 1)
    )
    about = word("text", "map_about")
    title = word("sections", "map")
    return Plot("map", title, about, x, y, tuple(series), labels, aspect=0.72)


def _map_task(results: Results) -> Mapping[str, Any]:
    """The task whose classes the map shows."""
    name = results["map"].get("task")
    if name in results["tasks"]:
        found: Mapping[str, Any] = results["tasks"][name]
        return found
    ids = {text["id"] for text in results["map"]["texts"]}
    return max(
        results["tasks"].values(),
        key=lambda t: len(ids & set(t["classes"])),
        default={"classes": {}},
    )


def training_chart(results: Results) -> Plot | None:
    """The loss and the choosing metric by epoch, each between its least and greatest; or None."""
    log = results.get("training_log")
    if not log:
        return None
    by = results["training"].get("best_by", "macro_auroc")
    epochs = np.array([line["epoch"] for line in log], np.float64)
    curves = [
        (word("columns", "loss"), np.array([line["loss"] for line in log], np.float64)),
        (
            metric_words("multi_label", by),
            np.array([_number((line.get("val") or {}).get(by)) for line in log], np.float64),
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
    best = results["training"].get("best_epoch")
    labels: tuple[Label, ...] = ()
    if best is not None and series:
        place = series[-1].points
        at = place[np.abs(place[:, 0] - best).argmin()]
        labels = (Label(float(at[0]), float(at[1]), word("text", "best_epoch")),)
    least_most = {"ja": "最小から最大", "en": "least to greatest"}
    return Plot(
        "training",
        word("sections", "training"),
        word("text", "training_about", best=best if best is not None else "–"),
        Axis(word("columns", "epoch"), float(epochs.min()) - 0.5, last + 0.5, ticks,
             tuple(f"{tick:g}" for tick in ticks)),
        Axis(least_most, -0.05, 1.08, (0.0, 1.0), ("", "")),
        tuple(series),
        labels,
        aspect=0.5,
    )  # fmt: skip


def _titled(task: Mapping[str, Any], words: Words) -> Words:
    return {
        "ja": f"{task['title']['ja']}：{words['ja']}",
        "en": f"{task['title']['en']}: {words['en']}",
    }


def _unit_axis(label: Words) -> Axis:
    return Axis(label, 0.0, 1.0, _QUARTERS, _QUARTER_TEXTS)


def _span_axis(values: Points, label: Words) -> Axis:
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * (high - low) or 1.0
    return Axis(label, low - margin, high + margin)


def _round_ticks(low: float, high: float) -> tuple[float, ...]:
    """About five whole numbers between two."""
    step = next(
        (s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if (high - low) / s <= 6), 5000
    )
    first = -(-int(low) // step) * step
    return tuple(float(t) for t in range(max(first, 1), int(high) + 1, step))


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)
