"""The files of an evaluation besides results.json.

Owns their names: report.html, report.md, tables/*.csv, figures/*.png and *.svg. Each file is
complete or absent; the stage writes results.json after them, so if it exists they do too. Tables
and charts of an earlier evaluation that this one does not make are removed.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from ecgpipe.drawing.plot_rendering import DrawnPlots
from ecgpipe.drawing.rendering import Format
from ecgpipe.evaluate.report.charts import all_charts
from ecgpipe.evaluate.report.csv_files import table_csv
from ecgpipe.evaluate.report.html import render_html
from ecgpipe.evaluate.report.markdown import render_report
from ecgpipe.evaluate.report.tables import all_tables
from ecgpipe.evaluate.results import Results
from ecgpipe.files import storing, write_atomic
from ecgpipe.language.choice import chosen_language
from ecgpipe.stages.show.show import free_name

REPORTS = ("report.md", "report.html")


def write_report_files(folder: Path, results: Results, pictures: Mapping[str, bytes]) -> None:
    """Write reports, tables and charts.

    Args:
        folder: the run's eval folder.
        results: what results.json will hold.
        pictures: by record id, a PNG of each example ECG.

    Raises:
        StoreError: a file cannot be written.
    """
    tables = dict(named_files(((t.name, table_csv(t)) for t in all_tables(results)), "csv"))
    _replace(folder / "tables", tables)
    drawn = DrawnPlots()
    _replace(folder / "figures", dict(_chart_files(results, drawn)))
    write_atomic(folder / "report.md", render_report(results, chosen_language()).encode())
    write_atomic(folder / "report.html", render_html(results, pictures, drawn).encode())


def _chart_files(results: Results, drawn: DrawnPlots) -> Iterator[tuple[str, bytes]]:
    language = results["config"]["text"]["language"]
    charts = list(all_charts(results))
    formats: tuple[Format, ...] = ("png", "svg")
    for format in formats:
        contents = ((chart.name, drawn.bytes_of(chart, language, format)) for chart in charts)
        yield from named_files(contents, format)


def named_files(contents: Iterator[tuple[str, bytes]], suffix: str) -> Iterator[tuple[str, bytes]]:
    """With file names that every disk accepts, since a task may be called anything."""
    taken: set[str] = set()
    for name, content in contents:
        yield free_name(name, suffix, taken), content


def _replace(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        write_atomic(folder / name, content)
    with storing(folder), contextlib.suppress(FileNotFoundError):
        for path in folder.iterdir():
            if path.name not in files and path.suffix in (".csv", ".png", ".svg"):
                path.unlink()
