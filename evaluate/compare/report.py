"""A comparison -> rows, Markdown and tables on the terminal.

Owns its order and wording. Knows only the comparison's JSON. `language` is that of the classes'
names; everything else is in the language of the person who reads it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from ecgpipe.evaluate.compare.published import Publication
from ecgpipe.evaluate.report.markdown import document, markdown_lines
from ecgpipe.evaluate.results import Metric
from ecgpipe.evaluate.table import written
from ecgpipe.evaluate.words import metric_words
from ecgpipe.language.choice import chosen_language
from ecgpipe.language.translation import shown, shown_word
from ecgpipe.spreadsheet import Cell

Comparison = dict[str, Any]

_DIFFERENCES = (
    "Differences are from the first column, on the same ECGs and the same draws of patients, with"
    " their 95 % interval. p: two-sided, from the standard error of the draws; adjusted by Holm"
    " over the classes of a task, and for macro AUROC over tasks and columns. "
)
_SEEDS = (
    "A column of several seeds is their mean; ± is the standard deviation between seeds, which is"
    " not in the intervals."
)
LIST_COLUMNS = (
    *("task", "class", "class name", "ECGs", "metric", "run", "value", "low", "high"),
    *("difference", "difference low", "difference high", "p", "p (Holm)"),
)
OTHER_DATA = "other data"
WORDS_TITLE = "What the words are worth: macro AUROC by words trained on and by others"

_WORDS = {
    "trained": "wordings trained on",
    "held_out": "wordings held out",
    "held_out_exchanged": "the same, wrong findings",
    "other_name": "other language",
    "unseen": "unseen findings",
    "unseen_by_nearest": "unseen, by the nearest trained",
}

_METRICS = (
    "hit@1_any", "hit@1_micro", "hit@1_macro", "hit@5_any", "hit@5_macro", "macro_auroc",
    "macro_auprc",
)  # fmt: skip
_SINGLE_LABEL_METRICS = ("hit@1_micro", "hit@1_macro", "macro_auroc", "macro_auprc")


def legend(comparison: Comparison) -> str:
    """What the notation in the tables means."""
    several = len(comparison["contenders"]) > 1
    return (shown(_DIFFERENCES) if several else "") + shown(_SEEDS)


def summary_columns(comparison: Comparison, papers: Sequence[Publication]) -> tuple[str, ...]:
    """The header of `summary_rows`."""
    names = comparison["contenders"]
    return (
        shown_word("metric"),
        *(_column(entry) for entry in names),
        *(f"Δ {entry['name']}" for entry in names[1:]),
        *(f"{paper.name} ({shown(OTHER_DATA)})" for paper in papers),
    )


def summary_rows(
    comparison: Comparison, task: str, papers: Sequence[Publication]
) -> list[tuple[str, ...]]:
    """One row a metric: each contender, each difference, each paper."""
    entry = comparison["tasks"][task]
    names = _SINGLE_LABEL_METRICS if entry["kind"] == "single_label" else _METRICS
    return [
        (
            metric_words(entry["kind"], name)[chosen_language()],
            *_values(name, entry["summary"][name]),
            *(_shown_difference(name, each) for each in entry["summary"][name]["differences"]),
            *(_published(name, paper.value(task, name)) for paper in papers),
        )
        for name in names
        if name in entry["summary"]
    ]


def class_columns(comparison: Comparison, papers: Sequence[Publication]) -> tuple[str, ...]:
    """The header of `class_rows`."""
    return (shown_word("class"), "n", *summary_columns(comparison, papers))


def class_rows(
    comparison: Comparison,
    task: str,
    metric_name: str,
    papers: Sequence[Publication],
    language: str,
) -> list[tuple[str, ...]]:
    """One row a class, the largest first difference first; `metric_name` is auroc or hit@1."""
    entry = comparison["tasks"][task]
    rows = []
    for class_id, each in sorted(
        entry["classes"].items(), key=lambda item: _size(item, metric_name)
    ):
        if metric_name not in each:
            continue
        metrics = each[metric_name]
        rows.append(
            (
                entry["names"][class_id][language],
                str(each["n"]),
                metric_name.upper() if metric_name == "auroc" else metric_name,
                *(written(metric_name, value, interval=False) for value in metrics["values"]),
                *(_shown_difference(metric_name, change) for change in metrics["differences"]),
                *(_published(metric_name, p.value(task, metric_name, class_id)) for p in papers),
            )
        )
    return rows


def word_columns(comparison: Comparison) -> tuple[str, ...]:
    """The header of `word_rows`."""
    return (shown_word("column"), *(shown_word(_WORDS[name]) for name in comparison["words"]))


def word_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """One row a contender: how well it scores by words it was trained on, and by others."""
    entries = comparison["words"].values()
    return [
        (_column(contender), *(_values("macro_auroc", each)[number] for each in entries))
        for number, contender in enumerate(comparison["contenders"])
    ]


def list_rows(comparison: Comparison, language: str) -> Iterator[tuple[Cell, ...]]:
    """One row for each task or class, metric and column, with exact numbers (`LIST_COLUMNS`)."""
    names = [entry["name"] for entry in comparison["contenders"]]
    for task_name, task in comparison["tasks"].items():
        parts = [(("", "", task["n"], name), metric) for name, metric in task["summary"].items()]
        for class_id, entry in task["classes"].items():
            about = (class_id, task["names"][class_id][language], entry["n"])
            parts += [((*about, name), entry[name]) for name in ("auroc", "hit@1") if name in entry]
        for labels, metric in parts:
            changes = [None, *metric["differences"]]
            for run, value, change in zip(names, metric["values"], changes, strict=False):
                yield (
                    *(task_name, *labels, run),
                    *((value or {}).get(key) for key in ("value", "low", "high")),
                    *((change or {}).get(key) for key in ("value", "low", "high", "p", "p_holm")),
                )
    yield from _word_list(comparison)


def _word_list(comparison: Comparison) -> Iterator[tuple[Cell, ...]]:
    for figure, entry in comparison["words"].items():
        for contender, value in zip(comparison["contenders"], entry["values"], strict=True):
            known = (value[key] for key in ("value", "low", "high"))
            yield ("words", "", "", None, figure, contender["name"], *known, *[None] * 5)


def render_comparison(comparison: Comparison, papers: Sequence[Publication], language: str) -> str:
    """The whole comparison as Markdown."""
    parts = ["# " + " · ".join(entry["name"] for entry in comparison["contenders"])]
    parts += [legend(comparison), _contenders(comparison)]
    if comparison["words"]:
        table = markdown_lines(word_columns(comparison), word_rows(comparison))
        parts += [f"## {shown(WORDS_TITLE)}", table]
    for name, task in comparison["tasks"].items():
        own = [paper for paper in papers if paper.covers(name)]
        parts += [
            f"## {name} ({task['title'][language]})",
            shown(f"{task['n']:,} ECGs of {task['patients']:,} patients."),
            markdown_lines(summary_columns(comparison, own), summary_rows(comparison, name, own)),
        ]
        for metric_name in ("auroc", "hit@1"):
            if rows := class_rows(comparison, name, metric_name, own, language):
                parts.append(markdown_lines(class_columns(comparison, own), rows))
    for name, why in comparison["left_out"].items():
        parts.append(shown(f"Task {name} was left out: {why}"))
    parts += [shown(f"{p.name}: {p.source}. Measured on {OTHER_DATA}: {p.data}.") for p in papers]
    return document(parts)


def print_comparison(
    comparison: Comparison, papers: Sequence[Publication], language: str, console: Console
) -> None:
    """Print every task's summary, and the classes that differ significantly."""
    for name, task in comparison["tasks"].items():
        own = [paper for paper in papers if paper.covers(name)]
        ecgs = shown(f"{task['n']:,} ECGs")
        title = f"{name} · {task['title'][language]} · {ecgs}"
        console.print(
            _table(title, summary_columns(comparison, own), summary_rows(comparison, name, own))
        )
        if len(comparison["contenders"]) > 1:
            differing = [task["names"][each][language] for each in _differing_classes(task)]
            listed = ", ".join(differing) or "none"
            console.print(shown(f"classes whose AUROC differs (p < .05 by Holm): {listed}"))
    if comparison["words"]:
        title = shown(WORDS_TITLE)
        console.print(_table(title, word_columns(comparison), word_rows(comparison)))
    for name, why in comparison["left_out"].items():
        console.print(shown(f"task {name} was left out: {why}"))
    for paper in papers:
        console.print(f"{paper.name}: {paper.source}; {shown(OTHER_DATA)}: {paper.data}")
    console.print(legend(comparison))


def _differing_classes(task: dict[str, Any]) -> list[str]:
    return [
        class_id
        for class_id, entry in task["classes"].items()
        if any(change.get("p_holm", 1.0) < 0.05 for change in entry["auroc"]["differences"])
    ]


def _contenders(comparison: Comparison) -> str:
    rows = [
        (entry["name"], str(len(entry["runs"])), ", ".join(entry["runs"]))
        for entry in comparison["contenders"]
    ]
    head = (shown_word("column"), shown_word("runs"), shown("their names"))
    return markdown_lines(head, rows)


def _column(contender: dict[str, Any]) -> str:
    runs = len(contender["runs"])
    return str(contender["name"]) + (shown(f" ({runs} runs)") if runs > 1 else "")


def _values(name: str, entry: dict[str, Any]) -> list[str]:
    texts = []
    for value, spread in zip(entry["values"], entry["between_runs"], strict=True):
        text = written(name, value)
        if spread is not None:
            text += f" ± {_scaled(name, spread).removeprefix('+')}"
        texts.append(text)
    return texts


def _shown_difference(name: str, entry: dict[str, Any]) -> str:
    """Such as '+2.3 (+0.4, +4.1), p .018, Holm .090'; shares in percentage points."""
    if entry["value"] is None:
        return "–"
    text = _scaled(name, entry["value"])
    if entry["low"] is not None and entry["high"] is not None:
        text += f" ({_scaled(name, entry['low'])}, {_scaled(name, entry['high'])})"
    if entry["p"] is not None:
        text += f", p {_probability(entry['p'])}"
    if entry.get("p_holm") is not None:
        text += f", Holm {_probability(entry['p_holm'])}"
    return text


def _scaled(name: str, value: float) -> str:
    if "auroc" in name or "auprc" in name:
        sign, digits = ("-" if value < 0 else "+"), f"{abs(value):.3f}".removeprefix("0")
        return sign + digits
    return f"{100 * value:+.1f}"


def _probability(p: float) -> str:
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def _published(name: str, value: float | None) -> str:
    entry: Metric | None = None
    if value is not None:
        entry = {"value": value, "low": None, "high": None}
    return written(name, entry, interval=False)


def _size(item: tuple[str, dict[str, Any]], metric_name: str) -> float:
    """Sorts by the first difference, the greatest first; classes too rare for a p-value last."""
    changes = item[1].get(metric_name, {}).get("differences", [])
    value: float | None = changes[0]["value"] if changes else None
    if value is None:
        return float("inf")
    return -abs(value) if changes[0]["p"] is not None else 2 - abs(value)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    return table
