"""The command line: parse, call one function, print.

Owns the commands and the exit codes a batch system sees: 0 done; 1 something to mend; 2 bad usage
or settings; 75 stopped early with everything saved. Imports next to nothing, so that `--help`
answers at once.
"""

import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecgpipe import __version__
from ecgpipe.errors import EcgpipeError
from ecgpipe.processes import is_first

if TYPE_CHECKING:
    from ecgpipe.stages.experiment import Experiment
    from ecgpipe.stages.outcome import Outcome
    from ecgpipe.stopping import Stop

    StageFunction = Callable[[Experiment, Stop], Outcome]


class _Commands(click.Group):
    """Shows an EcgpipeError as one paragraph with its exit code; anything else is our bug."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EcgpipeError as error:
            click.echo(f"ecgpipe: {error}", err=True)
            ctx.exit(error.exit_code)
        except OSError as error:  # a disk or permission we did not foresee is still no bug
            click.echo(f"ecgpipe: {error}.", err=True)
            ctx.exit(EcgpipeError.exit_code)


def _make_printable() -> None:
    """A terminal without Japanese shows '?', and one that was closed nothing, after hours of work.

    Without this the last print would end in an error.
    """
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _common(command: Callable[..., None]) -> Callable[..., None]:
    """The options every stage takes."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON summary line last."),
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            help="Override a setting, for example train.epochs=20; repeat for more.",
        ),
        click.option(
            "-c",
            "--config",
            "path",
            type=click.Path(path_type=Path),
            default=Path("pipeline.yaml"),
            show_default=True,
            help="The experiment.",
        ),
    ):
        command = option(command)
    return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ecgpipe")
def main() -> None:
    """Teach an ECG encoder the report language of a hospital.

    A frozen language model reads every distinct report and label once (embed); then only an ECG
    encoder is trained against the kept vectors (train). For research; not a medical device.
    """
    _make_printable()


@main.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("pipeline.yaml"))
def init(path: Path) -> None:
    """Write a commented pipeline.yaml to start from."""
    from importlib import resources

    from ecgpipe.errors import StoreError
    from ecgpipe.files import write_atomic

    if path.exists():
        raise StoreError(f"{path} is there already; it is not overwritten.")
    write_atomic(path, (resources.files("ecgpipe") / "pipeline.yaml").read_bytes())
    click.echo(f"Wrote {path}. Edit data.sources and text.model, then: ecgpipe run -c {path}")


@main.command()
@_common
def prepare(path: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Read recordings into the signal store and the table of records."""
    from ecgpipe.stages.prepare_stage import run_prepare

    _run_stages([run_prepare], path, overrides, as_json)


@main.command()
@_common
def embed(path: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Let the language model read every distinct text that has no vector yet."""
    from ecgpipe.stages.embed_stage import run_embed

    _run_stages([run_embed], path, overrides, as_json)


@main.command()
@_common
def train(path: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Train the ECG encoder and the projections; continues where it was stopped."""
    from ecgpipe.stages.train_stage import run_train

    _run_stages([run_train], path, overrides, as_json)


@main.command("eval")
@_common
def eval_command(path: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Score the trained model on every task, beside its baselines."""
    from ecgpipe.stages.eval_stage import run_eval

    _run_stages([run_eval], path, overrides, as_json)


@main.command()
@_common
def run(path: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Do what is missing or stale: prepare, embed, train, eval."""
    from ecgpipe.stages.embed_stage import run_embed
    from ecgpipe.stages.eval_stage import run_eval
    from ecgpipe.stages.prepare_stage import run_prepare
    from ecgpipe.stages.train_stage import run_train

    _run_stages([run_prepare, run_embed, run_train, run_eval], path, overrides, as_json)


def _run_stages(
    stages: "Sequence[StageFunction]", path: Path, overrides: Sequence[str], as_json: bool
) -> None:
    from ecgpipe.config_file import load_config
    from ecgpipe.stages.experiment import Experiment
    from ecgpipe.stopping import stop_on_signals

    experiment = Experiment(load_config(path, overrides))
    outcomes = []
    with stop_on_signals() as stop:
        for stage in stages:
            outcome = stage(experiment, stop)
            outcomes.append(outcome)
            if is_first():
                click.echo(f"{outcome.stage}: {outcome.line}", err=True)
    if is_first():
        _report(outcomes, as_json)


def _report(outcomes: "Sequence[Outcome]", as_json: bool) -> None:
    _show(outcomes)
    if as_json:
        done = {o.stage: {"did_work": o.did_work, **o.summary} for o in outcomes}
        click.echo(json.dumps(done, ensure_ascii=False))


def _show(outcomes: "Sequence[Outcome]") -> None:
    if len(outcomes) > 1 and not any(outcome.did_work for outcome in outcomes):
        click.echo("Everything is up to date; no work was done.", err=True)
    if "results" in outcomes[-1].summary:
        from rich.console import Console

        from ecgpipe.evaluate.results import read_results
        from ecgpipe.evaluate.tables import print_results

        width = None if sys.stdout.isatty() else 120
        print_results(read_results(Path(outcomes[-1].summary["results"])), Console(width=width))
        click.echo(f"Report: {outcomes[-1].summary['report']}")
