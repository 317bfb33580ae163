"""Results -> report.md: what was scored, the summary with baselines, every class, the analyses.

Owns the order of the report. Charts and their numbers are left to the page and the CSV files.
"""

import html
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ecgpipe.evaluate.analyses.registry import ANALYSES
from ecgpipe.evaluate.report.page import made_rows
from ecgpipe.evaluate.report.tables import (
    absent_classes,
    analysis_tables,
    classes_table,
    confusion_table,
    glance,
    mistakes_table,
    summary_table,
    variants_table,
)
from ecgpipe.evaluate.results import Metric, Results, TaskResults
from ecgpipe.evaluate.table import Column, Table, area, shown
from ecgpipe.evaluate.words import Words, word

LEGEND = (
    "hit@k of a class: the share of its ECGs for which it is among the k best candidates."
    " any-hit@k: the share of ECGs with one of their findings among the k best. macro: the mean"
    " over classes; micro: over all pairs of ECG and finding."
)
LIGHTS = (
    "● above: the lower bound is above the best baseline's upper bound; ◐ uncertain: above, but the"
    " intervals overlap; ○ not above."
)
_MOST_CONFUSED = 8
_NAMES_OF_FINDINGS = ("class", "truth", "predicted", "candidate", "findings")


def render_report(results: Results) -> str:
    """The whole report as Markdown."""
    parts = [f"# {results['run']}", _notice(results), *_glance(results), LEGEND]
    for name, task in results["tasks"].items():
        parts += _task(name, task)
    parts += _analyses(results)
    parts += [
        f"{what} {name} was left out: {why}."
        for what, left_out in (
            ("Task", results["tasks_left_out"]),
            ("Analysis", results["analyses_left_out"]),
        )
        for name, why in left_out.items()
    ]
    parts += _made(results)
    return document(parts)


def document(parts: Iterable[str]) -> str:
    """A Markdown document of blocks; '' is none.

    Names, notices and wordings come from tables. So that none of them is markup of a renderer that
    allows HTML, or a link, the characters with which such begins are escaped everywhere.
    """
    text = "\n\n".join(part for part in parts if part)
    return html.escape(text, quote=False).replace("[", "\\[") + "\n"


def _notice(results: Results) -> str:
    return f"**{results['notice']}**" if results["notice"] else ""


def _glance(results: Results) -> Iterator[str]:
    table = glance(results)
    if table.rows:
        yield "## Against the baselines"
        yield markdown(table)
        yield LIGHTS


def _task(name: str, task: TaskResults) -> Iterator[str]:
    classes = task["classes"]
    n_macro = sum(entry["n"] >= task["min_positives"] for entry in classes.values())
    why = word("text", "why_single" if task["kind"] == "single_label" else "why_multi")["en"]
    yield f"## {name} ({task['title']['ja']})"
    yield (
        f"{task['n']:,} ECGs of the {task['split']} split, {len(classes)} candidates;"
        f" {task['n_left_out']:,} ECGs left out ({why}). Macro metrics are over the"
        f" {n_macro} classes with at least {task['min_positives']} ECGs. Intervals are 95 %: of"
        " summaries and areas by resampling patients, of hit@k by Wilson."
        f" {_baselines(task)} Source: {task['source']}."
    )
    yield markdown(summary_table(name, task))
    yield markdown(_without_absent(classes_table(name, task)))
    if absent := absent_classes(task):
        yield f"Candidates that no scored ECG shows: {'、'.join(words['ja'] for words in absent)}."
    if (variants := variants_table(name, task)) is not None:
        yield markdown(variants)
    if confusion := task["confusion"]:
        yield "Truth (rows) and first choice (columns) of ECGs with exactly one class:"
        small = len(confusion["classes"]) <= _MOST_CONFUSED
        make = confusion_table if small else mistakes_table
        yield markdown(make(name, confusion, task))
    if calibration := task["calibration"]:
        yield (
            f"Expected calibration error {area(calibration['ece'])}, before calibration"
            f" {area(calibration['ece_uncalibrated'])} ({calibration['method']}, on"
            f" {calibration['n_val']:,} validation ECGs)."
        )


def _without_absent(table: Table) -> Table:
    place = [column.key for column in table.columns].index("n")
    rows = tuple(row for row in table.rows if row[place])
    return Table(table.name, table.title, table.columns, rows, table.row_metrics)


def _baselines(task: TaskResults) -> str:
    baselines = task["baselines"]
    return (
        f"Baselines: random encoder ({baselines['random_encoder']['models']} untrained models),"
        f" shuffled text ({baselines['shuffled_text']['permutations']} permutations of the"
        f" wordings), class prior (of {baselines['class_prior']['records']:,} training ECGs)."
    )


def _analyses(results: Results) -> Iterator[str]:
    for name in results["analyses"]:
        tables = [table for table in analysis_tables(results, name) if table.place == "open"]
        if tables:
            yield f"## {ANALYSES[name].title['en']}"
            about = ANALYSES[name].about(results["analyses"][name], results["tasks"])
            yield about["en"] if about else ""
        for table in tables:
            if len(tables) > 1:
                yield f"### {table.title['en']}"
            yield markdown(table)


def _made(results: Results) -> list[str]:
    rows = [(words["en"], value["en"]) for words, value in made_rows(results)]
    return [
        f"## {word('sections', 'made')['en']}",
        markdown_lines(("", ""), rows),
        word("text", "not_device")["en"],
    ]


def markdown(table: Table) -> str:
    """A table in Markdown: its words in English, names of findings as the prompts spell them."""
    right = [column.kind not in ("text", "words") for column in table.columns]
    header = [column.label["en"] for column in table.columns]
    rows = [
        [
            cell_text(table.shown_as(column, number), value, _language(column))
            for column, value in zip(table.columns, row, strict=True)
        ]
        for number, row in enumerate(table.rows)
    ]
    return markdown_lines(header, rows, right)


def cell_text(kind: str, value: Any, language: str, *, interval: bool = True) -> str:
    """One cell in plain text."""
    if kind == "words":
        words: Words = value
        return words[language]
    if kind in ("share", "area", "number"):
        entry: Metric | None = value
        if isinstance(value, int | float):
            entry = {"value": value, "low": None, "high": None}
        return shown(kind, entry, interval=interval)
    if value is None:
        return "–"
    return f"{value:,}" if kind == "count" else str(value)


def _language(column: Column) -> str:
    return "ja" if column.key in _NAMES_OF_FINDINGS else "en"


def markdown_lines(
    header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[bool] = ()
) -> str:
    """Header and rows; `right` says which columns are aligned to the right."""
    ends = [*right, *[False] * (len(header) - len(right))]
    rule = ["---:" if end else "---" for end in ends]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |"
        for line in (header, rule, *rows)
    )
