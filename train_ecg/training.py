"""The train stage: epochs against kept text vectors, validated, saved and resumed.

Owns the loop. accelerate drives one or many processes; the order of records is a function of
(seed, epoch) alone, and a run that was stopped continues from its last epoch as if it had not been.
B = global batch, b = this process's rows, U = distinct texts, W = width of a text vector.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from torch.optim import AdamW

from ecgpipe.config import TrainConfig
from ecgpipe.errors import CheckpointError, ConfigError, EcgpipeError, StoppedEarly
from ecgpipe.files import write_atomic
from ecgpipe.progress import Tick, progress
from ecgpipe.stopping import Stop
from ecgpipe.train_ecg.checkpoint import (
    Checkpoint,
    newest_checkpoint,
    prune,
    read_checkpoint,
    save_checkpoint,
)
from ecgpipe.train_ecg.gather import gather_rows
from ecgpipe.train_ecg.loss import clip_loss
from ecgpipe.train_ecg.order import epoch_batches
from ecgpipe.train_ecg.trained_model import ModelEncoder, ReadSignals, save_model
from ecgpipe.train_ecg.two_towers import ModelShape, TwoTowers, initialised

_STEPS_BETWEEN_AGREEMENTS = 16

Validate = Callable[[ModelEncoder], Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The training split: which signals, and which text vector belongs to each. N = records."""

    read_signals: ReadSignals
    slots: npt.NDArray[np.int64]
    """(N,) places in the signal store."""

    text_rows: npt.NDArray[np.int64]
    """(N,) rows of `text_vectors`."""

    text_vectors: npt.NDArray[np.float32]
    """(distinct texts, W)."""


@dataclass(frozen=True)
class Trained:
    """How a run ended."""

    epochs: int
    best_epoch: int
    best_value: float | None
    history: list[dict[str, Any]]
    resumed_from: int
    """Epochs that were there already."""


def train(
    config: TrainConfig,
    shape: ModelShape,
    data: TrainingData,
    folder: Path,
    run_key: str,
    about: Mapping[str, Any],
    on_validate: Validate,
    stop: Stop,
) -> Trained:
    """Train to config.epochs, from the last checkpoint in `folder` if there is one.

    Args:
        config: the settings.
        shape: of the model.
        data: the training split.
        folder: of the run; gets checkpoints/, log.jsonl and model/.
        run_key: identifies data and settings; a checkpoint of another key is refused.
        about: kept in the model folder's config.json.
        on_validate: figures of a model on the validation split; must hold config.best_by.
        stop: asked between steps.

    Raises:
        ConfigError: fewer records than a batch, or a batch that does not divide by the processes.
        CheckpointError: the checkpoints belong to another run, or all are damaged.
        EcgpipeError: the loss is not finite.
        StoppedEarly: a signal came; every finished epoch is kept.
    """
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    _check_batch(config, len(data.slots), accelerator.num_processes)
    run = _Run(config, shape, data, accelerator)
    resumed = _resume(run, folder / "checkpoints", run_key)
    batches = len(data.slots) // config.global_batch_size
    todo = (config.epochs - len(run.history)) * batches
    with progress("train", todo, "steps") as tick:
        while len(run.history) < config.epochs:
            run.epoch(on_validate, stop, tick)
            if accelerator.is_main_process:
                _save(run, folder, run_key)
            accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        _export(run, folder, run_key, about)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    best = run.best_epoch()
    return Trained(
        epochs=len(run.history),
        best_epoch=best,
        best_value=run.history[best - 1]["val"][config.best_by],
        history=run.history,
        resumed_from=resumed,
    )


class _Run:
    """The living state of a run: module, optimiser, history."""

    def __init__(
        self, config: TrainConfig, shape: ModelShape, data: TrainingData, accelerator: Accelerator
    ) -> None:
        self.config = config
        self.data = data
        self.history: list[dict[str, Any]] = []
        self._accelerator = accelerator
        self.model = initialised(shape, config.seed)
        text_UW = torch.from_numpy(data.text_vectors)
        counts_U = torch.from_numpy(np.bincount(data.text_rows, minlength=len(text_UW))).float()
        self.model.text_mean_W.copy_(counts_U @ text_UW / counts_U.sum())
        self.optimizer = make_optimizer(self.model, config)
        self._prepared, self._stepper = accelerator.prepare(self.model, self.optimizer)
        self._text_UW = text_UW.to(accelerator.device)

    def epoch(self, on_validate: Validate, stop: Stop, tick: Tick) -> None:
        """Train one epoch, validate, and add both to the history."""
        started = time.monotonic()
        number = len(self.history) + 1
        losses = []
        self._prepared.train()
        for step, places_b in enumerate(self._batches(number - 1)):
            if self._all_stop(step, stop):
                raise StoppedEarly(
                    f"Stopped by {stop.cause or 'another process'} in epoch {number}. Epochs up to"
                    f" {number - 1} are saved: run the same command again to go on."
                )
            losses.append(self._step(places_b))
            tick(1, self._note(number))
        # The only time a step's result is waited for; of all processes together.
        loss = float(self._accelerator.reduce(torch.stack(losses).mean(), "mean"))
        if not math.isfinite(loss):
            raise EcgpipeError(
                f"The loss of epoch {number} is not finite, so training was stopped; the epochs"
                " before are saved. Lower train.lr, or look for broken signals."
            )
        values = on_validate(self.encoder())
        figures = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self.history.append(
            {
                "epoch": number,
                "loss": loss,
                "temperature": math.exp(-self.model.log_scale.item()),
                "val": figures,
                "processes": self._accelerator.num_processes,
                "seconds": round(time.monotonic() - started, 3),
            }
        )
        tick(0, self._note(number))

    def _note(self, number: int) -> str:
        """What progress shows: the epoch in work, and the figures of the last that is done."""
        if not self.history:
            return f"epoch {number}"
        last, name = self.history[-1], self.config.best_by
        value = last["val"][name]
        shown = "undefined" if value is None else f"{value:.3f}"
        return f"epoch {number} · after {last['epoch']}: loss {last['loss']:.3f}, {name} {shown}"

    def best_epoch(self, among: int | None = None) -> int:
        """The epoch with the best validation figure; of equals the first, without any the last.

        `among` looks at the first so many epochs only; all by default.
        """
        values = [entry["val"][self.config.best_by] for entry in self.history[:among]]
        if all(value is None for value in values):
            return len(values)
        return int(np.argmax([-math.inf if value is None else value for value in values])) + 1

    def encoder(self) -> ModelEncoder:
        """The model as it stands, for validation."""
        return ModelEncoder(self.model, self.data.read_signals, self._accelerator.device)

    def _all_stop(self, step: int, stop: Stop) -> bool:
        """Whether to stop; with several processes they agree first, or one would wait for ever."""
        if self._accelerator.num_processes == 1:
            return bool(stop)
        if step % _STEPS_BETWEEN_AGREEMENTS:
            return False
        asked = torch.tensor(float(bool(stop)), device=self._accelerator.device)
        return bool(self._accelerator.reduce(asked) > 0)

    def _batches(self, epoch: int) -> Iterator[npt.NDArray[np.int64]]:
        yield from epoch_batches(
            len(self.data.slots),
            self.config.global_batch_size,
            self.config.seed,
            epoch,
            self._accelerator.process_index,
            self._accelerator.num_processes,
        )

    def _step(self, places_b: npt.NDArray[np.int64]) -> torch.Tensor:
        signal = torch.from_numpy(self.data.read_signals(self.data.slots[places_b]))
        text_bW = self._text_UW[torch.from_numpy(self.data.text_rows[places_b])]
        ecg_bD, text_bD, scale = self._prepared(signal.to(self._accelerator.device), text_bW)
        first_row = self._accelerator.process_index * len(places_b)
        loss = clip_loss(
            ecg_bD, text_bD, gather_rows(ecg_bD), gather_rows(text_bD), scale, first_row
        )
        self._accelerator.backward(loss)
        self._stepper.step()
        self._stepper.zero_grad()
        self.model.clamp_temperature()
        return loss.detach()


def make_optimizer(model: TwoTowers, config: TrainConfig) -> AdamW:
    """AdamW; weight decay on matrices and kernels, not on norms, biases and the temperature."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=config.lr, fused=True)


def optimizer_tensors(optimizer: AdamW) -> dict[str, torch.Tensor]:
    """The optimiser's moments and step counts as named tensors."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}/{name}": value for number, kept in state.items() for name, value in kept.items()
    }


def restore_optimizer(optimizer: AdamW, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put back what `optimizer_tensors` gave."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split("/")
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _check_batch(config: TrainConfig, n_records: int, world: int) -> None:
    if n_records < config.global_batch_size:
        raise ConfigError(
            f"The training split has {n_records} records, fewer than train.global_batch_size"
            f" {config.global_batch_size}. Lower it, or add records."
        )
    if config.global_batch_size % world:
        raise ConfigError(
            f"train.global_batch_size {config.global_batch_size} does not divide by {world}"
            " processes."
        )


def _resume(run: _Run, checkpoints: Path, run_key: str) -> int:
    """Load the newest whole checkpoint; returns the epochs that lie behind it."""
    found, problems = newest_checkpoint(checkpoints)
    if found is None:
        if problems:
            raise CheckpointError(
                f"No checkpoint in {checkpoints} is whole: {problems[0]} Move the folder away to"
                " start anew."
            )
        return 0
    if found.state.get("run_key") != run_key or "history" not in found.state:
        raise CheckpointError(
            f"{found.path} belongs to a run with other data or settings. Give this experiment"
            " another name, or move the folder away."
        )
    run.model.load_state_dict(found.tensors("model"))
    restore_optimizer(run.optimizer, found.tensors("optimizer"))
    run.history[:] = found.state["history"]
    return found.epochs_done


def _save(run: _Run, folder: Path, run_key: str) -> None:
    done = len(run.history)
    save_checkpoint(
        folder / "checkpoints",
        done,
        {"model": run.model.state_dict(), "optimizer": optimizer_tensors(run.optimizer)},
        {"run_key": run_key, "history": run.history, "best_epoch": run.best_epoch()},
    )
    # Also the best without this epoch: should its checkpoint prove damaged, the one before goes on.
    kept = {done, done - 1, run.best_epoch(), run.best_epoch(among=done - 1)}
    prune(folder / "checkpoints", kept)
    lines = (json.dumps(line, ensure_ascii=False) for line in run.history)
    write_atomic(folder / "log.jsonl", ("\n".join(lines) + "\n").encode())


def _export(run: _Run, folder: Path, run_key: str, about: Mapping[str, Any]) -> None:
    """The best epoch's weights become the run's model."""
    best = run.best_epoch()
    try:
        checkpoint: Checkpoint = read_checkpoint(folder / "checkpoints" / f"epoch-{best:04d}")
    except CheckpointError as error:
        raise CheckpointError(
            f"{error} It held the best epoch. Remove {folder} and run `ecgpipe train`, anew."
        ) from error
    training = {
        "run_key": run_key,
        "epochs": len(run.history),
        "best_epoch": best,
        "best_by": run.config.best_by,
        "val": run.history[best - 1]["val"],
    }
    weights = checkpoint.tensors("model")
    save_model(folder / "model", weights, run.model.shape, {"training": training, **about})
