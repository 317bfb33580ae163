"""compare, figures and show: runs side by side, their charts, and ECGs as pictures."""

import sys
from pathlib import Path
from typing import Literal

import click

from ecgpipe.commands.options import Launch, launch_options
from ecgpipe.commands.output import print_comparison, print_json, say
from ecgpipe.errors import EcgpipeError

_DPI = click.IntRange(72, 1200)


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Also write the comparison to a file ending in .md, .csv, .xlsx or .json.",
)
@click.option("--paper", is_flag=True, help="Add published results, which are of different data.")
@click.option("--each", is_flag=True, help="Do not average runs that differ only in train.seed.")
@click.option(
    "--draws",
    type=click.IntRange(min=100),
    default=2000,
    show_default=True,
    help="Bootstrap draws of patients.",
)
@launch_options()
def compare(
    launch: Launch, runs: tuple[str, ...], out: Path | None, paper: bool, each: bool, draws: int
) -> None:
    """Compare evaluated runs, each with the first.

    RUN is a run's name in work_dir/runs, or a folder, of a run or of one of its evaluations
    (RUN/evals/KEY). RUN.old-1 was set aside. * matches anything: 'name+*'. Differences are on the
    same ECGs and the same draws of patients. Runs that differ only in their seed share one
    column, with their mean.
    """
    from ecgpipe.stages.evaluate.compare import run_compare

    if out is not None and out.suffix.casefold() not in (".md", ".csv", ".xlsx", ".json"):
        raise click.UsageError(f"--out must end in .md, .csv, .xlsx or .json, not {out}.")
    opener = launch.experiment_opener()
    comparison = run_compare(runs, opener, draws=draws, average_seeds=not each)
    print_comparison(comparison, paper, out)
    if launch.as_json:
        print_json("compare", comparison)


@click.command()
@click.argument("run", required=False, metavar="[RUN]")
@click.option(
    "-o",
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("figures"),
    show_default=True,
    help="The folder to write into.",
)
@click.option(
    "--language", type=click.Choice(["ja", "en"]), help="[default: text.language of the run]"
)
@click.option(
    "--columns",
    type=click.IntRange(1, 2),
    default=1,
    show_default=True,
    help="The width: one column of a journal (85 mm) or two (170 mm).",
)
@click.option(
    "--dpi",
    type=_DPI,
    default=300,
    show_default=True,
    help="Resolution of the PNG files.",
)
@launch_options()
def figures(
    launch: Launch,
    run: str | None,
    folder: Path,
    language: Literal["ja", "en"] | None,
    columns: int,
    dpi: int,
) -> None:
    """Draw the charts of a report for a paper, as PNG and SVG.

    RUN is a run's name in work_dir/runs, or a folder, as `compare` takes it; by default
    pipeline.yaml's own run. Letters have the same size in both widths; titles are left to the text
    under a figure. Existing files of the same names are replaced.
    """
    from ecgpipe.stages.evaluate.figures import FigureStyle, run_figures

    style = FigureStyle(columns, dpi, language)
    files = run_figures(run, launch.experiment_opener(), folder, style)
    say(f"figures: wrote {len(files)} files into {folder}")
    if launch.as_json:
        print_json("figures", {"files": [str(file) for file in files]})


@click.command()
@click.argument("records", nargs=-1, metavar="[RECORD]...")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="A file ending in .png or .svg, or a folder. [default: this folder]",
)
@click.option("--format", "file_format", type=click.Choice(["png", "svg"]), help="[default: png]")
@click.option(
    "--start",
    "start_s",
    type=click.FloatRange(min=0),
    help="Where to begin in a long RECORD, in seconds.",
)
@click.option(
    "--language",
    type=click.Choice(["ja", "en"]),
    help="Language of a RECORD's sheet. [default: text.language, else en]",
)
@click.option(
    "--dpi",
    type=_DPI,
    default=254,
    show_default=True,
    help="Resolution of a PNG; at the default all grid lines are equally sharp.",
)
@click.option(
    "--font",
    type=click.Path(path_type=Path),
    help="A font file with Japanese characters; $ECGPIPE_FONT does the same.",
)
@click.option(
    "--suspects", is_flag=True, help="Draw pages of small ECGs that `check` finds suspicious."
)
@click.option(
    "-n",
    "most",
    type=click.IntRange(min=1),
    default=12,
    show_default=True,
    help="How many suspects to draw, six to a page.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help="How many recordings to search for suspects; the same ones that `check` opens.",
)
@click.option("--all", "every", is_flag=True, help="Search every recording for suspects.")
@launch_options()
def show(
    launch: Launch,
    records: tuple[str, ...],
    out: Path | None,
    file_format: Literal["png", "svg"] | None,
    start_s: float | None,
    language: Literal["ja", "en"] | None,
    dpi: int,
    font: Path | None,
    suspects: bool,
    most: int,
    sample: int,
    every: bool,
) -> None:
    """Draw ECGs on a standard sheet: 25 mm/s, 10 mm/mV, A4.

    RECORD is a record id of the experiment, or the path of any recording that can be read; the
    sheet then carries its file name. It never carries a patient's id. An existing file of the same
    name is replaced.
    """
    from ecgpipe.stages.show.show import Style, run_show
    from ecgpipe.stages.show.suspects import run_show_suspects

    if bool(records) == suspects:
        raise click.UsageError("Name one or more records, or use --suspects.")
    style = Style(file_format, start_s, font, language, dpi)
    if suspects:
        shown = run_show_suspects(launch.config(), most, None if every else sample, out, style)
    else:
        shown = run_show(records, launch.experiment_opener(), out, style)
    for file in shown.files:
        say(f"show: wrote {file}")
    for remark in shown.remarks:
        say(f"show: {remark}")
    for name, message in shown.failed.items():
        say(f"ecgpipe: {name}: {message}")
    if launch.as_json:
        print_json("show", {"files": [str(f) for f in shown.files], "failed": shown.failed})
    if shown.failed:
        sys.exit(EcgpipeError.exit_code)
