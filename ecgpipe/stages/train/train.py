"""train: signals and vectors to a model, unless this very model is there.

Owns what makes a run stale. A run is known by its key: data, vectors and settings, without the
number of epochs and the patience, since with a constant learning rate a longer run is the same run
continued.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import fields
from typing import Any

from ecgpipe.config.train import TrainConfig
from ecgpipe.embed_text.prompts import keys_of
from ecgpipe.errors import StoreError
from ecgpipe.evaluate.tasks.task import Task, load_task
from ecgpipe.files import digest_of, only_one, read_json_object, sha256_file
from ecgpipe.heartbeat import heartbeat
from ecgpipe.processes import is_first, share_of_work, world
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.stage_result import StageResult
from ecgpipe.stages.texts import task_sentences, with_texts
from ecgpipe.stages.train.run_folder import RunFolder
from ecgpipe.stopping import Stop
from ecgpipe.train_ecg.loop.early_stopping import last_epoch

_VERSION = 2  # raised when the same key would give another model

# Settings that change how fast and how often, not what comes out.
_IDLE = (
    "preset",
    "placement",
    "compile",
    "cuda_graph",
    "log_every",
    "checkpoint_minutes",
    "keep_checkpoints",
)


def run_train(experiment: Experiment, stop: Stop) -> StageResult:
    """Train, or continue, or find that nothing is to do.

    Raises:
        SourceError: the training split is empty.
        StoreError: vectors are missing, or the run's folder cannot be written.
        Others as `ecgpipe.train_ecg.loop.training.train`.
    """
    with heartbeat(experiment.workspace.status, "train", share_of_work(None)) as set_message:
        result = _run_train(experiment, stop)
        set_message(result.line)
    return result


def _run_train(experiment: Experiment, stop: Stop) -> StageResult:
    key = run_key(experiment)
    model = finished_model(experiment, key)
    did_work = False
    if model is None:
        path = experiment.workspace.run_lock
        with only_one(path, "trains this run") if is_first() else nullcontext():
            did_work = _train(experiment, key, stop)
        model = finished_model(experiment, key)
        assert model is not None, "training ended without a model"
    training = model["training"]
    value = training["val"][training["best_by"]]
    line = (
        f"{'' if did_work else 'nothing to do: '}{training['epochs']} epochs trained; the best by"
        f" validation {training['best_by']}"
        f" ({'undefined' if value is None else f'{value:.3f}'}) is epoch {training['best_epoch']}"
    )
    if training["epochs"] < experiment.config.train.epochs:
        line += "; train.patience ended it"
    figures = {name: value for name, value in training.items() if name != "values"}
    return StageResult(
        "train", did_work, line, {"model": str(experiment.workspace.model), **figures}
    )


def _train(experiment: Experiment, key: str, stop: Stop) -> bool:
    """Train the run, unless one of these settings that was set aside is done; whether it was."""
    folder = run_folder(experiment, key)
    if world() == 1:  # several must not come to different answers
        folder.take_back(done_only=True)
        if finished_model(experiment, key) is not None:
            return False

    # Imported here because torch takes seconds, and most runs find nothing to do.
    from ecgpipe.stages.model_bridge import train_model

    train_model(experiment, key, findings_task(experiment), stop, folder.begin)
    return True


def run_folder(experiment: Experiment, key: str) -> RunFolder:
    """The folder of this run."""
    config = experiment.config
    counted = "eval.min_positives"
    names = {
        *(f"train.{name}" for name in ("patience", *_idle(config.train))),
        *(f"eval.{field.name}" for field in fields(config.eval)),
        *("name", "work_dir", "notice"),
    }
    return RunFolder(experiment.workspace, config, key, frozenset(names - {counted}))


def _idle(train: TrainConfig) -> tuple[str, ...]:
    # With a constant learning rate a longer run is the same run continued.
    return _IDLE if train.schedule == "cosine" else (*_IDLE, "epochs")


def run_key(experiment: Experiment) -> str:
    """What the trained model depends on, besides how long it is trained."""
    text, train = experiment.config.text, experiment.config.train
    task = findings_task(experiment)
    records, texts = with_texts(experiment.records, experiment.taxonomy, text, train.text)
    rows = [[r.slot, r.split, list(r.findings)] for r in records.records]
    return digest_of(
        {
            "version": _VERSION,
            # Patience counted once; without it the keys are those of before.
            "train": experiment.settings("train", *_idle(train)) | {"patience": None},
            "signals": experiment.prepared.signals_digest,
            "records": digest_of(rows),
            "texts": digest_of([keys_of(single).tobytes().hex() for single in texts]),
            "vectors": experiment.fingerprint.digest,
            "validation": [
                task.digest,
                task_sentences(task, text),
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
        if training["run_key"] != key or not _is_over(training, experiment.config.train):
            return None
        whole = sha256_file(folder / "model.safetensors") == card["sha256"]
    except (StoreError, OSError, KeyError, TypeError):
        return None  # none, or damaged: training goes on from its checkpoints and writes it anew
    return card if whole else None


def _is_over(training: Mapping[str, Any], train: TrainConfig) -> bool:
    """Whether training ends with these settings where it ended."""
    last = last_epoch(training["values"], train.epochs, train.patience)
    return bool(last == training["epochs"])


def findings_task(experiment: Experiment) -> Task:
    """The task by which checkpoints are compared on the validation split: every finding that occurs
    in the records competes."""
    return load_task("findings", experiment.taxonomy, experiment.records.findings)
