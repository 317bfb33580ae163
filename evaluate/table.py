"""What a table of the report is: columns, rows, and how a metric is written.

Owns the shape. Knows neither the results file nor HTML, Markdown or CSV.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ecgpipe.evaluate.results import Metric
from ecgpipe.evaluate.words import Words, metric_words, word_or_name

Kind = Literal["text", "words", "count", "share", "area", "number", "metric"]
"""text; words: in both languages; count: an integer, as 1,234; share: a number from 0 to 1, as
81.3 %; area: the same as .912; metric: share or area, by `row_metrics`; number: of any size, with
four digits. A cell of the last four may be a bare number or a `Metric`, whose interval is shown."""


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
    """One value a column; numbers as in the results file, never rounded: CSV files are exact."""

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
    return _with_interval(metric, lambda value: f"{100 * value:.1f}", " %", interval)


def area(metric: Metric | None, *, interval: bool = True) -> str:
    """An AUROC, AUPRC or F1 as '.912 (.880-.941)'; a dash where it does not exist."""
    return _with_interval(metric, _three_places, "", interval)


def number(metric: Metric | None, *, interval: bool = True) -> str:
    """A number of any size as '0.42 (0.3-0.51)'; a dash where it does not exist."""
    return _with_interval(metric, _four_digits, "", interval)


def shown(kind: str, metric: Metric | None, *, interval: bool = True) -> str:
    """A cell of a column of kind share, area or number."""
    write = {"share": percent, "area": area, "number": number}[kind]
    return write(metric, interval=interval)


def written(name: str, metric: Metric | None, *, interval: bool = True) -> str:
    """A metric in the way its name asks for."""
    return shown("area" if is_area(name) else "share", metric, interval=interval)


def is_area(name: str) -> bool:
    """Whether a metric is written as .912 and not as 91.2 %."""
    return any(part in name for part in ("auroc", "auprc", "f1", "ece", "threshold"))


def _with_interval(
    metric: Metric | None, write: Callable[[float], str], unit: str, interval: bool
) -> str:
    if metric is None or metric["value"] is None or not math.isfinite(metric["value"]):
        return "–"
    text = write(metric["value"]) + unit
    if interval and metric["low"] is not None and metric["high"] is not None:
        between = "–" if metric["low"] >= 0 else " to "  # -0.2–-0.1 is hard to read
        text += f" ({write(metric['low'])}{between}{write(metric['high'])})"
    return text


def _three_places(value: float) -> str:
    text = f"{abs(value):.3f}".removeprefix("0")
    return f"-{text}" if value <= -0.0005 else text  # not -.000


def _four_digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value + 0.0:.4g}"  # not -0
