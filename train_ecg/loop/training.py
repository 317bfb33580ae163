"""The train stage: epochs against kept text vectors, validated, saved and resumed.

Owns the loop. accelerate drives one or many processes; the order of records, what is said of them
and how they are varied are functions of (seed, epoch, record) alone, so a run that was stopped or
killed continues from its last checkpoint, in the middle of an epoch too, as if it had not been.
B = global batch, b = this process's rows.
"""

import atexit
import importlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs

from ecgpipe.config.train import TrainConfig
from ecgpipe.errors import ConfigError, EcgpipeError, StoppedEarly
from ecgpipe.files import write_json_atomic
from ecgpipe.processes import is_first
from ecgpipe.progress import Tick, progress
from ecgpipe.stopping import Stop
from ecgpipe.train_ecg.data.order import Places, epoch_batches
from ecgpipe.train_ecg.data.placement import PlacedSignals, SignalShelf
from ecgpipe.train_ecg.loop.early_stopping import best_epoch, last_epoch
from ecgpipe.train_ecg.loop.rank_consensus import RankConsensus
from ecgpipe.train_ecg.loop.ranks import Ranks
from ecgpipe.train_ecg.loop.run_log import RunLog
from ecgpipe.train_ecg.loop.run_state import RunState
from ecgpipe.train_ecg.loop.schedule import learning_rate
from ecgpipe.train_ecg.loop.step import METRICS, Step, step_for
from ecgpipe.train_ecg.losses.objective import Objective, RecordTexts
from ecgpipe.train_ecg.torch_errors import told
from ecgpipe.train_ecg.trained_model import ModelEncoder, ReadSignals
from ecgpipe.train_ecg.two_towers import ModelShape, TwoTowers, initialised

# For one another: between two runs of a sweep the first process evaluates and the others wait; but
# where no launcher ends them, they wait as long for one that has failed.
_LONGEST_WAIT = timedelta(minutes=30)

Validate = Callable[[ModelEncoder], Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The training split: which signals, and what may be said of each. N = records."""

    signals: SignalShelf
    texts: RecordTexts
    read_signals: ReadSignals
    """Any record of the store by slot: validation looks at others than `signals`."""

    record_ids: Sequence[str]
    """(N,) for the person who must find a bad one; never logged."""


@dataclass(frozen=True)
class Trained:
    """How a run ended."""

    epochs: int
    best_epoch: int
    best_value: float | None
    history: list[dict[str, Any]]
    resumed_from: int
    """Steps that were there already."""


def train(
    config: TrainConfig,
    shape: ModelShape,
    data: TrainingData,
    folder: Path,
    run_key: str,
    about: Mapping[str, Any],
    on_validate: Validate,
    stop: Stop,
    on_begin: Callable[[], None] = lambda: None,
) -> Trained:
    """Train to config.epochs, from the last checkpoint in `folder` if there is one.

    Args:
        config: the settings.
        shape: of the model.
        data: the training split.
        folder: of the run; gets checkpoints/, log.jsonl, steps.jsonl and model/.
        run_key: identifies data and settings; a checkpoint of another key is refused.
        about: kept in the model folder's config.json.
        on_validate: figures of a model on the validation split; must hold config.best_by.
        stop: asked between steps.
        on_begin: called by the first process once no setting can be refused any more, before
            `folder` is looked at.

    Raises:
        ConfigError: fewer records than a batch, a batch that does not divide by the processes, or a
            setting that this machine cannot honour.
        CheckpointError: the checkpoints belong to another run, or all are damaged, or the best
            epoch's is.
        EcgpipeError: the loss or the weights are not finite, memory is too small, or another
            process has ended.
        StoppedEarly: a signal came or the time was up; every finished step is kept.
    """
    with _closed_in_peace():
        accelerator = make_accelerator()
        with told(config, accelerator.num_processes):
            run = _Run(config, shape, data, accelerator, folder, run_key)
            accelerator.wait_for_everyone()  # whoever still looks at the folder
            if accelerator.is_main_process:
                on_begin()
            accelerator.wait_for_everyone()
            resumed = run.resume()
            with progress("train", run.steps_to_do(), "steps") as tick:
                while not run.finished():
                    run.epoch(on_validate, stop, tick)
            if accelerator.is_main_process:
                run.state.export(folder / "model", run.model.shape, about, config)
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


def make_accelerator() -> Accelerator:
    """What drives one or many processes, on GPUs where there are any.

    Precision is the step's business: a default of `accelerate launch` would bring loss scaling,
    which waits for the device in every step.
    """
    if torch.distributed.is_available():
        # Its functions keep the group they were defined with, as their default, for ever. The
        # optimiser imports it: without this line after there is a group.
        importlib.import_module("torch.distributed.nn.functional")
    waits = InitProcessGroupKwargs(timeout=_LONGEST_WAIT)
    return Accelerator(
        cpu=not torch.cuda.is_available(), mixed_precision="no", kwargs_handlers=[waits]
    )


@atexit.register
def _close_group() -> None:
    """Part from the other processes, if there are any; the last act, for one may train again.

    A group that is still open when the interpreter ends can abort the process, by a thread of
    gloo's that lets go of its last tensor, and the scheduler would see that instead of exit 75.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@contextmanager
def _closed_in_peace() -> Iterator[None]:
    """After an error leave the group open: to close it may be to wait for the others."""
    try:
        yield
    except StoppedEarly:  # all have agreed on it
        raise
    except BaseException:
        atexit.unregister(_close_group)
        raise


@dataclass(frozen=True)
class Workbench:
    """What a training step needs, put together."""

    model: TwoTowers
    step: Step
    signals: PlacedSignals


def set_up(
    config: TrainConfig, shape: ModelShape, data: TrainingData, accelerator: Accelerator
) -> Workbench:
    """The model with fresh weights, its step, and the signals at their place.

    Raises:
        ConfigError: as `train`.
        StoreError: a record is damaged.
    """
    device, world = accelerator.device, accelerator.num_processes
    _check_batch(config.global_batch_size, len(data.signals), world)
    # Before the weights, so that signals that do not fit are known of at once.
    signals = data.signals.placed(config.placement, device, _processes_here(world))
    objective = Objective(config, data.texts, device)
    model = initialised(shape, config.seed)
    model.text_mean_W.copy_(torch.from_numpy(data.texts.mean_vector()))
    if shape.pair_bias:
        torch.nn.init.constant_(model.bias, objective.start_bias())
    ranks = Ranks(accelerator.process_index, world)
    return Workbench(model, Step(model, device, ranks, objective, config), signals)


class _Run:
    """A run that lives: what is trained, where it stands, and where it writes."""

    def __init__(
        self,
        config: TrainConfig,
        shape: ModelShape,
        data: TrainingData,
        accelerator: Accelerator,
        folder: Path,
        run_key: str,
    ) -> None:
        bench = set_up(config, shape, data, accelerator)
        self.config = config
        self.model = bench.model
        self.step = bench.step
        self._signals = bench.signals
        self._data = data
        self._accelerator = accelerator
        self._folder = folder
        self._world = accelerator.num_processes
        self._steps_per_epoch = len(data.signals) // config.global_batch_size
        self._take_step = step_for(self.step, config)
        self.state = RunState(self.model, self.step.optimizer, folder / "checkpoints", run_key)
        self._log = RunLog(folder, self._steps_per_epoch, on=accelerator.is_main_process)
        self._threads = torch.get_num_threads() if accelerator.device.type == "cpu" else None
        self._consensus = RankConsensus(self.step.ranks, accelerator.device)
        self._saved_at = time.monotonic()
        if is_first():
            self._log.say(
                f"train: signals in {self._signals.placement.kind}"
                f" ({self._signals.placement.why}); every epoch is shuffled whole; encoder in"
                f" {self.step.precision} on {accelerator.device.type} x {self._world}"
                f"{f' with {_threads(self._threads)}' if self._threads else ''}"
            )

    def resume(self) -> int:
        """Load the newest whole checkpoint; returns the steps that lie behind it."""
        for problem in self.state.load_newest(self.config.best_by):
            self._log.say(f"train: {problem} Going on from an older one.")
        before = self.state.threads
        if before and self._threads and before != self._threads:
            self._log.say(
                f"train: it was last trained with {_threads(before)} a process, not"
                f" {self._threads}. Sums round otherwise, so it will not end with the very bits of"
                " a run that was never stopped. OMP_NUM_THREADS says how many."
            )
        self.state.threads = self._threads
        epochs, steps = len(self.state.history), len(self.state.figures)
        behind = epochs * self._steps_per_epoch + steps
        if behind and not self.finished():
            self._log.say(
                f"train: going on in epoch {epochs + 1}, after step {steps} of"
                f" {self._steps_per_epoch}"
            )
        self._log.rewind(self.state.history, behind)
        return behind

    def steps_to_do(self) -> int:
        """Steps up to config.epochs."""
        epochs = self.config.epochs - len(self.state.history)
        return epochs * self._steps_per_epoch - len(self.state.figures)

    def finished(self) -> bool:
        """Whether all epochs are done, or the last so many were no better."""
        values = self.state.values(self.config.best_by)
        return last_epoch(values, self.config.epochs, self.config.patience) is not None

    def epoch(self, on_validate: Validate, stop: Stop, tick: Tick) -> None:
        """Train one epoch, or what is left of it, validate, and add both to the history."""
        started = time.monotonic()
        epoch, first = len(self.state.history), len(self.state.figures)
        self.step.model.train()
        self.step.begin_epoch(epoch)
        self._consensus.begin_epoch()
        places_nB = epoch_batches(
            len(self._data.signals), self.config.global_batch_size, self.config.seed, epoch
        )
        on_device_nB = torch.from_numpy(places_nB).to(self._accelerator.device)
        waiting: list[torch.Tensor] = []
        own_places_nb = places_nB[first:, self.step.own_rows]
        for number, signal_bLS in enumerate(self._signals.batches(own_places_nb), first):
            if self._consensus.to_stop(stop):
                self._fetch(waiting, epoch, places_nB)
                self._save()
                raise StoppedEarly(
                    f"Stopped by {stop.cause or 'another process'} in epoch {epoch + 1}, after step"
                    f" {number} of {len(places_nB)}. All of it is saved: run the same command again"
                    " to go on."
                )
            self.step.set_learning_rate(self._rate_of(number))
            waiting.append(self._take_step(signal_bLS, on_device_nB[number]))
            tick(1, self._note(epoch + 1))
            if (number + 1) % self.config.log_every == 0:
                self._fetch(waiting, epoch, places_nB)
                if self._is_time_to_save():
                    self._save()
        self._fetch(waiting, epoch, places_nB)
        self._end_epoch(self._consensus.metrics(on_validate(self._encoder())), places_nB, started)
        tick(0, self._note(epoch + 1))

    def _fetch(self, waiting: list[torch.Tensor], epoch: int, places_nB: Places) -> None:
        """Wait for the figures of the steps since the last time; the only wait there is.

        It comes before whatever is saved, so that nothing is saved that nobody can go on from.

        Raises:
            EcgpipeError: a loss, a gradient or a weight is not finite.
        """
        if not waiting:
            return
        # The norm is the same everywhere; losses and accuracies are of each process's rows.
        total = self.step.ranks.sum(torch.stack(waiting))
        figures = (total / self._world).double().cpu().numpy()
        first = len(self.state.figures)
        waiting.clear()
        bad = np.flatnonzero(~np.isfinite(figures).all(axis=1))
        if len(bad):
            step = first + int(bad[0])
            self._refuse(epoch, step, places_nB[step])
        self.state.figures += [tuple(row) for row in figures.tolist()]
        if self._consensus.any(not self.step.weights_are_finite()):
            raise EcgpipeError(
                f"After step {len(self.state.figures) - 1} in epoch {epoch + 1} the weights are not"
                " finite, so training was stopped and they were not saved. Lower train.lr or set"
                " train.max_gradient_norm."
            )
        self._log.step(
            epoch + 1,
            epoch * self._steps_per_epoch + len(self.state.figures),
            dict(zip(METRICS, figures[-1].tolist(), strict=True)),
        )

    def _refuse(self, epoch: int, step: int, places_B: Places) -> None:
        path = self._folder / "not-finite.json"
        if self._accelerator.is_main_process:
            ids = [self._data.record_ids[place] for place in places_B]
            write_json_atomic(path, {"epoch": epoch + 1, "step": step, "record_ids": ids})
        raise EcgpipeError(
            f"The loss or the gradient of step {step} in epoch {epoch + 1} is not finite, so"
            f" training was stopped. {path} names the {len(places_B)} records of its batch; the"
            " checkpoints are of before. Lower train.lr, set train.max_gradient_norm, or look at"
            " those signals."
        )

    def _end_epoch(self, values: Mapping[str, float], places_nB: Places, started: float) -> None:
        means = np.mean(self.state.figures, axis=0)
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
        self.state.figures.clear()
        self._log.epoch(self.state.history)
        scored = self.state.values(self.config.best_by)
        if scored == [None]:
            self._log.say(
                f"train: {self.config.best_by} of the validation split is undefined, as where it is"
                " empty or too small. So the last epoch will be kept, and train.patience says"
                " nothing. train.best_by or data.split would change that."
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
        """The learning rate of a step of the epoch in work."""
        overall = len(self.state.history) * self._steps_per_epoch + step
        return learning_rate(self.config, overall, self._steps_per_epoch)

    def _encoder(self) -> ModelEncoder:
        """The model as it stands, for validation."""
        return ModelEncoder(self.model, self._data.read_signals, self._accelerator.device)

    def _note(self, number: int) -> str:
        """What progress shows: the epoch in work, and the figures of the last that is done."""
        if not self.state.history:
            return f"epoch {number}"
        last, name = self.state.history[-1], self.config.best_by
        value = last["val"][name]
        shown = "undefined" if value is None else f"{value:.3f}"
        return f"epoch {number} · after {last['epoch']}: loss {last['loss']:.3f}, {name} {shown}"


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


def _threads(number: int) -> str:
    return f"{number} thread{'' if number == 1 else 's'}"


def _processes_here(world: int) -> int:
    """How many processes share this machine's memory, as the launcher says."""
    return int(os.environ.get("LOCAL_WORLD_SIZE") or world)
