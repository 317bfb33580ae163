"""train: signals and vectors to a model, unless that model already exists.

Owns what makes a run stale. A run is identified by its key: data, vectors and settings, but not the
patience, nor the number of epochs with a constant learning rate, where a longer run is a shorter
one continued.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import fields, replace
from typing import Any

from ecgpipe.apply_model.export.model_folder import PATIENTS
from ecgpipe.apply_model.export.patients import write as write_patients
from ecgpipe.cache.records_table import RecordsTable
from ecgpipe.config.text import TextConfig
from ecgpipe.config.train import TrainConfig
from ecgpipe.embed_text.prompts import keys_of
from ecgpipe.errors import ConfigError, StoreError
from ecgpipe.evaluate.tasks.echo_definitions import EchoDefinitions
from ecgpipe.evaluate.tasks.wordings import load_bank
from ecgpipe.files import digest_of, only_one, read_json_object, sha256_file
from ecgpipe.heartbeat import heartbeat
from ecgpipe.processes import is_first, share_of_work, world
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.init_from import SourceModel, find_source, refuse_leaks
from ecgpipe.stages.stage_result import StageResult
from ecgpipe.stages.texts import bank_sentences, echo_sentences, task_sentences, with_texts
from ecgpipe.stages.train.run_folder import RunFolder
from ecgpipe.stopping import Stop
from ecgpipe.train_ecg.loop.early_stopping import last_epoch

_VERSION = 2  # raised when the same key would give another model
_AXES_VERSION = 3  # the same for runs with train.text_axes; others need not be trained again

# Settings that change how fast or how long a run trains, not what it computes.
_NOT_IN_KEY = (
    "preset",
    "patience",
    "placement",
    "compile",
    "cuda_graph",
    "log_every",
    "checkpoint_minutes",
    "keep_checkpoints",
)


def run_train(experiment: Experiment, stop: Stop) -> StageResult:
    """Train, continue, or find that there is nothing to do.

    Raises:
        ConfigError: train.init_from is the run itself, or a model of another shape.
        SourceError: the training split is empty, or train.init_from has seen patients that it must
            not have.
        StoreError: vectors are missing, train.init_from holds no usable model, or the run's folder
            cannot be written.
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
        f"{'' if did_work else 'nothing to do: '}{training['epochs']:,} epochs trained; the best by"
        f" validation {training['best_by']}"
        f" ({'undefined' if value is None else f'{value:.3f}'}) is epoch {training['best_epoch']}"
    )
    if training["epochs"] < experiment.config.train.epochs:
        line += "; train.patience ended it"
    summary = {name: value for name, value in training.items() if name != "values"}
    summary = {"model": str(experiment.workspace.model), **summary}
    return StageResult("train", did_work, line, summary)


def _train(experiment: Experiment, key: str, stop: Stop) -> bool:
    """Train the run, unless a finished one was set aside; returns whether it trained."""
    folder = run_folder(experiment, key)
    if world() == 1:  # several processes could decide differently
        folder.take_back(done_only=True)
        if finished_model(experiment, key) is not None:
            return False

    source = _checked_source(experiment)

    def begin() -> None:
        folder.begin()
        _keep_patients(experiment, source)

    # Imported here because torch takes seconds, and most runs find nothing to do.
    from ecgpipe.stages.model_bridge import train_model

    train_model(experiment, key, experiment.ranking_task, stop, begin, source)
    return True


def _begins_with(experiment: Experiment) -> SourceModel | None:
    """The model to begin with, if one is named."""
    folder = experiment.config.train.init_from
    if folder is None:
        return None
    if folder.resolve() == experiment.workspace.run.resolve():
        raise ConfigError(
            f"train.init_from: {folder} is this run's own folder, which would be set aside. Give"
            " this run another `name`."
        )
    return find_source(folder)


def _checked_source(experiment: Experiment) -> SourceModel | None:
    """The same, once it may be used."""
    source = _begins_with(experiment)
    if source is not None:
        source.check_files()
        refuse_leaks(((r.patient_id, r.split) for r in experiment.records.records), source)
    return source


def _keep_patients(experiment: Experiment, source: SourceModel | None) -> None:
    """Write whom the run learns from and is judged by, for an export and for `train.init_from`."""
    patients: dict[str, set[str]] = {}
    for record in experiment.records.records:
        patients.setdefault(record.split, set()).add(record.patient_id)
    path = experiment.workspace.run / PATIENTS
    write_patients(path, patients, source.patients() if source else None)


def run_folder(experiment: Experiment, key: str) -> RunFolder:
    """The folder of this run."""
    config = experiment.config
    in_key = "eval.min_positives"
    names = {
        *(f"train.{name}" for name in _not_in_key(config.train)),
        *(f"eval.{field.name}" for field in fields(config.eval)),
        *("name", "work_dir", "notice"),
    }
    config = replace(config, train=experiment.train_config)
    not_in_key = frozenset(names - {in_key})
    return RunFolder(experiment.workspace, config, key, not_in_key, lambda: _contents(experiment))


def _not_in_key(train: TrainConfig) -> tuple[str, ...]:
    # With a constant learning rate a longer run is a shorter one continued.
    return _NOT_IN_KEY if train.schedule == "cosine" else (*_NOT_IN_KEY, "epochs")


def run_key(experiment: Experiment) -> str:
    """A digest of what the trained model depends on, besides how long it is trained."""
    return digest_of(_dependencies(experiment))


def _contents(experiment: Experiment) -> dict[str, str]:
    """Digests of what a run depends on besides settings, by what is said of one that differs."""
    on = _dependencies(experiment)
    texts = [on.get(name) for name in ("echo", "bank", "held_out", "texts", "validation")]
    return dict(
        [
            ("other recordings", on["signals"]),
            ("another split or other findings", on["records"]),
            ("other texts", digest_of(texts)),
            ("other vectors", on["vectors"]),
            ("another model to begin with", on.get("init_from", "")),
            ("another version of ecgpipe", digest_of(on["version"])),
        ]
    )


def _dependencies(experiment: Experiment) -> dict[str, Any]:
    """All that the trained model depends on, besides how long it is trained."""
    text, train = experiment.config.text, experiment.config.train
    task = experiment.ranking_task
    begins_with = _begins_with(experiment)
    # A run from before these settings is still the same run.
    later = ("unseen_findings", "text_axes", "beat_intervals")
    unset = [name for name in later if not getattr(train, name)]
    echo = experiment.echo_definitions if train.text != "sentence" else None
    records, texts = with_texts(experiment.records, experiment.taxonomy, text, train.text, echo)
    rows = [[r.slot, r.split, list(r.findings)] for r in records.records]
    return {
        "version": [_VERSION, _AXES_VERSION] if train.text_axes else _VERSION,
        "train": {
            **experiment.settings("train", "init_from", *_not_in_key(train), *unset),
            "best_by": experiment.train_config.best_by,
        },
        **({"init_from": begins_with.sha256} if begins_with else {}),
        "signals": experiment.prepared.signals_digest,
        "records": digest_of(rows),
        **({"echo": _echo_digest(echo, records, text)} if echo else {}),
        **({"bank": _bank_digest(experiment)} if text.wordings == "bank" else {}),
        **({"held_out": _held_out_digest(experiment)} if train.best_by == "wordings" else {}),
        "texts": digest_of([keys_of(single).tobytes().hex() for single in texts]),
        "vectors": experiment.fingerprint.digest,
        "validation": [
            task.digest,
            task_sentences(task, text),
            experiment.config.eval.min_positives,
        ],
    }


def _echo_digest(echo: EchoDefinitions, records: RecordsTable, text: TextConfig) -> str:
    """What training depends on of echocardiograms besides the texts: what is known, of whom."""
    known = [list(record.echo_known) for record in records.records]
    return digest_of([known, echo_sentences(echo, text)])


def _bank_digest(experiment: Experiment) -> str:
    said = bank_sentences(experiment.taxonomy, experiment.config.text).values()
    return digest_of([keys_of(sentences).tobytes().hex() for sentences in said])


def _held_out_digest(experiment: Experiment) -> str:
    held_out = load_bank(experiment.taxonomy).held_out.values()
    return digest_of([[each.language, each.text] for wordings in held_out for each in wordings])


def finished_model(experiment: Experiment, key: str) -> dict[str, Any] | None:
    """config.json of the model with this key, if it is intact and fully trained."""
    folder = experiment.workspace.model
    try:
        card = read_json_object(folder / "config.json", ("training", "sha256"), "")
        training = card["training"]
        _ = training["val"][training["best_by"]]
        if training["run_key"] != key or not _is_over(training, experiment.config.train):
            return None
        intact = sha256_file(folder / "model.safetensors") == card["sha256"]
    except (StoreError, OSError, KeyError, TypeError):
        return None  # missing or damaged: training writes it again from its checkpoints
    return card if intact else None


def _is_over(training: Mapping[str, Any], train: TrainConfig) -> bool:
    """Whether training with these settings would end where it ended."""
    last = last_epoch(training["values"], train.epochs, train.patience)
    return bool(last == training["epochs"])
