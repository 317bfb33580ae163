"""The logs of a run: log.jsonl per epoch, steps.jsonl every few steps, TensorBoard.

Owns those files. After a resume they hold what an uninterrupted run's would, except for the times.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ecgpipe.files import storing, write_atomic
from ecgpipe.progress import say


class RunLog:
    """The logs of one run's folder; silent in all processes but the first."""

    def __init__(self, folder: Path, steps_per_epoch: int, on: bool) -> None:
        self._epochs = folder / "log.jsonl"
        self._steps = folder / "steps.jsonl"
        self._board_folder = folder / "tensorboard"
        self._steps_per_epoch = steps_per_epoch
        self._on = on
        self._board: Any = None

    def say(self, line: str) -> None:
        """Write a line for the person who reads the job's log."""
        if self._on:
            say(line)

    def rewind(self, history: Sequence[Mapping[str, Any]], step: int) -> None:
        """Drop what was written after `step`, which will be done again; call it first."""
        if not self._on:
            return
        self._board = _board(self._board_folder, step + 1)
        self.epoch(history, to_board=False)
        kept = []
        for line in _lines(self._steps):
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (ValueError, KeyError, TypeError):
                break  # half a line of a killed run
        write_atomic(self._steps, "".join(f"{line}\n" for line in kept).encode())

    def epoch(self, history: Sequence[Mapping[str, Any]], *, to_board: bool = True) -> None:
        """Write all epochs so far, atomically: a reader never sees half a line."""
        if not self._on:
            return
        lines = (json.dumps(entry, ensure_ascii=False) for entry in history)
        write_atomic(self._epochs, "".join(f"{line}\n" for line in lines).encode())
        if to_board and self._board is not None and history:
            entry = history[-1]
            for name, value in {**entry, **entry["val"]}.items():
                if isinstance(value, int | float):
                    step = entry["epoch"] * self._steps_per_epoch
                    self._board.add_scalar(f"epoch/{name}", value, step)
            self._board.flush()

    def step(self, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Append the metrics of one step, counted from 1 over all epochs."""
        if not self._on:
            return
        with storing(self._steps), self._steps.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"epoch": epoch, "step": step, **metrics}) + "\n")
        if self._board is not None:
            for name, value in metrics.items():
                self._board.add_scalar(f"step/{name}", value, step)
            self._board.flush()  # or a kill would lose it


def _board(folder: Path, first_step: int) -> Any:
    """TensorBoard's writer if it is installed; discards earlier values from `first_step` on."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=first_step)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
