"""init, and the four stages: prepare, embed, train, eval, or all of them with run."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from ecgpipe.commands.options import Launch, launch_options, shard_option
from ecgpipe.commands.output import finish, print_json
from ecgpipe.commands.sweep import run_sweep
from ecgpipe.language.choice import chosen_language
from ecgpipe.language.translation import shown

if TYPE_CHECKING:
    from ecgpipe.stages.experiment import Experiment
    from ecgpipe.stages.stage_result import StageResult
    from ecgpipe.stopping import Stop


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("pipeline.yaml"))
@click.option(
    "--language",
    "language",
    type=click.Choice(["ja", "en"]),
    help="Language of the comments. [default: ja in a Japanese locale, else en]",
)
def init(path: Path, language: Literal["ja", "en"] | None) -> None:
    """Write a commented pipeline.yaml to start from."""
    from importlib import resources

    from ecgpipe.errors import StoreError
    from ecgpipe.files import write_atomic

    if path.exists():
        raise StoreError(f"{path} already exists; it was not overwritten.")
    language = language or chosen_language()
    shipped = "pipeline.ja.yaml" if language == "ja" else "pipeline.yaml"
    write_atomic(path, (resources.files("ecgpipe") / shipped).read_bytes())
    wrote = f"Wrote {path}. Edit data.sources and text.model, then: ecgpipe run -c {path}"
    click.echo(shown(wrote))


@click.command()
@launch_options(sweep=True, minutes=True)
def run(launch: Launch) -> None:
    """Do whatever is missing or stale: prepare, embed, train, eval."""
    from ecgpipe.stages.embed import run_embed
    from ecgpipe.stages.evaluate.evaluate import run_eval
    from ecgpipe.stages.prepare import run_prepare
    from ecgpipe.stages.train.train import run_train

    run_sweep([run_prepare, run_embed, run_train, run_eval], launch)


@click.command()
@shard_option
@launch_options(minutes=True)
def prepare(launch: Launch, shard: str | None) -> None:
    """Read recordings into the signal store and the records table."""
    from ecgpipe.processes import share_of_work
    from ecgpipe.stages.prepare import run_prepare_share

    share = share_of_work(shard)

    def run_share(experiment: "Experiment", stop: "Stop") -> "StageResult":
        return run_prepare_share(experiment, stop, share)

    run_sweep([run_share], launch)


@click.command()
@shard_option
@click.option("--explain", is_flag=True, help="Show what the vectors depend on; embed nothing.")
@launch_options(minutes=True)
def embed(launch: Launch, shard: str | None, explain: bool) -> None:
    """Embed every distinct text that has no vector yet."""
    from ecgpipe.processes import share_of_work
    from ecgpipe.stages import embed as embed_stage

    if explain:
        click.echo(shown(embed_stage.explain(launch.experiment())))
        return
    share = share_of_work(shard)

    def run_share(experiment: "Experiment", stop: "Stop") -> "StageResult":
        return embed_stage.run_embed_share(experiment, stop, share)

    run_sweep([run_share], launch)


@click.command()
@click.option(
    "--profile",
    type=click.IntRange(min=1),
    metavar="STEPS",
    help="Measure where the time of this many steps goes; train nothing.",
)
@launch_options(sweep=True, minutes=True)
def train(launch: Launch, profile: int | None) -> None:
    """Train the ECG encoder, or continue where training stopped."""
    from ecgpipe.stages.train.train import run_train

    if profile is None:
        run_sweep([run_train], launch)
        return
    if launch.is_sweep or launch.max_minutes is not None:
        raise click.UsageError(
            "--profile measures one run; leave out --seeds, --grid and --max-minutes."
        )
    from dataclasses import asdict

    from ecgpipe.stages.model_bridge import profile_training

    found = profile_training(launch.experiment(), profile)
    click.echo(shown(found.table()))
    if launch.as_json:
        print_json("profile", asdict(found))


@click.command("eval")
@launch_options(sweep=True, minutes=True)
def eval_command(launch: Launch) -> None:
    """Score the trained model on every task, next to its baselines."""
    from ecgpipe.stages.evaluate.evaluate import run_eval

    run_sweep([run_eval], launch)


@click.command("eval-reports")
@click.option(
    "--rung",
    "rungs",
    type=click.Choice(["template", "nearest", "written"]),
    multiple=True,
    help="Only this one. Repeatable. [default: all]",
)
@click.option(
    "--language",
    type=click.Choice(["ja", "en"]),
    help="Language of reports that are made of findings. [default: text.language]",
)
@launch_options(minutes=True)
def eval_reports(
    launch: Launch,
    rungs: tuple[Literal["template", "nearest", "written"], ...],
    language: Literal["ja", "en"] | None,
) -> None:
    """Score drafts of reports on the test part, beside their controls.

    Compares what drafts assert with the ECGs' own reports, and names each way to write them that
    does not beat shuffled ECGs, blank ECGs and the commonest report. The language model's connector
    is trained if it is not yet, which may take long; stopped, it goes on at the next start.
    """
    from rich.console import Console

    from ecgpipe.stages.reports.ladder import run_eval_reports, show_ladder
    from ecgpipe.stopping import stop_on_signals

    with stop_on_signals(launch.max_minutes) as stop:
        result = run_eval_reports(launch.experiment(), rungs, language, stop)
    width = None if sys.stdout.isatty() else 120
    show_ladder(Path(result.summary["scores"]), Console(width=width), chosen_language())
    click.echo(shown(f"Report: {result.summary['report']}"))
    finish(result, launch.as_json)
