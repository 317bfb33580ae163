"""An evaluated run -> what its model needs to answer.

Owns what is taken along of data and texts, and what stays: no record, no report, no path.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.apply_model.applied_model import AppliedModel, nearest, unit_rows
from ecgpipe.apply_model.applied_task import AppliedTask, task_from_results
from ecgpipe.apply_model.contract import Contract
from ecgpipe.apply_model.model_content import ModelContent, Vectors, prompts_name
from ecgpipe.cache.vectors.reader import VectorCache
from ecgpipe.config.text import TextConfig
from ecgpipe.embed_text.prompts import keys_of
from ecgpipe.errors import CheckpointError
from ecgpipe.evaluate.results import Results
from ecgpipe.evaluate.tasks.task import Task
from ecgpipe.evaluate.tasks.task_file import LANGUAGES
from ecgpipe.evaluate.tasks.taxonomy import taxonomy_csv
from ecgpipe.provenance import provenance
from ecgpipe.stages.evaluate.evaluate import finished_results
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.texts import bank_sentences, class_sentences, prompt_wordings, with_texts
from ecgpipe.train_ecg.trained_model import ModelEncoder, load_model
from ecgpipe.train_ecg.two_towers import TwoTowers
from ecgpipe.workspace import is_old_run

SHARED_BY = 5
"""Patients that must share a text before its vector leaves the run."""

_MOST_TEXTS = 4096
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
    texts = _trained_texts(experiment, vectors, encoder)
    prompts: dict[str, Vectors] = {}
    nearness: dict[str, Vectors] = {}
    for name, sentences in _prompt_sentences(experiment):
        text_NW = vectors.vectors(keys_of(sentences))
        if not len(text_NW):  # an empty cache row has no width
            text_NW = np.empty((0, vectors.dim), np.float32)
        prompts[name] = encoder.encode_vectors(text_NW)
        nearness[name] = nearest(text_NW - encoder.text_mean, texts)
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


def _trained_texts(
    experiment: Experiment, vectors: VectorCache, encoder: ModelEncoder
) -> npt.NDArray[np.float16]:
    """(n, W) centred unit vectors of texts that at least SHARED_BY training patients have.

    A language model's vector can give its text away, and a text of one patient may say who it is;
    one that several patients share cannot. Of more than 4,096 those with the smallest keys.
    """
    split = experiment.taught.of_split("train")
    text, style = experiment.config.text, experiment.config.train.text
    echo = experiment.echo_definitions
    records, texts = with_texts(split, experiment.taxonomy, text, style, echo)
    patients: dict[str, set[str]] = {}
    for patient, sentences in zip(records.patients, texts, strict=True):
        for sentence in sentences:
            patients.setdefault(sentence, set()).add(patient)
    shared = [sentence for sentence, who in patients.items() if len(who) >= SHARED_BY]
    if not shared:
        return np.empty((0, vectors.dim), np.float16)
    if text.wordings == "bank":
        said = bank_sentences(experiment.taxonomy, text)
        shared = [sentence for name in shared for sentence in said.get(name, [name])]
    keys = keys_of(shared)
    order = np.argsort(keys.view("V32").reshape(-1))[:_MOST_TEXTS]
    centred = vectors.vectors(keys[order]) - encoder.text_mean
    return unit_rows(centred).astype(np.float16)


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
        "training": {**training, "encoder": train.encoder, "loss": train.loss, "text": train.text},
        "evaluated": {key: v for key, v in made.items() if key not in _NOT_OF_MACHINE},
        "exported": {k: v for k, v in provenance().items() if k not in _NOT_OF_MACHINE},
    }
