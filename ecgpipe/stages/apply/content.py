"""An evaluated run -> what its model needs to answer.

Owns what is taken along of data and texts, and what stays: no record, no report, no path.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from ecgpipe.apply_model.applied_model import AppliedModel
from ecgpipe.apply_model.applied_task import AppliedTask, task_from_results
from ecgpipe.apply_model.contract import Contract
from ecgpipe.apply_model.model_content import ModelContent, Vectors, prompts_name
from ecgpipe.config.text import TextConfig
from ecgpipe.embed_text.prompts import keys_of
from ecgpipe.errors import CheckpointError
from ecgpipe.evaluate.metrics.nearness import nearest
from ecgpipe.evaluate.results import Results
from ecgpipe.evaluate.tasks.task import Task
from ecgpipe.evaluate.tasks.task_file import LANGUAGES
from ecgpipe.evaluate.tasks.taxonomy import taxonomy_csv
from ecgpipe.provenance import provenance
from ecgpipe.stages.evaluate.evaluate import finished_results
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.texts import class_sentences, prompt_wordings
from ecgpipe.stages.trained_texts import trained_texts
from ecgpipe.train_ecg.trained_model import ModelEncoder, load_model
from ecgpipe.train_ecg.two_towers import TwoTowers
from ecgpipe.workspace import is_old_run

_NOT_OF_MACHINE = ("host", "job", "platform", "git_commit")


def applied_run(experiment: Experiment) -> AppliedModel:
    """The model of an evaluated run, as if it had been exported. Raises as `model_content`."""
    content, model = content_and_model(experiment)
    return AppliedModel(content, model, experiment.config.text.model)


def content_and_model(experiment: Experiment) -> tuple[ModelContent, TwoTowers]:
    """What the model of an evaluated run needs to answer, and the model.

    Raises:
        CheckpointError: the run is not trained and evaluated with these settings.
        StoreError: a prompt has no vector; `ecgpipe embed` makes it.
    """
    results = finished_results(experiment)
    if results is None:
        raise CheckpointError(_why_no_answer(experiment.workspace.run))
    model, card = load_model(experiment.workspace.model)
    vectors = experiment.open_vectors()
    encoder = ModelEncoder(model, experiment.signals.read)
    texts = trained_texts(experiment, vectors, encoder.place_texts)
    prompts: dict[str, Vectors] = {}
    nearness: dict[str, Vectors] = {}
    for name, sentences in _prompt_sentences(experiment):
        text_NW = vectors.vectors(keys_of(sentences))
        if not len(text_NW):  # an empty cache row has no width
            text_NW = np.empty((0, vectors.dim), np.float32)
        prompts[name] = encoder.encode_vectors(text_NW)
        nearness[name] = nearest(encoder.place_texts(text_NW), texts)
    content = ModelContent(
        name=results["run"],
        notice=results["notice"],
        contract=Contract.of(experiment.config.data),
        shape=dataclasses.asdict(card.shape),
        weights_sha256=card.about["sha256"],
        text=_public_text(experiment.config.text),
        vectors=experiment.fingerprint.digest,
        tasks=_applied_tasks(experiment.tasks, results),
        prompts=prompts,
        prompt_nearness=nearness,
        trained_texts=texts,
        taxonomy=taxonomy_csv(experiment.config.data.taxonomy),
        about=_about(experiment, results),
    )
    return content, model


def _why_no_answer(run: Path) -> str:
    """What is said of a run without results of these settings and data, and what to do."""
    if is_old_run(run):
        return (
            f"{run} was set aside because data or settings changed, and answers only with those of"
            " then. Put them back, write `ecgpipe export RUN --to FOLDER`, and correct them again:"
            " an exported model answers whatever becomes of its data. `ecgpipe compare` needs"
            " neither."
        )
    return (
        f"{run} holds no model that was trained and evaluated with these settings and data, so"
        " there are no thresholds and nothing to say how good it is. Run `ecgpipe run`. Only an"
        " exported model answers whatever becomes of its settings and data."
    )


def _prompt_sentences(experiment: Experiment) -> list[tuple[str, list[str]]]:
    """The prompts of every task in both languages, own and members', by `prompts_name`."""
    text, found = experiment.config.text, []
    for task in experiment.tasks:
        for language in LANGUAGES:
            own, of_members = prompt_wordings(task, language)
            for wordings, members in ((own, False), (of_members, True)):
                name = prompts_name(task.name, language, members=members)
                found.append((name, class_sentences(wordings, text, language)))
    return found


def _applied_tasks(tasks: list[Task], results: Results) -> dict[str, AppliedTask]:
    """By name, findings first."""
    ordered = sorted(tasks, key=lambda task: task.name != "findings")
    return {
        task.name: task_from_results(
            task.name,
            results["tasks"][task.name],
            {c.id: c.wordings for c in task.classes},
            {c.id: c.member_names for c in task.classes},
        )
        for task in ordered
    }


def _public_text(text: TextConfig) -> TextConfig:
    """The settings that travel: how a vector is made, and no path of this machine."""
    path = Path(text.model)
    return dataclasses.replace(
        text,
        model=path.name if path.is_absolute() else text.model,
        views=(),
        max_tokens_per_batch=None,
        attention="auto",
    )


def _about(experiment: Experiment, results: Results) -> dict[str, Any]:
    made = results["provenance"]
    splits_of: dict[str, set[str]] = {}
    for record in experiment.records.records:
        splits_of.setdefault(record.patient_id, set()).add(record.split)
    training = {key: results["training"].get(key) for key in ("epochs", "best_epoch", "best_by")}
    train = experiment.config.train
    return {
        "data": dict(results["data"]),
        "sources": sorted({source.kind for source in experiment.config.data.sources}),
        "patients_in_several_parts": sum(len(splits) > 1 for splits in splits_of.values()),
        "text_source": experiment.config.text.source,
        "reach": _reach(results),
        "training": {**training, "encoder": train.encoder, "loss": train.loss, "text": train.text},
        "evaluated": {key: v for key, v in made.items() if key not in _NOT_OF_MACHINE},
        "exported": {k: v for k, v in provenance().items() if k not in _NOT_OF_MACHINE},
    }


def _reach(results: Results) -> dict[str, Any] | None:
    """How far from the texts trained on wordings were scored better than chance; None if this was
    not measured."""
    found = results["analyses"].get("wordings", {}).get("by_distance")
    if not found:
        return None
    return {"limit": found["limit"], "tried": sum(each["wordings"] for each in found["bins"])}
