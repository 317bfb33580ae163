"""check, findings, verify and gc: the input before a run, its words, the stored data after one."""

import sys
from pathlib import Path

import click

from ecgpipe.commands.options import Launch, launch_options
from ecgpipe.commands.output import finish, print_json, say
from ecgpipe.errors import EcgpipeError
from ecgpipe.language.translation import shown, shown_word


@click.command()
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help="How many recordings to open; always the same ones.",
)
@click.option("--all", "every", is_flag=True, help="Open every recording.")
@click.option(
    "--list",
    "list_path",
    type=click.Path(path_type=Path),
    help="Write every row of every problem to a CSV file. It holds record ids and the text of"
    " unknown findings: treat it as patient data.",
)
@launch_options()
def check(launch: Launch, sample: int, every: bool, list_path: Path | None) -> None:
    """Find what to fix before you book a GPU.

    Prints `ready`, or every problem with what to do about it, worst first.
    """
    from ecgpipe.files import write_atomic
    from ecgpipe.stages.check.check import run_check
    from ecgpipe.stages.check.report import as_json, as_list, render

    config = launch.config()
    for line in launch.lines_on_preset():
        say(line)
    report = run_check(config, None if every else sample)
    click.echo(render(report))
    if list_path is not None:
        write_atomic(list_path, as_list(report))
        say(f"check: every row is listed in {list_path}")
    if launch.as_json:
        print_json("check", as_json(report))
    if not report.ready:
        sys.exit(EcgpipeError.exit_code)


@click.command()
@click.option("--dry-run", is_flag=True, help="Report what is damaged; move nothing.")
@launch_options()
def verify(launch: Launch, dry_run: bool) -> None:
    """Check every stored signal, record and vector.

    Damaged vector parts are moved to bad/; signals are never moved.
    """
    from ecgpipe.stages.verify import run_verify

    finish(run_verify(launch.experiment(), not dry_run), launch.as_json)


@click.command()
@click.option(
    "-c",
    "--config",
    "paths",
    type=click.Path(path_type=Path),
    multiple=True,
    default=(Path("pipeline.yaml"),),
    show_default="pipeline.yaml",
    help="An experiment's settings. Repeat it for every file that shares the work_dir: what none"
    " of the GIVEN files needs is listed.",
)
@click.option(
    "--remove",
    is_flag=True,
    help="Remove what is listed and can be made again: everything but trained runs.",
)
@click.option(
    "--run",
    "runs",
    multiple=True,
    metavar="NAME",
    help="With --remove: also this run of the list. Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a one-line JSON summary last.")
def gc(paths: tuple[Path, ...], remove: bool, runs: tuple[str, ...], as_json: bool) -> None:
    """List what no pipeline.yaml needs any more, with sizes; remove it on request.

    Earlier signals and records tables, runs that were set aside or that no file names, evaluations
    of other settings, and what killed processes left. Files count as they are written, without the
    --set of earlier commands. Text vectors, exported models and files that ecgpipe did not write
    are never touched, nor anything that a process works on.
    """
    from ecgpipe.config.file import load_config
    from ecgpipe.stages.clean_up.clean_up import as_text, run_clean_up

    if runs and not remove:
        raise click.UsageError("--run says what --remove removes; give both.")
    found, result = run_clean_up([load_config(path) for path in paths], remove, runs)
    if text := as_text(found):
        click.echo(shown(text))
    finish(result, as_json)


@click.command()
@click.argument("word", default="")
@click.option(
    "--taxonomy",
    "name",
    help="A list by its name or path. [default: the experiment's; findings98 without one]",
)
@click.option(
    "--markdown",
    "page_language",
    type=click.Choice(["ja", "en"]),
    help="Print the whole list as a Markdown page in this language.",
)
@click.option(
    "--csv",
    "as_csv",
    is_flag=True,
    help="Print the list as its own file: add synonyms, and name yours in data.taxonomy.",
)
@launch_options()
def findings(
    launch: Launch, word: str, name: str | None, page_language: str | None, as_csv: bool
) -> None:
    """List the known findings with their synonyms.

    WORD: only those with a name that contains it, in either language.
    """
    from rich.console import Console
    from rich.table import Table

    from ecgpipe.evaluate.findings_page import findings_page
    from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy, taxonomy_csv

    opener = launch.experiment_opener()
    if name is None:
        name = opener().config.data.taxonomy if opener else "findings98"
    taxonomy = load_taxonomy(name)
    if page_language is not None or as_csv:
        if (word or launch.as_json) or (page_language and as_csv):
            raise click.UsageError(
                "--markdown or --csv prints the whole list: leave out WORD, --json and the other."
            )
        whole = findings_page(taxonomy, page_language) if page_language else taxonomy_csv(name)
        click.echo(whole, nl=False)
        return
    found = taxonomy.matching(word)
    if found:
        heads = map(shown_word, ("id", "japanese", "english", "synonyms"))
        table = Table(*heads, box=None, pad_edge=False)
        for each in found:
            table.add_row(each.id, each.japanese, each.english, ", ".join(each.synonyms))
        Console(width=None if sys.stdout.isatty() else 160).print(table, markup=False)
    else:
        say(f"ecgpipe: no finding of {name} has {word!r} in its names; {taxonomy.advice(word)}")
    if launch.as_json:
        rows = [{"id": f.id, "japanese": f.japanese, "english": f.english,
                 "synonyms": f.synonyms, "ambiguous": f.ambiguous} for f in found]  # fmt: skip
        print_json("findings", {"taxonomy": name, "findings": rows})
    if not found:
        sys.exit(EcgpipeError.exit_code)
