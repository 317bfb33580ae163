"""Where a run stands: weights, optimiser, the epochs behind it and the steps of the one in work.

Owns what a checkpoint holds and which are kept. There is no random state to keep: order, texts and
augmentation are functions of (seed, epoch, record).
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.optim import AdamW

from ecgpipe.config import TrainConfig
from ecgpipe.errors import CheckpointError
from ecgpipe.train_ecg.checkpoint import (
    checkpoint_path,
    newest_checkpoint,
    prune,
    read_checkpoint,
    save_checkpoint,
)
from ecgpipe.train_ecg.step import optimizer_tensors, restore_optimizer
from ecgpipe.train_ecg.trained_model import save_model
from ecgpipe.train_ecg.two_towers import ModelShape, TwoTowers


class RunState:
    """A run's model and optimiser with what lies behind them."""

    def __init__(self, model: TwoTowers, optimizer: AdamW, folder: Path, run_key: str) -> None:
        self.history: list[dict[str, Any]] = []
        """An entry for each finished epoch."""
        self.figures: list[tuple[float, ...]] = []
        """Those of each step of the epoch in work."""
        self.threads: int | None = None
        """Of each process, on a CPU: their number decides how sums round."""
        self._model = model
        self._optimizer = optimizer
        self._folder = folder
        self._run_key = run_key
        self._saved_steps = -1

    def load_newest(self) -> list[str]:
        """Continue from the newest whole checkpoint, if there is any.

        Returns:
            What is wrong with newer ones.

        Raises:
            CheckpointError: they are another run's, or all are damaged.
        """
        found, problems = newest_checkpoint(self._folder)
        if found is None:
            if problems:
                raise CheckpointError(
                    f"No checkpoint in {self._folder} is whole: {problems[0]} Move the folder away"
                    " to start anew."
                )
            return []
        needed = {"history", "figures"} - set(found.state)
        if found.state.get("run_key") != self._run_key or needed:
            raise CheckpointError(
                f"{found.path} belongs to a run with other data or settings. Give this experiment"
                " another name, or move the folder away."
            )
        self._model.load_state_dict(found.tensors("model"))
        restore_optimizer(self._optimizer, found.tensors("optimizer"))
        self.history[:] = found.state["history"]
        self.figures[:] = [tuple(row) for row in found.state["figures"]]
        self.threads = found.state.get("threads")
        self._saved_steps = int(found.state["steps_done"])
        return problems

    def save(self, steps_per_epoch: int, config: TrainConfig) -> None:
        """Keep this state, and remove those that nobody needs any more.

        Raises:
            StoreError: the disk is full or not writable; the earlier checkpoints are untouched.
        """
        epochs = len(self.history)
        best = best_epoch(self.history, config.best_by) * steps_per_epoch
        steps = epochs * steps_per_epoch + len(self.figures)
        if steps == self._saved_steps:
            return
        save_checkpoint(
            self._folder,
            steps,
            {"model": self._model.state_dict(), "optimizer": optimizer_tensors(self._optimizer)},
            {
                "run_key": self._run_key,
                "history": self.history,
                "figures": self.figures,
                "threads": self.threads,
                "best_step": best,
                "steps_per_epoch": steps_per_epoch,
            },
        )
        self._saved_steps = steps
        prune(self._folder, config.keep_checkpoints)

    def export(
        self, folder: Path, shape: ModelShape, about: Mapping[str, Any], config: TrainConfig
    ) -> None:
        """The best epoch's weights become the run's model.

        Raises:
            CheckpointError: its checkpoint is damaged.
        """
        best = best_epoch(self.history, config.best_by)
        newest, _ = newest_checkpoint(self._folder)
        assert newest is not None, "a run that ends has saved its state"
        path = checkpoint_path(self._folder, best * int(newest.state["steps_per_epoch"]))
        try:
            checkpoint = read_checkpoint(path)
        except CheckpointError as error:
            raise CheckpointError(
                f"{error} It held the best epoch. Remove {folder.parent} and run `ecgpipe train`,"
                " anew."
            ) from error
        training = {
            "run_key": self._run_key,
            "epochs": len(self.history),
            "epochs_asked": config.epochs,
            "best_epoch": best,
            "best_by": config.best_by,
            "val": self.history[best - 1]["val"],
        }
        save_model(folder, checkpoint.tensors("model"), shape, {"training": training, **about})


def best_epoch(history: Sequence[Mapping[str, Any]], best_by: str) -> int:
    """The epoch with the best validation figure, counted from 1; 0 without any epoch.

    Of equals it is the first; where no epoch has a figure, the last.
    """
    values = [entry["val"][best_by] for entry in history]
    if all(value is None for value in values):
        return len(values)
    return int(np.argmax([-math.inf if value is None else value for value in values])) + 1
