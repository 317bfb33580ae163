"""Results to the tables a terminal shows.

Owns their layout; the rows are the report's.
"""

from rich.console import Console
from rich.table import Table

from ecgpipe.evaluate.report import (
    LEGEND,
    absent_classes,
    class_columns,
    class_rows,
    summary_rows,
)
from ecgpipe.evaluate.results import Results


def print_results(results: Results, console: Console) -> None:
    """Print every task: its classes, then its summary beside the baselines."""
    for name, task in results["tasks"].items():
        title = f"{name} · {task['title']['ja']} · {task['n']:,} ECGs of the {task['split']} split"
        if results["notice"]:
            title += f"\n{results['notice']}"
        classes = Table(title=title, title_justify="left")
        for number, column in enumerate(class_columns(task)):
            classes.add_column(column, justify="left" if number < 2 else "right")
        for row in class_rows(task):
            classes.add_row(*row)
        console.print(classes)
        if absent := absent_classes(task):
            console.print(f"not shown by any of these ECGs: {'、'.join(absent)}")
        summary = Table()
        summary.add_column("figure")
        for column in ("model", "random encoder", "class prior"):
            summary.add_column(column, justify="right")
        for row in summary_rows(task):
            summary.add_row(*row)
        console.print(summary)
    console.print(LEGEND)
