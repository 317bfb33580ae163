"""check and verify: the input before a run, and the stored data after one."""

import sys
from pathlib import Path

import click

from ecgpipe.commands.options import Launch, launch_options
from ecgpipe.commands.output import finish, print_json, say
from ecgpipe.errors import EcgpipeError


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
        # With a byte-order mark: Excel needs it to recognise UTF-8.
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
