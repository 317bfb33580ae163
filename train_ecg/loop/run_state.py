"""How far a run is: weights, optimiser, finished epochs, and the steps of the current one.

Owns what a checkpoint holds and which are kept. There is no random state to save: order, texts and
augmentation are functions of (seed, epoch, record).
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.optim import AdamW

from ecgpipe.config.train import TrainConfig
from ecgpipe.errors import CheckpointError
from ecgpipe.train_ecg.loop.arithmetic import Arithmetic
from ecgpipe.train_ecg.loop.checkpoint import (
    checkpoint_path,
    newest_checkpoint,
    prune,
    read_checkpoint,
    save_checkpoint,
)
from ecgpipe.train_ecg.loop.early_stopping import best_epoch
from ecgpipe.train_ecg.loop.step import optimizer_tensors, restore_optimizer
from ecgpipe.train_ecg.trained_model import save_model
from ecgpipe.train_ecg.two_towers import ModelShape, TwoTowers


class RunState:
    """A run's model and optimiser, and the history that led to them."""

    def __init__(self, model: TwoTowers, optimizer: AdamW, folder: Path, run_key: str) -> None:
        self.history: list[dict[str, Any]] = []
        """An entry for each finished epoch."""
        self.step_metrics: list[tuple[float, ...]] = []
        """An entry for each step of the current epoch."""
        self.arithmetic: Arithmetic | None = None
        """How the run has been computed up to now; None before its first step."""
        self._model = model
        self._optimizer = optimizer
        self._folder = folder
        self._run_key = run_key
        self._saved_steps = -1

    def values(self, best_by: str) -> list[float | None]:
        """The validation metric of each finished epoch; None where it was undefined."""
        return [entry["val"][best_by] for entry in self.history]

    def load_newest(self, best_by: str) -> list[str]:
        """Load the newest intact checkpoint, if there is one.

        Returns:
            What is wrong with newer ones.

        Raises:
            CheckpointError: they are another run's, or all are damaged, or the best epoch's is.
        """
        found, problems = newest_checkpoint(self._folder)
        if found is None:
            if problems:
                raise CheckpointError(
                    f"No checkpoint in {self._folder} can be read: {problems[0]} Move"
                    f" {self._folder.parent} away to start again."
                )
            return []
        missing = {"history", "step_metrics"} - set(found.state)
        if found.state.get("run_key") != self._run_key or missing:
            raise CheckpointError(
                f"{found.path} belongs to a run with other data or settings. Give this experiment"
                " another name, or move the folder away."
            )
        try:
            self._model.load_state_dict(found.tensors("model"))
            restore_optimizer(self._optimizer, found.tensors("optimizer"))
        except torch.cuda.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, IndexError) as error:
            raise CheckpointError(
                f"{found.path} holds another model than these settings make: {error}"
            ) from error
        self.history[:] = found.state["history"]
        self.step_metrics[:] = [tuple(row) for row in found.state["step_metrics"]]
        self.arithmetic = Arithmetic(found.state.get("precision"), found.state.get("threads"))
        self._saved_steps = int(found.state["steps_done"])
        self._check_best(best_by, int(found.state["steps_per_epoch"]))
        return problems

    def _check_best(self, best_by: str, steps_per_epoch: int) -> None:
        """Refuse to train for hours towards a model that cannot be exported any more."""
        best = best_epoch(self.values(best_by))
        if best * steps_per_epoch in (0, self._saved_steps):
            return
        try:
            read_checkpoint(checkpoint_path(self._folder, best * steps_per_epoch))
        except CheckpointError as error:
            raise CheckpointError(
                f"{error} It held the best epoch so far, {best}, so this run can no longer end with"
                " its best model. Restore it from a copy, or move"
                f" {self._folder.parent} away to start again."
            ) from error

    def save(self, steps_per_epoch: int, config: TrainConfig) -> None:
        """Save this state, and remove checkpoints that are no longer needed.

        Raises:
            StoreError: the disk is full or not writable; the earlier checkpoints are untouched.
        """
        epochs = len(self.history)
        best = best_epoch(self.values(config.best_by)) * steps_per_epoch
        steps = epochs * steps_per_epoch + len(self.step_metrics)
        if steps == self._saved_steps:
            return
        save_checkpoint(
            self._folder,
            steps,
            {"model": self._model.state_dict(), "optimizer": optimizer_tensors(self._optimizer)},
            {
                "run_key": self._run_key,
                "history": self.history,
                "step_metrics": self.step_metrics,
                **(asdict(self.arithmetic) if self.arithmetic else {}),
                "best_step": best,
                "steps_per_epoch": steps_per_epoch,
            },
        )
        self._saved_steps = steps
        prune(self._folder, config.keep_checkpoints)

    def export(
        self, folder: Path, shape: ModelShape, about: Mapping[str, Any], config: TrainConfig
    ) -> None:
        """Write the best epoch's weights as the run's model.

        Raises:
            CheckpointError: its checkpoint is damaged.
        """
        best = best_epoch(self.values(config.best_by))
        newest, _ = newest_checkpoint(self._folder)
        assert newest is not None, "a run saves its state before it ends"
        path = checkpoint_path(self._folder, best * int(newest.state["steps_per_epoch"]))
        checkpoint = read_checkpoint(path)
        training = {
            "run_key": self._run_key,
            "epochs": len(self.history),
            "best_epoch": best,
            "best_by": config.best_by,
            "precision": newest.state.get("precision"),
            "val": self.history[best - 1]["val"],
            "values": self.values(config.best_by),
        }
        save_model(folder, checkpoint.tensors("model"), shape, {"training": training, **about})
