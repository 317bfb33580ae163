"""What the user's own tables call a column. Owns the way back from our names to theirs."""

from collections.abc import Sequence
from typing import Literal

from ecgpipe.config.data import DataConfig, TableColumns, TableSource
from ecgpipe.stages.check.table_rows import CheckedRow

Column = Literal[
    "record_id", "patient_id", "path", "findings", "report", "age", "sex", "recorded_at"
]


def column_name(rows: Sequence[CheckedRow], column: Column, config: DataConfig) -> str:
    """What the tables of these rows call a column; our name where they differ or are no tables."""
    sources = {checked.source.name for checked in rows}
    called = {
        own_name(source.columns, column) if isinstance(source, TableSource) else column
        for source in config.sources
        if source.called in sources
    }
    return called.pop() if len(called) == 1 else column


def own_name(columns: TableColumns, column: Column) -> str:
    """What a table calls a column."""
    name: str | None = getattr(columns, column)
    return name or column
