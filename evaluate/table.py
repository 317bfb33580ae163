"""What a table of the report is: columns, rows, and how a metric is written.

Owns the shape. Knows neither the results file nor HTML, Markdown or CSV.
"""

from dataclasses import dataclass
from typing import Any, Literal

from ecgpipe.evaluate.results import Metric
from ecgpipe.evaluate.words import Words, metric_words, word_or_name

Kind = Literal["text", "words", "count", "share", "area", "number", "metric"]
"""share: a metric written as a percentage; area: as .912; metric: either, by its row."""


@dataclass(frozen=True)
class Column:
    """One column."""

    key: str
    """In CSV files."""

    label: Words
    kind: Kind


@dataclass(frozen=True)
class Table:
    """Rows under columns."""

    name: str
    """Of its CSV file."""

    title: Words
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    """By the column's kind: text; words in both languages; an integer; a metric with its interval,
    or a bare number."""

    row_metrics: tuple[str, ...] = ()
    """Of each row, which metric it holds in its columns of kind metric."""

    place: Literal["open", "folded", "csv"] = "open"
    """Where it is shown: everywhere; on the page alone, folded; or in its CSV file alone."""

    def shown_as(self, column: Column, row: int) -> str:
        """The kind of one cell: that of its column, or of its row's metric."""
        if column.kind != "metric":
            return column.kind
        return "area" if is_area(self.row_metrics[row]) else "share"


def column(key: str, kind: Kind, label: Words | None = None) -> Column:
    """A column with its usual label."""
    return Column(key, word_or_name("columns", key) if label is None else label, kind)


def metric_column(task_kind: str, name: str) -> Column:
    """A column of one summary metric."""
    return Column(name, metric_words(task_kind, name), "area" if is_area(name) else "share")


def percent(metric: Metric | None, *, interval: bool = True) -> str:
    """A share as '81.3 % (77.0-85.1)'; a dash where it does not exist."""
    if metric is None or metric["value"] is None:
        return "–"
    text = f"{100 * metric['value']:.1f} %"
    if interval and metric["low"] is not None and metric["high"] is not None:
        text += f" ({100 * metric['low']:.1f}–{100 * metric['high']:.1f})"
    return text


def area(metric: Metric | None, *, interval: bool = True) -> str:
    """An AUROC, AUPRC or F1 as '.912 (.880-.941)'; a dash where it does not exist."""
    if metric is None or metric["value"] is None:
        return "–"
    text = _three_places(metric["value"])
    if interval and metric["low"] is not None and metric["high"] is not None:
        text += f" ({_three_places(metric['low'])}–{_three_places(metric['high'])})"
    return text


def written(name: str, metric: Metric | None, *, interval: bool = True) -> str:
    """A metric in the way its name asks for."""
    return (area if is_area(name) else percent)(metric, interval=interval)


def is_area(name: str) -> bool:
    """Whether a metric is written as .912 and not as 91.2 %."""
    return any(part in name for part in ("auroc", "auprc", "f1", "ece", "threshold"))


def rounded(value: float | None, places: int = 2) -> float | None:
    """A number as a table shows it."""
    return None if value is None else round(value, places)


def _three_places(value: float) -> str:
    text = f"{value:.3f}"
    return text.removeprefix("0") if value >= 0 else text
