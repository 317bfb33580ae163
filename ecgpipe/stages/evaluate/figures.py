"""figures: the charts of an evaluation, drawn for a paper.

Owns the widths of a journal's columns. The charts are the report's, from results.json: nothing is
evaluated again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ecgpipe.drawing.fonts import find_fonts
from ecgpipe.drawing.plot_rendering import Size, render_plot
from ecgpipe.drawing.rendering import Format
from ecgpipe.errors import ComparisonError
from ecgpipe.evaluate.report.charts import all_charts
from ecgpipe.evaluate.results import Results, read_results
from ecgpipe.files import write_atomic
from ecgpipe.stages.evaluate.compare import evaluated_folders
from ecgpipe.stages.evaluate.files import named_files
from ecgpipe.stages.experiment import Experiment
from ecgpipe.workspace import evaluation_of, results_path

WIDTH_MM = {1: 85.0, 2: 170.0}
"""Of one and of two columns of an A4 page that has two."""


@dataclass(frozen=True)
class FigureStyle:
    """How figures are drawn."""

    columns: int = 1
    """A key of WIDTH_MM."""

    dpi: int = 300
    """Resolution of PNG files."""

    language: Literal["ja", "en"] | None = None
    """None: the report's."""


def run_figures(
    run: str | None,
    open_experiment: Callable[[], Experiment] | None,
    folder: Path,
    style: FigureStyle,
) -> list[Path]:
    """Draw every chart of an evaluation as PNG and SVG; returns the files.

    Args:
        run: as `evaluated_folders` takes it; None: the experiment's own run.
        open_experiment: opens the experiment; None if there is none.
        folder: where to write; files of the same names are replaced.
        style: size and language.

    Raises:
        ComparisonError: `run` is not one evaluated run.
        StoreError: results.json is missing or damaged, or a file cannot be written.
    """
    files = []
    for name, content in _figures(_results(run, open_experiment), style):
        write_atomic(folder / name, content)
        files.append(folder / name)
    return files


def _results(run: str | None, open_experiment: Callable[[], Experiment] | None) -> Results:
    if run is not None:
        folder, *others = evaluated_folders(run, open_experiment)
        if others:
            names = ", ".join(each.name for each in (folder, *others))
            raise ComparisonError(f"{run} means several runs: {names}. Name one.")
        return read_results(results_path(evaluation_of(folder)))
    if open_experiment is None:
        raise ComparisonError(
            "No run was named, and there is no pipeline.yaml here. Name the folder of a run that"
            " was evaluated (work/runs/NAME), or its pipeline.yaml with -c."
        )
    return read_results(results_path(open_experiment().workspace.evaluation))


def _figures(results: Results, style: FigureStyle) -> Iterator[tuple[str, bytes]]:
    language = style.language or results["config"]["text"]["language"]
    size, fonts = Size(WIDTH_MM[style.columns], style.dpi, titled=False), find_fonts()
    formats: tuple[Format, ...] = ("png", "svg")
    for format in formats:
        drawn = (
            (chart.name, render_plot(chart, fonts, language, format, size))
            for chart in all_charts(results)
        )
        yield from named_files(drawn, format)
