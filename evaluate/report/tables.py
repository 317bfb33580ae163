"""Results -> every table of the report, as data.

Owns the tables of tasks and training; those of an analysis are the analysis's. report.md, the page
and the CSV files show the same tables, so that no metric is in one and missing in another.
"""

from collections.abc import Iterator

from ecgpipe.evaluate.analyses.registry import ANALYSES
from ecgpipe.evaluate.report.verdict import BASELINES, verdict
from ecgpipe.evaluate.results import (
    NO_SCORES,
    Calibration,
    ClassResults,
    Confusion,
    Results,
    Scores,
    TaskResults,
    has_enough,
    headline_metrics,
)
from ecgpipe.evaluate.table import Column, Table, column
from ecgpipe.evaluate.words import Words, class_names, joined, metric_words, same, word


def all_tables(results: Results) -> Iterator[Table]:
    """Every table of the report, in its order."""
    yield glance(results)
    for name, task in results["tasks"].items():
        yield from task_tables(name, task)
    for name in results["analyses"]:
        yield from analysis_tables(results, name)
    if results["training_log"]:
        yield training_table(results)


def analysis_tables(results: Results, name: str) -> list[Table]:
    """The tables of one analysis."""
    return list(ANALYSES[name].tables(results["analyses"][name], results["tasks"]))


def glance(results: Results) -> Table:
    """Every task's headline metrics and the best baseline, with the verdict."""
    rows, metrics = [], []
    for name, task in results["tasks"].items():
        for metric in headline_metrics(task):
            said = verdict(task, metric)
            rows.append(
                (
                    name,
                    task["title"],
                    task["n"],
                    metric_words(task["kind"], metric),
                    said.metric,
                    word("baselines", said.baseline) if said.baseline else same("–"),
                    said.baseline_metric,
                    {
                        language: f"{said.symbol} {text}"
                        for language, text in word("lights", said.light).items()
                    },
                )
            )
            metrics.append(metric)
    columns = (
        column("id", "text"), column("task", "words"), column("n", "count"),
        column("metric", "words"), column("model", "metric"), column("best_baseline", "words"),
        column("baseline", "metric", word("columns", "best_baseline")), column("verdict", "words"),
    )  # fmt: skip
    return Table("glance", word("sections", "glance"), columns, tuple(rows), tuple(metrics))


def task_tables(name: str, task: TaskResults) -> Iterator[Table]:
    """The tables of one task."""
    yield summary_table(name, task)
    if table := variants_table(name, task):
        yield table
    yield classes_table(name, task)
    if task["confusion"]:
        yield confusion_table(name, task["confusion"], task)
        yield mistakes_table(name, task["confusion"], task)
    if task["calibration"]:
        yield calibration_table(name, task["calibration"])
    if task["curves"]:
        yield from (_curve_table(name, task, which) for which in ("roc", "pr"))


def summary_table(name: str, task: TaskResults) -> Table:
    """One row a metric: the model and every baseline."""
    names = summary_names(task)
    # Results of an older version lack some.
    baselines = [task["baselines"].get(name, NO_SCORES) for name in BASELINES]
    rows = tuple(
        (
            metric_words(task["kind"], metric),
            task["summary"][metric],
            *(each["summary"].get(metric) for each in baselines),
        )
        for metric in names
    )
    columns = (
        column("metric", "words"),
        column("model", "metric"),
        *(column(b, "metric", word("baselines", b)) for b in BASELINES),
    )
    return Table(f"{name}-summary", word("sections", "summary"), columns, rows, tuple(names))


def summary_names(task: TaskResults) -> list[str]:
    """The metrics of a task in the report's order; over all classes only where that differs."""
    known = [n for n in _order(task) if n in task["summary"]]
    least = task["min_positives"]
    if any(entry["n"] and not has_enough(entry, least) for entry in task["classes"].values()):
        known += [f"{n}_all" for n in known if f"{n}_all" in task["summary"]]
    return known


def _order(task: TaskResults) -> tuple[str, ...]:
    if task["kind"] == "single_label":
        first: tuple[str, ...] = ("hit@1_micro", "hit@1_macro")
    else:
        first = tuple(f"hit@{k}_{how}" for k in (1, 5) for how in ("any", "macro", "micro"))
    return (*first, "macro_auroc", "macro_auprc", "macro_f1")


def variants(task: TaskResults) -> list[tuple[Words, Scores]]:
    """The other ways of scoring: by members' prompts, and adjusted by frequencies."""
    return [
        *((word("members", how), entry) for how, entry in task["from_members"].items()),
        *((word("adjusted", how), entry) for how, entry in task["adjusted"].items()),
    ]


def variants_table(name: str, task: TaskResults) -> Table | None:
    """The summary of each of `variants`; None if there are none."""
    rows, metrics = [], []
    for words, entry in variants(task):
        random = entry["random_encoder"]["summary"] if "random_encoder" in entry else {}
        for metric in _order(task):
            if metric in entry["summary"]:
                label = metric_words(task["kind"], metric)
                rows.append((words, label, entry["summary"][metric], random.get(metric)))
                metrics.append(metric)
    columns = (
        column("variant", "words"), column("metric", "words"), column("model", "metric"),
        column("random_encoder", "metric", word("baselines", "random_encoder")),
    )  # fmt: skip
    title = word("sections", "variants")
    return Table(f"{name}-variants", title, columns, tuple(rows), tuple(metrics)) if rows else None


def classes_table(name: str, task: TaskResults) -> Table:
    """One row a class, the commonest first; classes without an ECG come last."""
    entries = sorted(task["classes"].items(), key=lambda item: -item[1]["n"])
    single = task["kind"] == "single_label"
    has = {key for _, entry in entries for key in entry}
    recall = word("columns", "recall") if single else None
    columns = (
        column("id", "text"), column("class", "words"), column("n", "count"),
        *([column("n_known", "count")] if "n_known" in has else []),
        column("n_val", "count"), column("prevalence", "share"),
        *([column("hit@1", "share", recall)] if "hit@1" in has else []),
        *([column("hit@5", "share")] if "hit@5" in has else []),
        *(column(key, "area") for key in ("auroc", "auprc", "f1")),
        column("threshold", "number"),
    )  # fmt: skip
    rows = tuple(
        (class_id, _marked(entry), *(entry.get(column.key) for column in columns[2:]))
        for class_id, entry in entries
    )
    return Table(f"{name}-classes", word("sections", "classes"), columns, rows)


def _marked(entry: ClassResults) -> Words:
    """A class's names, with what training never named marked as that."""
    if not entry.get("unseen"):
        return entry["names"]
    return joined([entry["names"], word("text", "unseen")], same(" "))


def confusion_table(name: str, confusion: Confusion, task: TaskResults) -> Table:
    """Truth by first choice, in counts."""
    columns = (
        column("id", "text"),
        column("truth", "words"),
        *(Column(c, class_names(task, c), "count") for c in confusion["classes"]),
    )
    rows = tuple(
        (class_id, class_names(task, class_id), *counts)
        for class_id, counts in zip(confusion["classes"], confusion["counts"], strict=True)
    )
    return Table(f"{name}-confusion", word("sections", "confusion"), columns, rows)


def mistakes_table(name: str, confusion: Confusion, task: TaskResults) -> Table:
    """The ten commonest pairs of truth and wrong first choice."""
    ids = confusion["classes"]
    pairs = [
        (class_names(task, truth), class_names(task, ids[place]), n, n / sum(counts))
        for truth, counts in zip(ids, confusion["counts"], strict=True)
        for place, n in enumerate(counts)
        if n and ids[place] != truth
    ]
    pairs.sort(key=lambda pair: -pair[2])
    columns = (
        column("truth", "words"), column("predicted", "words"), column("n", "count"),
        column("share", "share"),
    )  # fmt: skip
    return Table(f"{name}-mistakes", word("sections", "mistakes"), columns, tuple(pairs[:10]))


def calibration_table(name: str, calibration: Calibration) -> Table:
    """The bins of the reliability diagram."""
    bins = calibration["bins"]
    columns = (
        column("low", "number"), column("high", "number"), column("n", "count"),
        column("confidence", "share"), column("observed", "share"),
    )  # fmt: skip
    rows = tuple((b["low"], b["high"], b["n"], b["confidence"], b["share"]) for b in bins)
    return Table(f"{name}-calibration", word("sections", "reliability"), columns, rows)


def _curve_table(name: str, task: TaskResults, which: str) -> Table:
    x, y = ("fpr", "tpr") if which == "roc" else ("recall", "precision")
    columns = (
        column("id", "text"), column("class", "words"),
        Column(x, word("text", x), "number"), Column(y, word("text", y), "number"),
    )  # fmt: skip
    rows = tuple(
        (class_id, class_names(task, class_id), left, right)
        for class_id, curves in task["curves"].items()
        for left, right in zip(curves[which][x], curves[which][y], strict=True)
    )
    return Table(f"{name}-{which}", word("sections", which), columns, rows)


def training_table(results: Results) -> Table:
    """One row an epoch: the loss, and the metrics of the validation split."""
    log = results["training_log"]
    names = list(dict.fromkeys(name for line in log for name in line["val"]))
    columns = (
        column("epoch", "count"),
        column("loss", "number"),
        *(Column(name, metric_words("multi_label", name), "number") for name in names),
    )
    rows = tuple(
        (line["epoch"], line["loss"], *(line["val"].get(name) for name in names)) for line in log
    )
    return Table("training", word("sections", "training"), columns, rows, place="folded")


def absent_classes(task: TaskResults) -> list[Words]:
    """Names of the candidates that no scored ECG shows."""
    return [entry["names"] for entry in task["classes"].values() if not entry["n"]]


def weakest_classes(task: TaskResults, most: int = 5) -> list[ClassResults]:
    """The classes with enough ECGs and the lowest AUROC, the lowest first."""
    known = [
        (entry["auroc"]["value"], number, entry)
        for number, entry in enumerate(task["classes"].values())
        if has_enough(entry, task["min_positives"])
        and entry["auroc"]
        and entry["auroc"]["value"] is not None
    ]
    return [entry for _, _, entry in sorted(known)[:most]]
