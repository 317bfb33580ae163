"""export: a run's model as a folder that travels."""

from pathlib import Path

import click

from ecgpipe.commands.options import Launch, launch_options
from ecgpipe.commands.output import finish


@click.command()
@click.argument("run", required=False, metavar="[RUN]")
@click.option(
    "--to",
    "folder",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The folder to write: new, empty, or an older export, which is replaced.",
)
@click.option(
    "--without-patients",
    is_flag=True,
    help="Leave out the digests of patient ids; training cannot go on from such a model.",
)
@launch_options()
def export(launch: Launch, run: str | None, folder: Path, without_patients: bool) -> None:
    """Export a trained and evaluated model as a folder that needs nothing else.

    RUN is a run's name in work_dir/runs, or a folder; by default pipeline.yaml's own run. The
    folder scores ECGs without the run, the language model or, with ONNX Runtime, without ecgpipe.
    It is written whole or not at all.
    """
    from ecgpipe.stages.apply.export import run_export
    from ecgpipe.stages.apply.runs import open_run

    experiment = open_run(run, launch.experiment_opener())
    finish(run_export(experiment, folder, with_patients=not without_patients), launch.as_json)
