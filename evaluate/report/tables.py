"""Results to tables: every table of the report, as data.

Owns which tables there are, their columns and their order of rows. report.md, the page and the CSV
files are three ways of writing them down, so that no metric stands in one and is missing in
another. Drawn from the results file alone; what an older file lacks makes no table.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ecgpipe.evaluate.report.failure_tables import FAILURE_BLOCKS, failure_tables
from ecgpipe.evaluate.report.table import Column, Table, column
from ecgpipe.evaluate.report.verdict import BASELINES, headline_metrics, verdict
from ecgpipe.evaluate.report.words import (
    LIST,
    Words,
    class_names,
    joined,
    metric_words,
    same,
    word,
    word_or_name,
)
from ecgpipe.evaluate.results import Results, is_area

_HITS = ("hit@1", "hit@5")


def all_tables(results: Results) -> Iterator[Table]:
    """Every table of the report, in its order."""
    yield glance(results)
    for name, task in results["tasks"].items():
        yield from task_tables(name, task)
    yield from analysis_tables(results)


def glance(results: Results) -> Table:
    """Every task's leading metrics beside the best baseline, with the verdict."""
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


def task_tables(name: str, task: Mapping[str, Any]) -> Iterator[Table]:
    """The tables of one task."""
    yield summary_table(name, task)
    if table := variants_table(name, task):
        yield table
    yield classes_table(name, task)
    if task.get("confusion"):
        yield confusion_table(name, task)
        yield mistakes_table(name, task)
    if task.get("calibration"):
        yield calibration_table(name, task)
    if task.get("curves"):
        yield from (_curve_table(name, task, which) for which in ("roc", "pr"))
    for kind, groups in task.get("groups", {}).items():
        yield group_table(name, task, kind, groups)


def summary_table(name: str, task: Mapping[str, Any]) -> Table:
    """One row a metric: the model and every baseline."""
    names = summary_names(task)
    baselines = [b for b in BASELINES if b in task["baselines"]]
    rows = tuple(
        (
            metric_words(task["kind"], metric),
            task["summary"].get(metric),
            *(task["baselines"][b]["summary"].get(metric) for b in baselines),
        )
        for metric in names
    )
    columns = (
        column("metric", "words"),
        column("model", "metric"),
        *(column(b, "metric", word("baselines", b)) for b in baselines),
    )
    return Table(f"{name}-summary", word("sections", "summary"), columns, rows, tuple(names))


def summary_names(task: Mapping[str, Any]) -> list[str]:
    """The metrics of a task in the report's order; over all classes only where that differs."""
    known = [n for n in _order(task) if n in task["summary"]]
    if any(0 < entry["n"] < task["min_positives"] for entry in task["classes"].values()):
        known += [f"{n}_all" for n in known if f"{n}_all" in task["summary"]]
    return known


def _order(task: Mapping[str, Any]) -> tuple[str, ...]:
    hits = ("any", "macro", "micro")
    if task["kind"] == "single_label":
        first: tuple[str, ...] = ("hit@1_micro", "hit@1_macro")
    else:
        first = tuple(f"hit@{k}_{how}" for k in (1, 5) for how in hits)
    return (*first, "macro_auroc", "macro_auprc", "macro_f1")


def variants_table(name: str, task: Mapping[str, Any]) -> Table | None:
    """The same metrics by members' prompts, and adjusted by frequencies; None if there are none."""
    rows: list[tuple[Any, ...]] = []
    metrics: list[str] = []
    for block in ("from_members", "adjusted"):
        for how, entry in task.get(block, {}).items():
            words = word("members" if block == "from_members" else block, how)
            for metric in _order(task):
                if metric in entry["summary"]:
                    random = entry.get("random_encoder", {}).get("summary", {})
                    rows.append(
                        (
                            words,
                            metric_words(task["kind"], metric),
                            entry["summary"][metric],
                            random.get(metric),
                        )
                    )
                    metrics.append(metric)
    columns = (
        column("variant", "words"), column("metric", "words"), column("model", "metric"),
        column("random_encoder", "metric", word("baselines", "random_encoder")),
    )  # fmt: skip
    title = word("sections", "variants")
    return Table(f"{name}-variants", title, columns, tuple(rows), tuple(metrics)) if rows else None


def classes_table(name: str, task: Mapping[str, Any]) -> Table:
    """One row a class, the commonest first; those without an ECG stand at the end."""
    entries = sorted(task["classes"].items(), key=lambda item: -item[1]["n"])
    present = {key for _, entry in entries for key in entry}
    single = task["kind"] == "single_label"
    shown: list[Column] = [column("id", "text"), column("class", "words"), column("n", "count")]
    if "n_val" in present:
        shown.append(column("n_val", "count"))
    if "prevalence" in present:
        shown.append(column("prevalence", "share"))
    for hit in _HITS:
        if hit in present:
            label = word("columns", "recall") if single and hit == "hit@1" else None
            shown.append(column(hit, "share", label))
    shown += [column(key, "area") for key in ("auroc", "auprc", "f1") if key in present]
    if "threshold" in present:
        shown.append(column("threshold", "number"))
    rows = tuple(
        (class_id, entry["names"], *(entry.get(c.key) for c in shown[2:]))
        for class_id, entry in entries
    )
    return Table(f"{name}-classes", word("sections", "classes"), tuple(shown), rows)


def confusion_table(name: str, task: Mapping[str, Any]) -> Table:
    """Truth by first choice, in counts."""
    confusion = task["confusion"]
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


def mistakes_table(name: str, task: Mapping[str, Any], most: int = 10) -> Table:
    """The pairs of truth and wrong first choice that occur most."""
    confusion = task["confusion"]
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
    return Table(f"{name}-mistakes", word("sections", "mistakes"), columns, tuple(pairs[:most]))


def calibration_table(name: str, task: Mapping[str, Any]) -> Table:
    """The bins of the reliability diagram."""
    bins = task["calibration"]["bins"]
    columns = (
        column("low", "number"), column("high", "number"), column("n", "count"),
        column("confidence", "share"), column("observed", "share"),
    )  # fmt: skip
    rows = tuple((b["low"], b["high"], b["n"], b["confidence"], b["share"]) for b in bins)
    return Table(f"{name}-calibration", word("sections", "reliability"), columns, rows)


def _curve_table(name: str, task: Mapping[str, Any], which: str) -> Table:
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


def group_table(name: str, task: Mapping[str, Any], kind: str, groups: Mapping[str, Any]) -> Table:
    """The leading metrics in each group."""
    names = [n for n in (*headline_metrics(task), "hit@1_micro") if _in_any(groups, n)]
    names = list(dict.fromkeys(names))
    columns = (
        column("group", "words", word_or_name("groups", kind)),
        column("n", "count"),
        column("patients", "count"),
        *(_metric_column(task["kind"], n) for n in names),
    )
    rows = tuple(
        (
            word_or_name("groups", group),
            entry["n"],
            entry["patients"],
            *(entry["summary"].get(n) for n in names),
        )
        for group, entry in groups.items()
    )
    return Table(f"{name}-by-{kind}", word_or_name("groups", kind), columns, rows)


def _in_any(groups: Mapping[str, Any], name: str) -> bool:
    return any(name in entry.get("summary", {}) for entry in groups.values())


def _metric_column(kind: str, name: str) -> Column:
    return Column(name, metric_words(kind, name), "area" if is_area(name) else "share")


def analysis_tables(results: Results) -> Iterator[Table]:
    """The tables of everything beside the tasks."""
    for name in ("retrieval", "probe", "neighbours", "robustness"):
        if results.get(name):
            yield from analysis_table(results, name)
    for name in FAILURE_BLOCKS:
        yield from failure_tables(results, name)
    if results.get("map"):
        yield map_texts_table(results)
        yield map_ecgs_table(results)
    if results.get("training_log"):
        yield training_table(results)
    for name, examples in results.get("examples", {}).items():
        yield examples_table(results, name, examples)


def analysis_table(results: Results, name: str) -> tuple[Table, ...]:
    """The tables of one block whose shape is known."""
    make = {
        "retrieval": _retrieval, "probe": _probe, "neighbours": _neighbours,
        "robustness": _robustness,
    }[name]  # fmt: skip
    return tuple(make(results))


def _retrieval(results: Results) -> Iterator[Table]:
    block = results["retrieval"]
    ranks = ("R@1", "R@5", "R@10")
    columns = (
        column("direction", "words"), column("scored", "words", word("columns", "model")),
        *(Column(k, same(k), "share") for k in ranks), column("median_rank", "number"),
    )  # fmt: skip
    who = (
        (word("columns", "model"), block),
        (word("baselines", "random_encoder"), block.get("random_encoder", {})),
    )
    rows = tuple(
        (
            word("directions", direction),
            words,
            *(entry[direction].get(k) for k in ranks),
            entry[direction].get("median_rank"),
        )
        for direction in ("ecg_to_text", "text_to_ecg")
        for words, entry in who
        if direction in entry
    )
    yield Table("retrieval", word("sections", "retrieval"), columns, rows)


def _probe(results: Results) -> Iterator[Table]:
    rows = []
    for task, entry in results["probe"]["tasks"].items():
        for share, found in entry["shares"].items():
            random = found.get("random_encoder", {})
            rows.append(
                (
                    _title(results, task),
                    f"{100 * float(share):g} %",
                    found["n_train"],
                    found.get("classes_scored"),
                    found.get("macro_auroc"),
                    found.get("macro_auprc"),
                    random.get("macro_auroc"),
                )
            )
    random_auroc = {
        language: f"AUROC, {text}" for language, text in word("baselines", "random_encoder").items()
    }
    columns = (
        column("task", "words"), column("training_share", "text"), column("n_train", "count"),
        column("classes_scored", "count"), column("macro_auroc", "area", same("AUROC")),
        column("macro_auprc", "area", same("AUPRC")),
        column("random_encoder", "area", random_auroc),
    )  # fmt: skip
    yield Table("probe", word("sections", "probe"), columns, tuple(rows))


def _neighbours(results: Results) -> Iterator[Table]:
    rows, metrics = [], []
    for name, entry in results["neighbours"]["tasks"].items():
        kind = results["tasks"].get(name, {}).get("kind", "multi_label")
        for metric, value in entry["summary"].items():
            if metric.endswith("_all"):
                continue
            random = entry.get("random_encoder", {}).get("summary", {})
            rows.append(
                (_title(results, name), metric_words(kind, metric), value, random.get(metric))
            )
            metrics.append(metric)
    columns = (
        column("task", "words"), column("metric", "words"), column("model", "metric"),
        column("random_encoder", "metric", word("baselines", "random_encoder")),
    )  # fmt: skip
    title = word("sections", "neighbours")
    yield Table("neighbours", title, columns, tuple(rows), tuple(metrics))


def _robustness(results: Results) -> Iterator[Table]:
    block = results["robustness"]
    task = results["tasks"].get(block["task"], {})
    kind = task.get("kind", "multi_label")
    conditions = block["conditions"]
    wanted = (*(headline_metrics(task) if task else ()), "hit@1_micro", "macro_auroc")
    names = [n for n in dict.fromkeys(wanted) if any(n in c["summary"] for c in conditions)]
    columns = (
        column("condition", "words"),
        *(_metric_column(kind, name) for name in names),
    )
    rows = tuple((c["about"], *(c["summary"].get(name) for name in names)) for c in conditions)
    yield Table("robustness", word("sections", "robustness"), columns, rows)


def map_texts_table(results: Results) -> Table:
    """Where the texts lie on the map."""
    columns = (column("id", "text"), column("x", "number"), column("y", "number"))
    rows = tuple((t["id"], t["x"], t["y"]) for t in results["map"]["texts"])
    return Table("map-texts", word("sections", "map"), columns, rows)


def map_ecgs_table(results: Results) -> Table:
    """Where the ECGs lie on the map."""
    columns = (
        column("class", "text"), column("right", "words"), column("x", "number"),
        column("y", "number"),
    )  # fmt: skip
    rows = tuple(
        (e["class"] or "", word("text", "is_right" if e["right"] else "is_wrong"), e["x"], e["y"])
        for e in results["map"]["ecgs"]
    )
    return Table("map-ecgs", word("sections", "map"), columns, rows)


def training_table(results: Results) -> Table:
    """One row an epoch: the loss, and the metrics of the validation split."""
    log = results["training_log"]
    names = list(dict.fromkeys(name for line in log for name in line.get("val") or {}))
    columns = (
        column("epoch", "count"),
        column("loss", "number"),
        *(Column(name, metric_words("multi_label", name), "number") for name in names),
    )
    rows = tuple(
        (line["epoch"], line["loss"], *((line.get("val") or {}).get(name) for name in names))
        for line in log
    )
    return Table("training", word("sections", "training"), columns, rows)


def examples_table(results: Results, name: str, examples: Sequence[Mapping[str, Any]]) -> Table:
    """The chosen ECGs: what is true, and what the model puts first."""
    task = results["tasks"][name]
    columns = (
        column("record", "text"), column("kind", "words"), column("findings", "words"),
        column("rank", "count"), column("candidate", "words"), column("score", "number"),
    )  # fmt: skip
    rows = tuple(
        (
            chosen["record_id"],
            word("examples", chosen["kind"]),
            joined([class_names(task, f) for f in chosen["findings"]], LIST),
            place,
            class_names(task, candidate["id"]),
            candidate["score"],
        )
        for chosen in examples
        for place, candidate in enumerate(chosen["top"], 1)
    )
    return Table(f"{name}-examples", word("sections", "examples"), columns, rows)


def _title(results: Results, name: str) -> Words:
    task = results["tasks"].get(name)
    return task["title"] if task else same(name)


def absent_classes(task: Mapping[str, Any]) -> list[Words]:
    """Names of the candidates that no scored ECG shows."""
    return [entry["names"] for entry in task["classes"].values() if not entry["n"]]


def weakest_classes(task: Mapping[str, Any], most: int = 5) -> list[tuple[str, Mapping[str, Any]]]:
    """The classes with enough ECGs whose AUROC is lowest, the lowest first."""
    known = [
        (class_id, entry)
        for class_id, entry in task["classes"].items()
        if entry["n"] >= task["min_positives"]
        and entry.get("auroc")
        and entry["auroc"]["value"] is not None
    ]
    return sorted(known, key=lambda item: float(item[1]["auroc"]["value"]))[:most]
