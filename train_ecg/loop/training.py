"""The train stage: epochs against kept text vectors, validated, saved and resumed.

Owns the loop. accelerate drives one or many processes. The order of records, their texts and their
augmentation are functions of (seed, epoch, record) alone, so a run that was stopped or killed
continues from its last checkpoint, even in the middle of an epoch, with the same results.
n = steps of an epoch, B = global batch, b = this process's rows.
"""

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from ecgpipe.config.train import PlacementSetting, TrainConfig
from ecgpipe.errors import ConfigError, EcgpipeError, StoppedEarly
from ecgpipe.files import write_json_atomic
from ecgpipe.progress import Tick, progress
from ecgpipe.stopping import Stop
from ecgpipe.train_ecg.data.pairing import Rows, epoch_batches
from ecgpipe.train_ecg.data.placement import PlacedSignals, ReadSignals, TrainSignals
from ecgpipe.train_ecg.loop.accelerator import group_left_open_after_errors, make_accelerator
from ecgpipe.train_ecg.loop.early_stopping import best_epoch, last_epoch
from ecgpipe.train_ecg.loop.rank_consensus import RankConsensus
from ecgpipe.train_ecg.loop.ranks import Ranks
from ecgpipe.train_ecg.loop.run_log import RunLog
from ecgpipe.train_ecg.loop.run_state import RunState
from ecgpipe.train_ecg.loop.schedule import learning_rate
from ecgpipe.train_ecg.loop.step import METRICS, Step, missed_capture, step_for
from ecgpipe.train_ecg.losses.objective import Objective, RecordTexts
from ecgpipe.train_ecg.starting_point import StartingPoint, check_same_shape
from ecgpipe.train_ecg.text_axes import fit_text_axes
from ecgpipe.train_ecg.text_meanings import meaning_logits
from ecgpipe.train_ecg.torch_errors import translate_torch_errors
from ecgpipe.train_ecg.trained_model import ModelEncoder
from ecgpipe.train_ecg.two_towers import ModelShape, TwoTowers, initialised

Validate = Callable[[ModelEncoder], Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The training split: its signals, and the texts of each record. N = records."""

    signals: TrainSignals
    texts: RecordTexts
    read_signals: ReadSignals
    """Any record of the store by slot: validation reads records that are not in `signals`."""

    record_ids: Sequence[str]
    """(N,) to name bad records in a file; never logged."""


@dataclass(frozen=True, kw_only=True)
class TrainInputs:
    """What `train` needs."""

    config: TrainConfig
    shape: ModelShape
    data: TrainingData

    folder: Path
    """The run's; gets checkpoints/, log.jsonl, steps.jsonl and model/."""

    run_key: str
    """Identifies data and settings; a checkpoint with another key is refused."""

    about: Mapping[str, Any]
    """Kept in the model folder's config.json."""

    on_validate: Validate
    """Returns a model's metrics on the validation split; they must include config.best_by."""

    stop: Stop
    """Checked between steps."""

    start: StartingPoint | None = None
    """Where the weights begin; None: at random."""

    on_begin: Callable[[], None] = lambda: None
    """Called by the first process once no setting can be refused any more, before `folder` is
    read."""


@dataclass(frozen=True)
class Trained:
    """How a run ended."""

    epochs: int
    best_epoch: int
    best_value: float | None
    history: list[dict[str, Any]]
    resumed_from: int
    """Steps that were done before, and loaded from a checkpoint."""


def train(inputs: TrainInputs) -> Trained:
    """Train to config.epochs, from the last checkpoint in the run's folder if there is one.

    Raises:
        ConfigError: fewer records than a batch, a batch that is not a multiple of the number of
            processes, weights to begin with of another shape, or a setting that this machine
            cannot honour.
        CheckpointError: the checkpoints are another run's, or all are damaged, or the best epoch's
            is.
        EcgpipeError: the loss or the weights are not finite, memory is too small, or another
            process has ended.
        StoppedEarly: a signal was received or the time was up; every finished step is saved.
    """
    config, folder = inputs.config, inputs.folder
    with group_left_open_after_errors():
        accelerator = make_accelerator()
        with translate_torch_errors(config, accelerator.num_processes):
            run = _Run(inputs, accelerator)
            accelerator.wait_for_everyone()  # others may still be reading the folder
            if accelerator.is_main_process:
                inputs.on_begin()
            accelerator.wait_for_everyone()
            resumed = run.resume()
            with progress("train", run.steps_to_do(), "steps") as tick:
                while not run.finished():
                    run.epoch(tick)
            if accelerator.is_main_process:
                run.state.export(folder / "model", run.model.shape, inputs.about, config)
            accelerator.wait_for_everyone()
    history = run.state.history
    best = best_epoch(run.state.values(config.best_by))
    return Trained(
        epochs=len(history),
        best_epoch=best,
        best_value=history[best - 1]["val"][config.best_by],
        history=history,
        resumed_from=resumed,
    )


def set_up(
    config: TrainConfig,
    shape: ModelShape,
    data: TrainingData,
    accelerator: Accelerator,
    start: StartingPoint | None = None,
) -> tuple[Step, PlacedSignals]:
    """Initialise the model; returns its step and the placed signals.

    Raises:
        ConfigError: as `train`.
        StoreError: a record is damaged.
    """
    if start is not None:
        check_same_shape(start.name, start.shape, shape)
    device, world = accelerator.device, accelerator.num_processes
    _check_batch(config.global_batch_size, len(data.signals), world)
    # First, so that signals that do not fit are reported at once.
    signals = data.signals.place(config.placement, device, _processes_here(world))
    objective = Objective(config, data.texts, device)
    if shape.text_axes:
        shape = replace(shape, text_meanings=data.texts.n_texts)
    model = initialised(shape, config.seed)
    _fit_text_map(model, data.texts)
    if shape.pair_bias:
        torch.nn.init.constant_(model.bias, objective.start_bias())
    if start is not None:
        start.load_into(model)
    ranks = Ranks(accelerator.process_index, world)
    return Step(model, device, ranks, objective, config), signals


@torch.no_grad()
def _fit_text_map(model: TwoTowers, texts: RecordTexts) -> None:
    """Fit what becomes of a text vector before its projection to the texts of the training."""
    mean_W = texts.mean_vector()
    model.text_mean_W.copy_(torch.from_numpy(mean_W))
    if not model.shape.text_axes:
        return
    chances_FR = texts.chances()
    axes_WK = fit_text_axes(texts.vectors_RW, chances_FR, model.shape.text_axes)
    model.text_axes_WK.copy_(torch.from_numpy(axes_WK))
    weights_MK, added_M = meaning_logits(texts.vectors_RW - mean_W, chances_FR, axes_WK)
    model.meaning_weights_MK.copy_(torch.from_numpy(weights_MK))
    model.meaning_added_M.copy_(torch.from_numpy(added_M))


class _Run:
    """A run in progress: what is trained, how far it is, and where it writes."""

    def __init__(self, inputs: TrainInputs, accelerator: Accelerator) -> None:
        config, data, folder = inputs.config, inputs.data, inputs.folder
        self.config = config
        self.step, self._signals = set_up(config, inputs.shape, data, accelerator, inputs.start)
        self.model = self.step.model
        self._inputs = inputs
        self._data = data
        self._accelerator = accelerator
        self._world = accelerator.num_processes
        self._steps_per_epoch = len(data.signals) // config.global_batch_size
        device = accelerator.device
        keep = _keep_validation(config.placement, device)
        self._encoder = ModelEncoder(self.model, data.read_signals, device, keep)
        self._take_step = step_for(self.step, config)
        checkpoints = folder / "checkpoints"
        self.state = RunState(self.model, self.step.optimizer, checkpoints, inputs.run_key)
        self._log = RunLog(folder, self._steps_per_epoch, on=accelerator.is_main_process)
        self._consensus = RankConsensus(self.step.ranks, accelerator.device)
        self._saved_at = time.monotonic()
        self._log.say(
            f"train: signals in {self._signals.placement.kind}"
            f" ({self._signals.placement.why}); every epoch is shuffled whole; encoder in"
            f" {self.step.arithmetic.on(f'{accelerator.device.type} x {self._world}')}"
            f"{missed_capture(config, accelerator.device, self._world)}"
        )

    def resume(self) -> int:
        """Load the newest intact checkpoint; returns the number of steps done before it."""
        for problem in self.state.load_newest(self.config.best_by):
            self._log.say(f"train: {problem} Continuing from an older one.")
        if self.state.arithmetic is not None:
            continued = self.step.arithmetic.continuing(self.state.arithmetic)
            self.step.arithmetic, notes = continued
            for note in notes:
                self._log.say(f"train: {note}")
        self.state.arithmetic = self.step.arithmetic
        epochs, steps = len(self.state.history), len(self.state.step_metrics)
        if self._inputs.start is not None and not epochs and not steps:
            start = self._inputs.start.described(self.model)
            self._log.say(f"train: beginning with {start}")
        done = epochs * self._steps_per_epoch + steps
        if done and not self.finished():
            self._log.say(
                f"train: continuing in epoch {epochs + 1}, after step {steps} of"
                f" {self._steps_per_epoch}"
            )
        self._log.rewind(self.state.history, done)
        return done

    def steps_to_do(self) -> int:
        """Steps left until config.epochs."""
        epochs = self.config.epochs - len(self.state.history)
        return epochs * self._steps_per_epoch - len(self.state.step_metrics)

    def finished(self) -> bool:
        """Whether all epochs are done, or patience has run out."""
        values = self.state.values(self.config.best_by)
        return last_epoch(values, self.config.epochs, self.config.patience) is not None

    def epoch(self, tick: Tick) -> None:
        """Train one epoch, or the rest of it, validate, and add both to the history."""
        started, stop = time.monotonic(), self._inputs.stop
        epoch, first = len(self.state.history), len(self.state.step_metrics)
        self.step.model.train()
        self.step.begin_epoch(epoch)
        places_nB = epoch_batches(
            len(self._data.signals), self.config.global_batch_size, self.config.seed, epoch
        )
        on_device_nB = torch.from_numpy(places_nB).to(self._accelerator.device)
        waiting: list[torch.Tensor] = []
        own_places_nb = places_nB[first:, self.step.own_rows]
        for number, signal_bLS in enumerate(self._signals.batches(own_places_nb), first):
            if self._consensus.to_stop(stop, number):
                self._fetch(waiting, epoch, places_nB)
                self._save()
                raise StoppedEarly(
                    f"Stopped by {stop.cause or 'another process'} in epoch {epoch + 1}, after step"
                    f" {number} of {len(places_nB)}. Everything is saved: run the same command"
                    " again to continue."
                )
            self.step.set_learning_rate(self._rate_of(number))
            waiting.append(self._take_step(signal_bLS, on_device_nB[number]))
            tick(1, self._note(epoch + 1))
            if (number + 1) % self.config.log_every == 0:
                self._fetch(waiting, epoch, places_nB)
                if self._is_time_to_save():
                    self._save()
        self._fetch(waiting, epoch, places_nB)
        values = self._consensus.metrics(self._inputs.on_validate(self._encoder))
        self._end_epoch(values, places_nB, started)
        tick(0, self._note(epoch + 1))

    def _fetch(self, waiting: list[torch.Tensor], epoch: int, places_nB: Rows) -> None:
        """Fetch the metrics of the steps since the last fetch; the only wait for the device.

        It comes before every save, so that no checkpoint holds weights that are not finite.

        Raises:
            EcgpipeError: a loss, a gradient or a weight is not finite.
        """
        if not waiting:
            return
        # The norm is the same everywhere; losses and accuracies are of each process's rows.
        total = self.step.ranks.sum(torch.stack(waiting))
        metrics = (total / self._world).double().cpu().numpy()
        first = len(self.state.step_metrics)
        waiting.clear()
        bad = np.flatnonzero(~np.isfinite(metrics).all(axis=1))
        if len(bad):
            step = first + int(bad[0])
            self._refuse(epoch, step, places_nB[step])
        self.state.step_metrics += [tuple(row) for row in metrics.tolist()]
        if self._consensus.any(not self.step.weights_are_finite()):
            raise EcgpipeError(
                f"The weights are not finite after step {len(self.state.step_metrics) - 1} in epoch"
                f" {epoch + 1}, so training was stopped and they were not saved. Lower train.lr or"
                " set train.max_gradient_norm."
            )
        self._log.step(
            epoch + 1,
            epoch * self._steps_per_epoch + len(self.state.step_metrics),
            dict(zip(METRICS, metrics[-1].tolist(), strict=True)),
        )

    def _refuse(self, epoch: int, step: int, places_B: Rows) -> None:
        path = self._inputs.folder / "not-finite.json"
        if self._accelerator.is_main_process:
            ids = [self._data.record_ids[place] for place in places_B]
            write_json_atomic(path, {"epoch": epoch + 1, "step": step, "record_ids": ids})
        raise EcgpipeError(
            f"The loss or the gradient of step {step} in epoch {epoch + 1} is not finite, so"
            f" training was stopped. {path} names the {len(places_B)} records of its batch; earlier"
            " checkpoints are intact. Lower train.lr, set train.max_gradient_norm, or look at those"
            " signals."
        )

    def _end_epoch(self, values: Mapping[str, float], places_nB: Rows, started: float) -> None:
        means = np.mean(self.state.step_metrics, axis=0)
        entry = {
            "epoch": len(self.state.history) + 1,
            **dict(zip(METRICS, map(float, means), strict=True)),
            **self.step.objective.duplicates_of_epoch(places_nB),
            "temperature": math.exp(-self.model.log_scale.item()),
            "lr": self._rate_of(self._steps_per_epoch - 1),
            "val": {name: v if math.isfinite(v) else None for name, v in values.items()},
            "processes": self._world,
            "seconds": round(time.monotonic() - started, 3),
        }
        self.state.history.append(entry)
        self.state.step_metrics.clear()
        self._log.epoch(self.state.history)
        scored = self.state.values(self.config.best_by)
        if scored == [None]:
            self._log.say(
                f"train: {self.config.best_by} is undefined on the validation split, which may be"
                " empty or too small. So the last epoch will be kept, and train.patience has no"
                " effect. Change train.best_by or data.split."
            )
        improved = best_epoch(scored) == entry["epoch"]
        if improved or self.finished() or self._is_time_to_save():
            self._save()

    def _save(self) -> None:
        if self._accelerator.is_main_process:
            self.state.save(self._steps_per_epoch, self.config)
        self._saved_at = time.monotonic()
        self._accelerator.wait_for_everyone()

    def _is_time_to_save(self) -> bool:
        due = time.monotonic() - self._saved_at >= 60 * self.config.checkpoint_minutes
        return self._consensus.any(due)

    def _rate_of(self, step: int) -> float:
        """The learning rate of a step of the current epoch."""
        overall = len(self.state.history) * self._steps_per_epoch + step
        return learning_rate(self.config, overall, self._steps_per_epoch)

    def _note(self, number: int) -> str:
        """What progress shows: the current epoch, and the metrics of the last finished one."""
        if not self.state.history:
            return f"epoch {number}"
        last, name = self.state.history[-1], self.config.best_by
        value = last["val"][name]
        shown = "undefined" if value is None else f"{value:.3f}"
        return f"epoch {number} · after {last['epoch']}: loss {last['loss']:.3f}, {name} {shown}"


def _keep_validation(placement: PlacementSetting, device: torch.device) -> PlacementSetting:
    """Where validation signals stay from epoch to epoch: on a GPU as the training signals.

    Without one reading them is little beside encoding them, and memory is better left free.
    """
    if device.type == "cpu":
        return "stream"
    return "auto" if placement == "device" else placement  # they come after the training signals


def _check_batch(batch: int, n_records: int, world: int) -> None:
    if n_records < batch:
        raise ConfigError(
            f"The training split has {n_records} records, fewer than train.global_batch_size"
            f" {batch}. Lower it, or add records."
        )
    if batch % world:
        raise ConfigError(
            f"train.global_batch_size {batch} is not a multiple of the {world} processes. Change"
            " one of them."
        )


def _processes_here(world: int) -> int:
    """How many processes share this machine's memory, as the launcher says."""
    return int(os.environ.get("LOCAL_WORLD_SIZE") or world)
