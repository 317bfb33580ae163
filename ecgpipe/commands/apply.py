"""predict, report, search and serve: a trained model's answers."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ecgpipe.commands.options import Command, Launch, launch_options
from ecgpipe.commands.output import print_json, say
from ecgpipe.errors import EcgpipeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ecgpipe.stages.apply.predict import PredictResult

_file = click.Path(path_type=Path)
_text_model = click.option(
    "--text-model",
    metavar="FOLDER",
    help="Where its language model lies, for wordings without a kept vector.",
)
_language = click.option(
    "--language",
    type=click.Choice(["ja", "en"]),
    help="Language of the answers shown, and of the prompt that a wording is put into. [default:"
    " the one the model was trained in; for a wording, the one it is written in]",
)


_workers = click.option(
    "--workers", type=click.IntRange(min=1), help="Processes that read. [default: auto]"
)


def _model_and_recordings(command: Command) -> Command:
    """What `predict` and `report` are asked about."""
    for add in (
        click.option(
            "--split", type=click.Choice(["train", "val", "test"]), help="Of the records of -c."
        ),
        click.option(
            "--root", type=_file, help="What the table's paths start from. [default: its folder]"
        ),
        click.option(
            "--table", type=_file, help="Rows instead of INPUT: columns record_id and path."
        ),
        click.argument("inputs", nargs=-1, metavar="[INPUT]..."),
        click.argument("model"),
    ):  # the last is shown first
        command = add(command)
    return command


@click.command()
@_model_and_recordings
@click.option("-o", "--out", type=_file, help="A file ending in .csv, .parquet or .jsonl.")
@click.option("--vectors", type=_file, help="Also write an archive of vectors, for `search`: .h5.")
@click.option(
    "-k", type=click.IntRange(min=1), default=5, show_default=True, help="Findings for each ECG."
)
@click.option("--task", help="Which task's classes to choose from. [default: findings]")
@click.option("--ask", multiple=True, metavar="TEXT", help="A wording of your own. Repeatable.")
@click.option("--ask-file", type=_file, help="A text file of them, one a line.")
@click.option(
    "--prevalence",
    is_flag=True,
    help="Also give probabilities for how frequent findings are among these ECGs.",
)
@click.option(
    "--explain",
    multiple=True,
    metavar="FINDING",
    help="Draw what its score hangs on: leads, tenths of a second. Needs --sheets. Repeatable.",
)
@click.option("--sheets", type=_file, metavar="FOLDER", help="Where --explain writes its pictures.")
@_workers
@_text_model
@_language
@launch_options(minutes=True)
def predict(
    launch: Launch,
    model: str,
    inputs: tuple[str, ...],
    table: Path | None,
    root: Path | None,
    split: str | None,
    out: Path | None,
    vectors: Path | None,
    k: int,
    task: str | None,
    ask: tuple[str, ...],
    ask_file: Path | None,
    explain: tuple[str, ...],
    sheets: Path | None,
    prevalence: bool,
    workers: int | None,
    text_model: str | None,
    language: Literal["ja", "en"] | None,
) -> None:
    """Ask a trained model about ECGs; labels are not needed.

    MODEL is an exported folder, a run's folder, or a run's name. INPUT are recordings of any
    format, folders (searched to any depth), or patterns; without INPUT and --table, the records of
    -c. One bad recording is named with its reason, and the rest goes on; then the exit code is 1.
    A command with --out or --vectors that was stopped goes on where it stopped when it is started
    again.
    """
    # Before torch is imported: its threads would spin beside the readers, which cost 8 %.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from ecgpipe.stages.apply.inputs import choose_inputs
    from ecgpipe.stages.apply.models import open_model
    from ecgpipe.stages.apply.predict import PredictOptions, run_predict
    from ecgpipe.stopping import stop_on_signals

    opener = launch.experiment_opener()
    chosen = choose_inputs(inputs, table, root, split, opener)
    opened = open_model(model, opener, text_model)
    if opened.content.notice:
        say(opened.content.notice)
    options = PredictOptions(
        task=task,
        k=k,
        questions=ask,
        questions_file=ask_file,
        language=language,
        explain=explain,
        sheets=sheets,
        prevalence=prevalence,
        out=out,
        vectors=vectors,
        workers=workers,
    )
    show = _shower(language or opened.content.text.language) if out is None else None
    with stop_on_signals(launch.max_minutes) as stop:
        result = run_predict(opened, chosen, options, stop, show)
    _say_refusals(result, with_reasons=show is None)
    _say_result(result)
    _end("predict", result, launch)


def _shower(language: Literal["ja", "en"]) -> "Callable[[Mapping[str, Any]], None]":
    """Prints one ECG's answer to stdout."""
    from rich.console import Console

    from ecgpipe.commands.answers import print_prediction

    console = Console(width=None if sys.stdout.isatty() else 120)
    return lambda row: print_prediction(row, language, console)


@click.command()
@_model_and_recordings
@click.option("-o", "--out", type=_file, help="A file ending in .csv or .jsonl; in both languages.")
@click.option(
    "--rung",
    type=click.Choice(["template", "nearest", "written"]),
    default="template",
    show_default=True,
    help="What writes it: the findings; the report of the nearest training ECG of another patient;"
    " or the language model, trained by `eval-reports`.",
)
@_workers
@click.option(
    "--language",
    type=click.Choice(["ja", "en"]),
    help="Language of the reports shown. [default: the one the model was trained in]",
)
@launch_options(minutes=True)
def report(
    launch: Launch,
    model: str,
    inputs: tuple[str, ...],
    table: Path | None,
    root: Path | None,
    split: str | None,
    out: Path | None,
    rung: Literal["template", "nearest", "written"],
    workers: int | None,
    language: Literal["ja", "en"] | None,
) -> None:
    """Draft a report for each ECG: the findings above their thresholds, as a text.

    MODEL and INPUT are as for `predict`, and so is what becomes of a bad recording. Every report
    says that it is a draft by a research model, and no diagnosis. The other rungs need a run, which
    keeps what they take. For --rung nearest it must be known whose ECG each INPUT is: give a
    --table with the column patient_id, or the records of -c.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in `predict`
    from ecgpipe.stages.apply.inputs import choose_inputs
    from ecgpipe.stages.apply.models import open_model
    from ecgpipe.stages.apply.report import run_report
    from ecgpipe.stopping import stop_on_signals

    opener = launch.experiment_opener()
    chosen = choose_inputs(inputs, table, root, split, opener)
    if rung == "template":
        opened, writer = open_model(model, opener, None), None
    else:
        # Imported here because a run's modules take a second, and an exported folder needs none.
        from ecgpipe.stages.reports.rungs import of_known_patients, open_rung

        opened, writer = open_rung(model, rung, language, opener)
        chosen = of_known_patients(chosen) if rung == "nearest" else chosen
    if opened.content.notice:
        say(opened.content.notice)
    spoken = language or opened.content.text.language

    def show(row: "Mapping[str, Any]") -> None:
        click.echo(f"{row['record_id']}\n  {row['reports'][spoken] or row['refused']}")

    with stop_on_signals(launch.max_minutes) as stop:
        shown = show if out is None else None
        result = run_report(opened, chosen, out, workers, stop, shown, writer)
    _say_refusals(result, with_reasons=out is not None)
    for file in result.files:
        say(f"report: wrote {file}")
    say(f"report: {result.n_answered:,} drafts, {result.n_refused:,} recordings refused")
    _end("report", result, launch)


def _end(command: str, result: "PredictResult", launch: Launch) -> None:
    """Sum up for programs; refused recordings make the exit code 1."""
    if launch.as_json:
        print_json(command, _summary(result))
    if result.n_refused:
        sys.exit(EcgpipeError.exit_code)


def _say_refusals(result: "PredictResult", with_reasons: bool) -> None:
    for name, reason in result.refused.items() if with_reasons else ():
        say(f"ecgpipe: {name}: {reason}")
    if with_reasons and (more := result.n_refused_now - len(result.refused)) > 0:
        say(f"ecgpipe: {more:,} more were refused; the output has the reason of each.")


def _say_result(result: "PredictResult") -> None:
    for row in result.prevalence:
        say(
            f"predict: {row['names']['en']}: {row['known']:.1%} where the model was validated,"
            f" {row['found']:.1%} here"
        )
    if result.n_sheets:
        say(f"predict: {result.n_sheets:,} sheets drawn")
    for file in result.files:
        say(f"predict: wrote {file}")
    earlier = f" ({result.n_earlier:,} of them by an earlier start)" if result.n_earlier else ""
    refused = f"; {result.n_refused:,} refused" if result.n_refused else ""
    say(f"predict: {result.n_answered:,} ECGs answered{refused}{earlier}")


def _summary(result: "PredictResult") -> dict[str, Any]:
    return {
        "answered": result.n_answered,
        "refused": result.n_refused,
        "reasons": result.refused,
        "sheets": result.n_sheets,
        "files": [str(file) for file in result.files],
        "prevalence": result.prevalence,
    }


@click.command()
@click.argument("model")
@click.argument("text", required=False)
@click.option("--like", metavar="RECORD", help="A record id, or the path of a recording.")
@click.option("--archive", type=_file, help="Vectors that `predict --vectors` wrote.")
@click.option("--split", type=click.Choice(["train", "val", "test"]), help="Of the records of -c.")
@click.option(
    "-n", "most", type=click.IntRange(min=1), default=20, show_default=True, help="How many."
)
@click.option("-o", "--out", type=_file, help="Also write them to a .csv file.")
@click.option("--sheet", type=_file, help="Also draw them, six to a page: .png or .svg.")
@_text_model
@_language
@launch_options()
def search(
    launch: Launch,
    model: str,
    text: str | None,
    like: str | None,
    archive: Path | None,
    split: str | None,
    most: int,
    out: Path | None,
    sheet: Path | None,
    text_model: str | None,
    language: Literal["ja", "en"] | None,
) -> None:
    """Find the ECGs that fit a sentence, or that resemble one ECG, best first.

    MODEL is an exported folder, a run's folder, or a run's name. It searches the vectors of
    --archive, which the same model must have made, or the prepared signals of -c.
    """
    from ecgpipe.stages.apply.models import open_model
    from ecgpipe.stages.apply.search import Query, as_rows, open_searched, run_search

    if (text is None) == (like is None):
        raise click.UsageError("Give a TEXT or --like RECORD, and not both.")
    if out is not None and out.suffix.casefold() != ".csv":
        raise click.UsageError(f"--out must end in .csv, not {out}.")
    opener = launch.experiment_opener()
    opened = open_model(model, opener, text_model)
    if opened.content.notice:
        say(opened.content.notice)
    searched = open_searched(opened, archive, split, opener)
    query = Query(text=text, like=like, language=language)
    result = run_search(opened, searched, query, most, out, sheet)
    if result.distance is not None:
        say(f"search: this wording lies {result.distance:.3f} from the nearest one trained on")
    for match in result.matches:
        click.echo(f"{match.rank:>4}  {match.cosine:.3f}  {match.record_id}  {match.path}".rstrip())
    for file in result.files:
        say(f"search: wrote {file}")
    for name, reason in result.failed.items():
        say(f"ecgpipe: {name} cannot be drawn: {reason}")
    if launch.as_json:
        print_json("search", {"matches": as_rows(result), "searched": result.n_searched})
    if result.failed:
        sys.exit(EcgpipeError.exit_code)


@click.command()
@click.argument("model")
@click.option(
    "--archive", type=_file, help="Vectors of `predict --vectors`, to find similar ECGs in."
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Where to listen. Another address opens the page to other machines.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8750, show_default=True, help="0: any free."
)
@_text_model
@launch_options()
def serve(
    launch: Launch, model: str, archive: Path | None, host: str, port: int, text_model: str | None
) -> None:
    """Open a page of this machine on which a trained model answers about a dropped recording.

    MODEL is an exported folder, a run's folder, or a run's name. The address that is printed holds
    a secret; only who has it may ask. Recordings are kept in memory only. Ctrl-C ends it.
    """
    from ecgpipe.stages.apply.models import open_model
    from ecgpipe.stages.apply.serve import run_serve

    opened = open_model(model, launch.experiment_opener(), text_model)
    run_serve(opened, archive, host, port, click.echo)
