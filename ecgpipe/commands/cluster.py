"""submit, status and stage-in: the stages on a cluster."""

import json
import sys
import time
from pathlib import Path

import click

from ecgpipe.commands.options import Launch, launch_options
from ecgpipe.commands.output import finish, print_json, say


@click.command()
@click.option(
    "--dry-run", is_flag=True, help="Print scripts and commands; write and queue nothing."
)
@click.option("--resume", is_flag=True, help="Queue only what is missing on disk.")
@click.option("--shards", type=click.IntRange(min=1), help="Tasks of the embed array.")
@click.option("--prepare-shards", type=click.IntRange(min=1), help="Tasks of the prepare array.")
@click.option("--nodes", type=click.IntRange(min=1), help="Nodes for training.")
@click.option("--gpus", type=click.IntRange(min=0), help="GPUs on each training node.")
@click.option(
    "--until",
    type=click.Choice(["prepare", "embed", "train", "eval"]),
    default="eval",
    help="The last stage to queue.",
)
@launch_options(sweep=True)
def submit(
    launch: Launch,
    dry_run: bool,
    resume: bool,
    shards: int | None,
    prepare_shards: int | None,
    nodes: int | None,
    gpus: int | None,
    until: str,
) -> None:
    """Queue the stages on Slurm, PBS, Grid Engine or PJM.

    The settings are `cluster:` in pipeline.yaml, or in your own ~/.config/ecgpipe/cluster.yaml. The
    scripts are plain shell, stored in work/jobs/<name>. With --seeds or --grid, every run gets its
    own train and eval job after one prepare and one embed job.
    """
    from ecgpipe.config.file import load_cluster
    from ecgpipe.stages.cluster import submit as submit_stage

    counts = {
        "prepare.shards": prepare_shards,
        "embed.shards": shards,
        "train.nodes": nodes,
        "train.gpus": gpus,
    }
    changes = [f"cluster.{key}={value}" for key, value in counts.items() if value is not None]
    cluster = load_cluster(launch.path, [*launch.overrides, *changes])
    variants, left_out = launch.variants() if launch.is_sweep else ([], [])
    for line in [*left_out, *launch.lines_on_preset()]:
        say(line)
    folder = launch.path.resolve().parent
    done = submit_stage.run_submit(
        launch.experiment(),
        cluster,
        folder,
        variants,
        until=until,
        only_missing=resume,
        dry_run=dry_run,
    )
    click.echo(submit_stage.as_text(done, dry_run))
    if launch.as_json:
        print_json("submit", submit_stage.as_json(done))


@click.command()
@click.option("--watch", is_flag=True, help="Look again and again until everything is done.")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How often --watch looks.",
)
@launch_options(sweep=True)
def status(launch: Launch, watch: bool, every_s: float) -> None:
    """Show how far each stage is, who works on it, and what failed.

    Reads only files, so it works on any machine that sees work_dir. Runs of a sweep are found by
    their names; --seeds and --grid also show those that have not started.
    """
    from ecgpipe.stages.cluster.status import experiment_status
    from ecgpipe.stages.cluster.status_report import as_json, render

    config = launch.config()
    variants = launch.variants()[0] if launch.is_sweep else None
    while True:
        found = experiment_status(config, variants)
        if watch and not launch.as_json and sys.stdout.isatty():
            click.clear()
        summary = json.dumps({"status": as_json(found)}, ensure_ascii=False)
        click.echo(summary if launch.as_json else render(found))
        if not watch or found.is_done:
            return
        try:
            time.sleep(every_s)
        except KeyboardInterrupt:
            return


@click.command("stage-in")
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    help="A folder on this node's own disk. [default: $ECGPIPE_SCRATCH]",
)
@click.option("--signals", is_flag=True, help="Only the signals, for train and eval.")
@click.option("--model", is_flag=True, help="Only the language model, for embed.")
@click.option("--clean", is_flag=True, help="Remove your copies from that folder.")
@launch_options()
def stage_in(launch: Launch, to: Path | None, signals: bool, model: bool, clean: bool) -> None:
    """Copy signals and language model to this node's own disk.

    All its processes share the copies. Prints the line that makes the following commands use them.
    In a batch script:

        eval "$(ecgpipe stage-in --to "$TMPDIR")"
    """
    from ecgpipe.stages.cluster.stage_in import export_line, run_clean, run_stage_in

    if clean:
        finish(run_clean(to), launch.as_json)
        return
    both = signals == model
    result = run_stage_in(launch.experiment(), to, signals=signals or both, model=model or both)
    finish(result, launch.as_json)
    if not launch.as_json:
        click.echo(export_line(result))
