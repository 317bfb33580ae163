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
from ecgpipe.evaluate.results import Metric, Results, TaskResults, has_enough
from ecgpipe.evaluate.table import Table, area, shown
from ecgpipe.evaluate.words import Words, class_names, word
from ecgpipe.language.choice import Language
from ecgpipe.language.translation import told

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


def render_report(results: Results, language: Language = "en") -> str:
    """The whole report as Markdown; names of findings are as the prompts spell them."""
    parts = [f"# {results['run']}", _notice(results), *_glance(results, language)]
    parts.append(told(LEGEND, language))
    for name, task in results["tasks"].items():
        parts += _task(name, task, language)
    parts += _analyses(results, language)
    parts += [
        told(f"{what} {name} was left out: {why}.", language)
        for what, left_out in (
            ("Task", results["tasks_left_out"]),
            ("Analysis", results["analyses_left_out"]),
        )
        for name, why in left_out.items()
    ]
    parts += _made(results, language)
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


def _glance(results: Results, language: Language) -> Iterator[str]:
    table = glance(results)
    if table.rows:
        yield told("## Against the baselines", language)
        yield markdown(table, language)
        yield told(LIGHTS, language)


def _task(name: str, task: TaskResults, language: Language) -> Iterator[str]:
    classes = task["classes"]
    why = word("why_left_out", task["kind"])[language]
    yield f"## {name} ({task['title']['ja']})"
    scored = (
        f"{task['n']:,} ECGs of the {task['split']} split, {len(classes)} candidates;"
        f" {task['n_left_out']:,} ECGs left out ({why}). {_how(task)} {_baselines(task)} Source:"
        f" {task['source']}."
    )
    yield told(scored, language)
    yield markdown(summary_table(name, task), language)
    yield markdown(_without_absent(classes_table(name, task)), language)
    if absent := absent_classes(task):
        names = "、".join(words["ja"] for words in absent)
        yield told(f"Candidates that no scored ECG shows: {names}.", language)
    if (variants := variants_table(name, task)) is not None:
        yield markdown(variants, language)
    if confusion := task["confusion"]:
        about = "Truth (rows) and first choice (columns) of ECGs with exactly one class:"
        yield told(about, language)
        small = len(confusion["classes"]) <= _MOST_CONFUSED
        make = confusion_table if small else mistakes_table
        yield markdown(make(name, confusion, task), language)
    if calibration := task["calibration"]:
        method = word("calibration", calibration["method"])[language]
        error = (
            f"Expected calibration error {area(calibration['ece'])}, before calibration"
            f" {area(calibration['ece_uncalibrated'])} ({method}, on"
            f" {calibration['n_val']:,} validation ECGs)."
        )
        yield told(error, language)


def _without_absent(table: Table) -> Table:
    place = [column.key for column in table.columns].index("n")
    rows = tuple(row for row in table.rows if row[place])
    return Table(table.name, table.title, table.columns, rows, table.row_metrics)


def _how(task: TaskResults) -> str:
    least = task["min_positives"]
    n = sum(has_enough(entry, least) for entry in task["classes"].values())
    if task["kind"] == "partly_known":
        return (
            f"Macro metrics are over the {n} classes that at least {least} ECGs show and as many do"
            " not; where a class is unknown, an ECG is left out of it. Intervals are 95 %, by"
            " resampling patients."
        )
    return (
        f"Macro metrics are over the {n} classes with at least {least} ECGs. Intervals are 95 %: of"
        " summaries and areas by resampling patients, of hit@k by Wilson."
    )


def _baselines(task: TaskResults) -> str:
    found = task["baselines"]
    models, records = found["random_encoder"]["models"], found["class_prior"]["records"]
    texts, ecgs = (found[name]["permutations"] for name in ("shuffled_text", "shuffled_ecg"))
    answer = class_names(task, found["blank_ecg"]["answer"])["ja"]
    return (
        f"Baselines: random encoder ({models} untrained models), shuffled text ({texts}"
        f" permutations of the wordings), shuffled ECGs ({ecgs} exchanges among patients), class"
        f" prior (of {records:,} training ECGs), blank ECG (0 mV in all leads; its answer:"
        f" {answer})."
    )


def _analyses(results: Results, language: Language) -> Iterator[str]:
    for name in results["analyses"]:
        tables = [table for table in analysis_tables(results, name) if table.place == "open"]
        if tables:
            yield f"## {ANALYSES[name].title[language]}"
            about = ANALYSES[name].about(results["analyses"][name], results["tasks"])
            yield about[language] if about else ""
        for table in tables:
            if len(tables) > 1:
                yield f"### {table.title[language]}"
            yield markdown(table, language)


def _made(results: Results, language: Language) -> list[str]:
    rows = [(words[language], value[language]) for words, value in made_rows(results)]
    return [
        f"## {word('sections', 'made')[language]}",
        markdown_lines(("", ""), rows),
        word("text", "not_device")[language],
    ]


def markdown(table: Table, language: Language = "en") -> str:
    """A table in Markdown; names of findings are as the prompts spell them."""
    right = [column.kind not in ("text", "words") for column in table.columns]
    header = [column.label[language] for column in table.columns]
    rows = [
        [
            cell_text(
                table.shown_as(column, number),
                value,
                "ja" if column.key in _NAMES_OF_FINDINGS else language,
            )
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
