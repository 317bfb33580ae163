"""Results -> tables on a terminal.

Owns their layout: at most 100 columns wide, so only the metrics that one reads first have their
interval here; the report has all.
"""

from rich.console import Console
from rich.table import Table as RichTable

from ecgpipe.evaluate.report.markdown import LEGEND, LIGHTS, cell_text
from ecgpipe.evaluate.report.tables import (
    absent_classes,
    classes_table,
    summary_table,
    variants_table,
)
from ecgpipe.evaluate.report.verdict import verdict
from ecgpipe.evaluate.results import Results, headline_metrics
from ecgpipe.evaluate.table import Table
from ecgpipe.language.choice import Language
from ecgpipe.language.translation import told

_CLASS_COLUMNS = ("id", "class", "n", "n_known", "hit@1", "hit@5", "auroc", "auprc", "f1")
_METRICS = (
    "hit@1_any", "hit@1_macro", "hit@1_micro", "hit@5_any", "hit@5_macro", "hit@5_micro",
    "macro_auroc", "macro_auprc", "macro_f1", "hit@1_macro_all", "macro_auroc_all",
)  # fmt: skip
_ONLY_IN_REPORT = ("shuffled_ecg", "blank_ecg")
_WITH_INTERVAL = ("hit@1", "auroc", "model", "random_encoder")


def print_results(results: Results, console: Console, language: Language = "en") -> None:
    """Print every task: its classes, then its summary with the baselines.

    Args:
        results: of the evaluation.
        console: where to.
        language: of everything but the classes' names, which are as the prompts spell them.
    """
    for name, task in results["tasks"].items():
        title = f"{name} · {task['title']['ja']} · {task['n']:,} ECGs of the {task['split']} split"
        title = told(title, language)
        if results["notice"]:
            title += f"\n{results['notice']}"
        classes = classes_table(name, task)
        place = [column.key for column in classes.columns].index("n")
        console.print(_rich(classes, language, title, [bool(row[place]) for row in classes.rows]))
        if absent := absent_classes(task):
            names = "、".join(words["ja"] for words in absent)
            console.print(told(f"not shown by any of these ECGs: {names}", language))
        summary = summary_table(name, task)
        lights = [verdict(task, metric).symbol for metric in summary.row_metrics]
        read_first = [metric in _METRICS for metric in summary.row_metrics]
        console.print(_rich(summary, language, None, read_first, lights))
        if (variants := variants_table(name, task)) is not None:
            leading = headline_metrics(task)
            console.print(
                _rich(variants, language, None, [f in leading for f in variants.row_metrics])
            )
    console.print(f"{told(LEGEND, language)}\n{told(LIGHTS, language)}")


def _rich(
    table: Table,
    language: Language,
    title: str | None = None,
    shown: list[bool] | None = None,
    lights: list[str] | None = None,
) -> RichTable:
    """A table of the terminal; `lights` become a last column without a name."""
    is_classes = any(column.key == "class" for column in table.columns)
    chosen = [
        (number, column)
        for number, column in enumerate(table.columns)
        if (column.key in _CLASS_COLUMNS if is_classes else column.key not in _ONLY_IN_REPORT)
    ]
    made = RichTable(title=title, title_justify="left")
    for _, column in chosen:
        left = column.kind in ("text", "words")
        made.add_column(
            column.label[language],
            justify="left" if left else "right",
            overflow="fold",
            no_wrap=not left,
        )
    if lights is not None:
        made.add_column("")
    for place, row in enumerate(table.rows):
        if shown is None or shown[place]:
            cells = [
                cell_text(
                    table.shown_as(column, place),
                    row[number],
                    "ja" if column.key == "class" else language,
                    interval=column.key in _WITH_INTERVAL,
                )
                for number, column in chosen
            ]
            made.add_row(*cells, *([lights[place]] if lights is not None else []))
    return made
