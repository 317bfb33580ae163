"""Which pieces of a work_dir some settings need, as they are written.

Owns the rules: the prepared data of each file, and of the runs of its sweeps; their runs; a model
that another run begins with; the evaluation that the settings ask for, and the one shown last.
Where it cannot be told what is needed, everything is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from ecgpipe.config.file import config_as_dict, load_config, load_yaml
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.config.places import without_places
from ecgpipe.errors import EcgpipeError, StoreError
from ecgpipe.stages.clean_up.contents import Piece
from ecgpipe.stages.evaluate.evaluate import finished_results
from ecgpipe.stages.experiment import Experiment
from ecgpipe.workspace import Workspace, is_old_run, run_config_path


def experiments_of(
    configs: Sequence[PipelineConfig], runs: Sequence[Piece], remarks: list[str]
) -> list[Experiment] | None:
    """The experiments of settings and of their sweeps' runs on disk.

    Returns:
        None if the settings of a run cannot be read; `remarks` then says of which.
    """
    found = [Experiment(config, may_download=False) for config in configs]
    for run, config in ((run, c) for run in runs for c in configs if _is_variant(run, c)):
        (folder,) = run.paths
        try:
            own = load_config(run_config_path(folder))
            own = replace(own, work_dir=config.work_dir)  # it may have been moved
            found.append(Experiment(own, may_download=False))
        except EcgpipeError:
            remarks.append(f"What {run.name} needs is unknown: its settings cannot be read.")
            return None
    return found


def needed_data(experiments: Iterable[Experiment], remarks: list[str]) -> set[str] | None:
    """The names, without ending, of the signal stores and records tables of experiments.

    Returns:
        None if one of them is not prepared: its preparation may take over what it does not need
        yet. `remarks` then says which.

    Raises:
        SourceError: a table is missing, or a root is unusable.
    """
    found: set[str] = set()
    seen: list[Any] = []
    for experiment in experiments:
        data = without_places(config_as_dict(experiment.config)["data"])
        if data in seen:  # as of all runs of most sweeps
            continue
        seen.append(data)
        try:
            prepared = experiment.find_prepared()
        except StoreError:  # damaged
            prepared = None
        if prepared is None:
            remarks.append(
                f"Signals and records are left alone: {experiment.config.name} is not prepared as"
                " its tables and settings are now, and may take over earlier signals. Run `ecgpipe"
                " prepare` first."
            )
            return None
        workspace = experiment.workspace
        found.add(workspace.signals(prepared.signals_digest).stem)
        found.add(experiment.planned_signals().stem)
        found.add(workspace.records(prepared.digest).stem)
    return found


def needed_runs(configs: Sequence[PipelineConfig], runs: Sequence[Piece]) -> set[str]:
    """The names of the runs of settings and of their sweeps, and of those that others begin
    with."""
    begun_with = {c.train.init_from for c in configs} | {_init_from(run.paths[0]) for run in runs}
    sources = [path.resolve() for path in begun_with if path is not None]
    names = {config.name for config in configs}
    return {
        run.paths[0].name
        for run in runs
        if run.paths[0].name in names
        or any(_is_variant(run, config) for config in configs)
        or any(source == run.paths[0] or run.paths[0] in source.parents for source in sources)
    }


def needed_evaluation(experiment: Experiment) -> Path | None:
    """The folder of the evaluation that the settings ask for; None if there is none.

    Raises:
        EcgpipeError: it cannot be told on this machine.
    """
    if experiment.known_fingerprint_of(experiment.config.text.view) is None:
        raise StoreError("the language model's weights have not been hashed yet")
    results = finished_results(experiment)
    return None if results is None else experiment.workspace.evaluation_with(results["key"])


def base_of(run: str, work_dir: Path) -> Workspace:
    """The workspace of a run, or of the one as which it was set aside."""
    return Workspace(work_dir, Path(run).stem if is_old_run(Path(run)) else run)


def _is_variant(run: Piece, config: PipelineConfig) -> bool:
    (folder,) = run.paths
    return folder.name.startswith(f"{config.name}+") and not is_old_run(folder)


def _init_from(run: Path) -> Path | None:
    try:
        settings = load_yaml(run_config_path(run).read_text(encoding="utf-8"))
        return Path(settings["train"]["init_from"])
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError):
        return None
