"""What a run writes down as it goes: log.jsonl by epoch, steps.jsonl now and then, TensorBoard.

Owns those files. After a resume they hold what an undisturbed run's would, but for the times.
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
        """A line for the person who reads the job's log."""
        if self._on:
            say(line)

    def rewind(self, history: Sequence[Mapping[str, Any]], step: int) -> None:
        """Forget what was written behind `step`: it will be done again. Comes before any figure."""
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
                break  # half a line, of a killed run
        write_atomic(self._steps, "".join(f"{line}\n" for line in kept).encode())

    def epoch(self, history: Sequence[Mapping[str, Any]], *, to_board: bool = True) -> None:
        """The epochs up to now, whole: a reader never sees half a line."""
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

    def step(self, epoch: int, step: int, figures: Mapping[str, float]) -> None:
        """The figures of one step, counted from 1 over all epochs."""
        if not self._on:
            return
        with storing(self._steps), self._steps.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"epoch": epoch, "step": step, **figures}) + "\n")
        if self._board is not None:
            for name, value in figures.items():
                self._board.add_scalar(f"step/{name}", value, step)
            self._board.flush()  # what is not is lost with the process


def _board(folder: Path, first_step: int) -> Any:
    """TensorBoard's writer where it is installed; earlier figures from `first_step` on are void."""
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
