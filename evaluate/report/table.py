"""What a table of the report is: columns, rows, and how each cell is to be shown.

Owns the shape. Knows neither results nor how a table is written down.
"""

from dataclasses import dataclass
from typing import Any, Literal

from ecgpipe.evaluate.report.words import Words, word_or_name
from ecgpipe.evaluate.results import is_area

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
    """Of its file."""

    title: Words
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    """By the column's kind: text; words in both languages; an integer; a metric with its interval,
    or a bare number."""

    row_metrics: tuple[str, ...] = ()
    """Of each row, which metric it holds in its columns of kind metric."""

    def shown_as(self, column: Column, row: int) -> str:
        """The kind of one cell: that of its column, or of its row's metric."""
        if column.kind != "metric":
            return column.kind
        return "area" if is_area(self.row_metrics[row]) else "share"


def column(key: str, kind: Kind, label: Words | None = None) -> Column:
    """A column with its usual label."""
    return Column(key, word_or_name("columns", key) if label is None else label, kind)
