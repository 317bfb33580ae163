"""train: signals and vectors to a model, unless this very model is there.

Owns what makes a run stale. A run is known by its key: data, vectors and settings, without the
number of epochs, since with a constant learning rate a longer run is the same run continued. A run
folder of another key is set aside, never overwritten.
"""

from contextlib import nullcontext
from typing import Any

from ecgpipe.config_file import config_as_yaml
from ecgpipe.embed_text.prompts import keys_of
from ecgpipe.errors import StoreError
from ecgpipe.evaluate.tasks import Task, load_task
from ecgpipe.files import (
    digest_of,
    only_one,
    read_json,
    read_json_object,
    sha256_file,
    storing,
    write_atomic,
    write_json_atomic,
)
from ecgpipe.processes import is_first
from ecgpipe.provenance import provenance
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.outcome import Outcome
from ecgpipe.stages.texts import class_sentences, with_sentence
from ecgpipe.stopping import Stop

_VERSION = 1  # raised when the same key would give another model


def run_train(experiment: Experiment, stop: Stop) -> Outcome:
    """Train, or continue, or find that nothing is to do.

    Raises:
        SourceError: the training split is empty.
        StoreError: vectors are missing, or the run's folder cannot be written.
        Others as `ecgpipe.train_ecg.training.train`.
    """
    key = run_key(experiment)
    model = finished_model(experiment, key)
    did_work = model is None
    if model is None:
        # Imported here because torch takes seconds, and most runs find nothing to do.
        from ecgpipe.stages.model_joint import train_model

        lock = experiment.workspace.run_lock
        with only_one(lock, "trains this run") if is_first() else nullcontext():
            if is_first():  # the others wait for it where processes first meet, in train_model
                _make_room(experiment, key)
            train_model(experiment, key, findings_task(experiment), stop)
        model = finished_model(experiment, key)
        assert model is not None, "training ended without a model"
    training = model["training"]
    value = training["val"][training["best_by"]]
    line = (
        f"{'' if did_work else 'nothing to do: '}{training['epochs']} epochs trained; the best by"
        f" validation {training['best_by']}"
        f" ({'undefined' if value is None else f'{value:.3f}'}) is epoch {training['best_epoch']}"
    )
    return Outcome("train", did_work, line, {"model": str(experiment.workspace.model), **training})


def run_key(experiment: Experiment) -> str:
    """What the trained model depends on, besides how long it is trained."""
    text, task = experiment.config.text, findings_task(experiment)
    records, sentences = with_sentence(experiment.records, experiment.taxonomy, text)
    rows = [[r.slot, r.split, list(r.findings)] for r in records.records]
    return digest_of(
        {
            "version": _VERSION,
            "train": experiment.settings("train", "epochs", "preset"),
            "signals": experiment.prepared.signals_digest,
            "records": digest_of(rows),
            "texts": keys_of(sentences).tobytes().hex(),
            "vectors": experiment.fingerprint.digest,
            "validation": [
                task.digest,
                class_sentences(task.wording(text.language), text),
                experiment.config.eval.min_positives,
            ],
        }
    )


def finished_model(experiment: Experiment, key: str) -> dict[str, Any] | None:
    """config.json of the model of this key, whole and trained for as many epochs as asked."""
    folder = experiment.workspace.model
    try:
        card = read_json_object(folder / "config.json", ("training", "sha256"), "")
        training = card["training"]
        _ = training["val"][training["best_by"]]
        if training["run_key"] != key or training["epochs"] != experiment.config.train.epochs:
            return None
        whole = sha256_file(folder / "model.safetensors") == card["sha256"]
    except (StoreError, OSError, KeyError, TypeError):
        return None  # none, or damaged: training goes on from its checkpoints and writes it anew
    return card if whole else None


def _make_room(experiment: Experiment, key: str) -> None:
    """Set aside a run folder of another key, or one that went on for longer than asked."""
    run = experiment.workspace.run
    if run.exists() and not _may_continue(experiment, key):
        number = 1
        while (old := run.with_name(f"{run.name}.old-{number}")).exists():
            number += 1
        with storing(old):
            run.rename(old)
    write_atomic(run / "config.yaml", config_as_yaml(experiment.config).encode())
    write_json_atomic(
        run / "run.json",
        {"format": "ecgpipe-run/1", "run_key": key, "provenance": provenance()},
    )


def _may_continue(experiment: Experiment, key: str) -> bool:
    try:
        found = read_json(experiment.workspace.run / "run.json")
    except StoreError:
        return False
    names = [path.name for path in experiment.workspace.checkpoints.glob("epoch-*")]
    numbers = [name.removeprefix("epoch-") for name in names]
    epochs_done = max((int(number) for number in numbers if number.isdecimal()), default=0)
    same = isinstance(found, dict) and found.get("run_key") == key
    return same and epochs_done <= experiment.config.train.epochs


def findings_task(experiment: Experiment) -> Task:
    """The task by which checkpoints are compared on the validation split: every finding that occurs
    in the records competes."""
    return load_task("findings", experiment.taxonomy, experiment.records.findings)
