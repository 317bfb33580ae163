"""Ways to write reports that need what a run keeps: reports of its ECGs, or a trained writer.

Owns where their texts come from, and whom they may be used for.
"""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ecgpipe.apply_model.applied_model import AppliedModel
from ecgpipe.apply_model.export.model_folder import CONFIG, MANIFEST
from ecgpipe.apply_model.export.model_hub import is_hub_name
from ecgpipe.apply_model.recordings import Input
from ecgpipe.config.settings import Language
from ecgpipe.errors import CheckpointError, SourceError
from ecgpipe.files import digest_of
from ecgpipe.stages.apply.content import applied_run
from ecgpipe.stages.apply.runs import open_run
from ecgpipe.stages.apply.search import PreparedEcgs
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.references import with_reports
from ecgpipe.stages.reports.writers import written_reports
from ecgpipe.write_report.nearest import NearestReports
from ecgpipe.write_report.rung import Rung, RungName


def open_rung(
    name: str,
    rung: RungName,
    language: Language | None,
    open_experiment: Callable[[], Experiment] | None,
) -> tuple[AppliedModel, Rung]:
    """The model of a run, and a rung that needs what the run keeps.

    Args:
        name: the run's folder, or its name in the experiment's work_dir.
        rung: any but the template.
        language: that a writer was trained in; None: the experiment's.
        open_experiment: opens the experiment of pipeline.yaml; None if there is none.

    Raises:
        CheckpointError: it is an exported model, or no evaluated run.
        ModelError: text.model cannot write.
        SourceError: there are no reports to take from.
        StoreError: the run's data are damaged or missing.
    """
    if is_hub_name(name) or any((Path(name) / file).is_file() for file in (MANIFEST, CONFIG)):
        raise CheckpointError(
            f"{name} is an exported model, and those hold no text of any report, as --rung {rung}"
            " needs. Name the run that it was exported from (work/runs/NAME), or use --rung"
            " template."
        )
    experiment = open_run(name, open_experiment)
    model = applied_run(experiment)
    if rung == "nearest":
        return model, nearest_reports(experiment, model)
    spoken = language or experiment.config.text.language
    return model, written_reports(experiment, model, spoken, None)


def nearest_reports(experiment: Experiment, model: AppliedModel) -> NearestReports:
    """The reports of an experiment's training ECGs, by the vectors of its model.

    Raises:
        SourceError: they are of fewer than two patients.
    """
    prepared = PreparedEcgs(model, experiment, "train", "report")
    vectors_MD = np.concatenate([*prepared.blocks()])
    row_of = {record.slot: row for row, record in enumerate(prepared.records)}
    records, texts = with_reports(experiment, experiment.taught.of_split("train").records)
    patients = [record.patient_id for record in records]
    if len(set(patients)) < 2:
        raise SourceError(
            f"--rung nearest takes the report of another patient's ECG, and"
            f" {experiment.config.name} has training ECGs with {experiment.config.text.source} of"
            f" {len(set(patients))} patients. Use --rung template."
        )
    said = {
        "rung": "nearest",
        "model": model.digest,
        "records": experiment.prepared.digest,
        "source": experiment.config.text.source,
    }
    rows = [row_of[record.slot] for record in records]
    return NearestReports(digest_of(said), vectors_MD[rows], patients, texts)


def of_known_patients(
    inputs: Callable[[], Iterator[Input]],
) -> Callable[[], Iterator[Input]]:
    """The same inputs, of which those are refused of which nobody says whose they are."""

    def checked() -> Iterator[Input]:
        for given in inputs():
            if given.patient_id or given.open is None:
                yield given
            else:
                yield dataclasses.replace(given, open=None, refusal=_NO_PATIENT)

    return checked


_NO_PATIENT = (
    "nothing says whose ECG it is, so the nearest report could be of the same patient. Give a"
    " --table with a column patient_id, spelled as in the training data, or the records of -c"
)
