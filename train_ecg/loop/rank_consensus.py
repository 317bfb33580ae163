"""What several processes must decide as one: to stop, to save, and which figures count.

Owns the questions to which there must be one answer. All processes must ask the same in the same
order, or they wait for each other for ever. One process agrees with itself at once.
"""

import math
import time
from collections.abc import Mapping

import torch
from torch import distributed

from ecgpipe.stopping import Stop
from ecgpipe.train_ecg.loop.batch_parts import BatchParts

# Long against a step of a GPU, which an agreement waits for, and short against the time a scheduler
# leaves.
_SECONDS_BETWEEN = 1.0


class Agreement:
    """The common will of the processes that train a run."""

    def __init__(self, parts: BatchParts, device: torch.device) -> None:
        self._parts = parts
        self._device = device
        self._agreed_at: float | None = None
        self._steps_left = self._steps_agreed_for = 1

    def begin_epoch(self) -> None:
        """Agree before its first step: nobody has asked while the last epoch was validated."""
        self._agreed_at, self._steps_left = None, 1

    def to_stop(self, stop: Stop) -> bool:
        """Whether to stop before this step; asked now and then, about once a second.

        They agree also on how many steps there are to the next time, by how long these took; of
        an epoch's first agreement that is not known.
        """
        if self._parts.world == 1:
            return bool(stop)
        self._steps_left -= 1
        if self._steps_left:
            return False
        now, before = time.monotonic(), self._agreed_at
        step_s = math.inf if before is None else (now - before) / self._steps_agreed_for
        wishes, total_s = self._sum([float(bool(stop)), step_s])
        steps = int(_SECONDS_BETWEEN * self._parts.world / max(total_s, 1e-6))
        self._agreed_at = now
        self._steps_left = self._steps_agreed_for = max(steps, 1)
        return bool(wishes)

    def any(self, wish: bool) -> bool:
        """Whether any process wishes it."""
        return wish if self._parts.world == 1 else self._sum([float(wish)])[0] > 0

    def figures(self, values: Mapping[str, float]) -> dict[str, float]:
        """The first process's figures, for all of them.

        Statistics of batch norm are each process's own, so figures may differ; but whether an epoch
        is better, or the last, must be one answer.
        """
        names = sorted(values)
        found = torch.tensor([values[name] for name in names], dtype=torch.float64)
        if self._parts.world > 1:
            found = found.to(self._device)
            distributed.broadcast(found, 0)
        return dict(zip(names, found.tolist(), strict=True))

    def _sum(self, numbers: list[float]) -> list[float]:
        said = torch.tensor(numbers, dtype=torch.float64, device=self._device)
        total: list[float] = self._parts.sum([said]).tolist()
        return total
