"""What commands print: a line to stderr, a stage's result, a comparison.

Owns which stream it goes to: stdout carries what was asked for, stderr how it went.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecgpipe.language.choice import chosen_language
from ecgpipe.language.translation import shown

if TYPE_CHECKING:
    from ecgpipe.stages.stage_result import StageResult


def say(line: str) -> None:
    """Print one line to stderr; a closed terminal is no error."""
    from ecgpipe.progress import say  # imported here: it is half of what --help would import

    say(line)


def print_json(command: str, values: Any) -> None:
    """Print a command's summary as one line."""
    click.echo(json.dumps({command: values}, ensure_ascii=False))


def finish(result: "StageResult", as_json: bool) -> None:
    """Print how a command of a single stage ended."""
    say(f"{result.stage}: {result.line}")
    report([result], as_json)


def report(results: "Sequence[StageResult]", as_json: bool) -> None:
    """Print the results table of the last stage, if it has one, and the summaries as JSON."""
    if len(results) > 1 and not any(result.did_work for result in results):
        say("Everything is up to date; no work was done.")
    if "results" in results[-1].summary:
        from rich.console import Console

        from ecgpipe.evaluate.report.terminal import print_results
        from ecgpipe.evaluate.results import read_results

        width = None if sys.stdout.isatty() else 120
        read = read_results(Path(results[-1].summary["results"]))
        print_results(read, Console(width=width), chosen_language())
        click.echo(shown(f"Report: {results[-1].summary['report']}"))
    if as_json:
        done = {o.stage: {"did_work": o.did_work, **o.summary} for o in results}
        click.echo(json.dumps(done, ensure_ascii=False))


def print_comparison(comparison: dict[str, Any], paper: bool, out: Path | None = None) -> None:
    """Print runs side by side, and write them to a file as well."""
    from rich.console import Console

    from ecgpipe.evaluate.compare import report
    from ecgpipe.evaluate.compare.published import publications
    from ecgpipe.files import write_atomic, write_json_atomic
    from ecgpipe.spreadsheet import csv_bytes, xlsx_bytes

    papers, language = publications() if paper else (), comparison["language"]
    width = None if sys.stdout.isatty() else 160
    report.print_comparison(comparison, papers, language, Console(width=width))
    if out is None:
        return
    ending = out.suffix.casefold()
    if ending == ".json":
        write_json_atomic(out, comparison)
    elif ending in (".csv", ".xlsx"):
        write = csv_bytes if ending == ".csv" else xlsx_bytes
        write_atomic(out, write(report.LIST_COLUMNS, report.list_rows(comparison, language)))
    else:
        write_atomic(out, report.render_comparison(comparison, papers, language).encode())
    say(f"compare: wrote {out}")
