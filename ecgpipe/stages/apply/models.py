"""Which trained model a name on the command line means.

Owns the choice between an exported folder and a run.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ecgpipe.apply_model.applied_model import AppliedModel, load_model
from ecgpipe.apply_model.export.model_folder import CONFIG, MANIFEST
from ecgpipe.apply_model.export.model_hub import is_hub_name
from ecgpipe.errors import CheckpointError
from ecgpipe.workspace import evaluation_of, results_path

if TYPE_CHECKING:
    from ecgpipe.stages.experiment import Experiment


def open_model(
    name: str, open_experiment: "Callable[[], Experiment] | None", text_model: str | None = None
) -> AppliedModel:
    """Open a trained model.

    Args:
        name: an exported folder, or such a model on the hub as NAME@COMMIT; a run's folder, or a
            run's name in the experiment's work_dir.
        open_experiment: opens the experiment of pipeline.yaml; None if there is none.
        text_model: a folder or file of its language model; None: where its name leads.

    Raises:
        CheckpointError: there is no such model, or it is damaged.
        StoreError: the run's results or vectors are damaged or missing.
    """
    folder = Path(name)
    if is_hub_name(name) or (folder / MANIFEST).is_file() or (folder / CONFIG).is_file():
        return load_model(folder, text_model=text_model)
    if open_experiment is None and not results_path(evaluation_of(folder)).exists():
        raise CheckpointError(
            f"{name} is no model: neither a folder that `ecgpipe export` wrote nor that of an"
            " evaluated run (work/runs/NAME). To name a run only, give its pipeline.yaml with -c."
        )
    # Imported here because an evaluation's modules take a second, and a folder needs none of them.
    from ecgpipe.stages.apply.content import applied_run
    from ecgpipe.stages.apply.runs import open_run

    return applied_run(open_run(name, open_experiment))
