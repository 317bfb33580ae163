"""Which run a name or folder means.

Owns the search, and opens the run's experiment with the settings that it was evaluated with.
"""

from collections.abc import Callable
from pathlib import Path

from ecgpipe.config.file import parse_config
from ecgpipe.errors import CheckpointError
from ecgpipe.evaluate.results import read_results
from ecgpipe.stages.experiment import Experiment
from ecgpipe.workspace import evaluation_of, results_path


def open_run(name: str | None, open_experiment: Callable[[], Experiment] | None) -> Experiment:
    """Open the experiment of an evaluated run.

    Args:
        name: the run's folder, or its name in the experiment's work_dir; None: the experiment's own
            run.
        open_experiment: opens the experiment of pipeline.yaml; None if there is none.

    Raises:
        CheckpointError: there is no such run, or it was never evaluated.
        StoreError: its results are damaged.
    """
    if name is not None and results_path(evaluation_of(Path(name))).exists():
        return _experiment_in(Path(name))
    if open_experiment is None:
        what = "No run was named" if name is None else f"{name} is no folder of an evaluated run"
        raise CheckpointError(
            f"{what}, and there is no pipeline.yaml here. Name the folder of a run that was"
            " evaluated (work/runs/NAME), or its pipeline.yaml with -c."
        )
    experiment = open_experiment()
    if name is None or name == experiment.config.name:
        return experiment
    folder = experiment.workspace.runs / name
    if Path(name).name == name and results_path(evaluation_of(folder)).exists():
        return _experiment_in(folder)
    runs = experiment.workspace.runs
    there = sorted(f.name for f in runs.glob("[!.]*") if results_path(evaluation_of(f)).exists())
    raise CheckpointError(
        f"{name}: {runs} holds no evaluated run of that name. Evaluated there:"
        f" {', '.join(there) or 'none'}. Run `ecgpipe eval`."
    )


def _experiment_in(run: Path) -> Experiment:
    """The experiment of the run in this folder, wherever its work_dir lies now."""
    run = run.resolve()
    path = results_path(evaluation_of(run))
    stated = read_results(path)["config"]
    settings = {**stated, "name": run.name, "work_dir": str(run.parents[1])}
    return Experiment(parse_config(settings, run, str(path)))
