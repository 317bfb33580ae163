"""train: signals and vectors to a model, unless this very model is there.

Owns what makes a run stale. A run is known by its key: data, vectors and settings, without the
number of epochs, since with a constant learning rate a longer run is the same run continued. A run
folder of another key is set aside, never overwritten.
"""

from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from ecgpipe.config import TrainConfig
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
from ecgpipe.stages.signed import signed
from ecgpipe.stages.texts import task_sentences, with_texts
from ecgpipe.stopping import Stop

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


@signed("train")
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
            if is_first():  # the others wait for it where weights begin alike, in train_model
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
    text, train = experiment.config.text, experiment.config.train
    task = findings_task(experiment)
    records, texts = with_texts(experiment.records, experiment.taxonomy, text, train.text)
    rows = [[r.slot, r.split, list(r.findings)] for r in records.records]
    # With a constant learning rate a longer run is the same run continued.
    idle = _IDLE if train.schedule == "cosine" else (*_IDLE, "epochs")
    return digest_of(
        {
            "version": _VERSION,
            "train": experiment.settings("train", *idle),
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
        if training["run_key"] != key or not _is_long_enough(training, experiment.config.train):
            return None
        whole = sha256_file(folder / "model.safetensors") == card["sha256"]
    except (StoreError, OSError, KeyError, TypeError):
        return None  # none, or damaged: training goes on from its checkpoints and writes it anew
    return card if whole else None


def _is_long_enough(training: Mapping[str, Any], config: TrainConfig) -> bool:
    """Whether it went on for as many epochs as asked, or ended by itself before (patience)."""
    epochs, asked = training["epochs"], training["epochs_asked"]
    return bool(epochs == config.epochs or epochs < min(asked, config.epochs))


def _make_room(experiment: Experiment, key: str) -> None:
    """Set aside a run folder of another key, or one that went on for longer than asked."""
    run = experiment.workspace.run
    jobs = experiment.workspace.jobs
    made = [path for path in run.glob("*") if path != jobs]
    if made and not _may_continue(experiment, key):
        number = 1
        while (old := run.with_name(f"{run.name}.old-{number}")).exists():
            number += 1
        with storing(old):
            if jobs.exists():
                # The job that is doing this may have to be started again from there. run.json
                # goes last: until then the rest still belongs to another key.
                old.mkdir()
                for path in sorted(made, key=lambda path: path.name == "run.json"):
                    path.rename(old / path.name)
            else:
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
    same = isinstance(found, dict) and found.get("run_key") == key
    return (
        same and _epochs_begun(experiment.workspace.checkpoints) <= experiment.config.train.epochs
    )


def _epochs_begun(checkpoints: Path) -> int:
    """How many epochs the newest checkpoint knows of, the one in work included."""
    for path in sorted(checkpoints.glob("step-*/state.json"), reverse=True):
        with suppress(StoreError, KeyError, TypeError):
            state = read_json(path)
            return len(state["history"]) + bool(state["figures"])
    return 0


def findings_task(experiment: Experiment) -> Task:
    """The task by which checkpoints are compared on the validation split: every finding that occurs
    in the records competes."""
    return load_task("findings", experiment.taxonomy, experiment.records.findings)
