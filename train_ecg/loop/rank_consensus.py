"""What all processes must decide as one: to stop, to save, and which validation metrics count.

Every process must ask the same questions in the same order, or they wait for each other for ever.
With one process, its own answer is returned at once.
"""

import math
import time
from collections.abc import Mapping

import torch

from ecgpipe.stopping import Stop
from ecgpipe.train_ecg.loop.ranks import Ranks

# Long compared with a GPU's step, which waits for the exchange, and short compared with the time a
# scheduler leaves between its signal and the kill.
_SECONDS_BETWEEN = 1.0


class RankConsensus:
    """The common decisions of the processes that train a run."""

    def __init__(self, ranks: Ranks, device: torch.device) -> None:
        self._ranks = ranks
        self._device = device
        self._exchanged_at: float | None = None
        self._steps_left = self._interval = 1

    def begin_epoch(self) -> None:
        """Exchange before the next step: nobody asked while the last epoch was validated."""
        self._exchanged_at, self._steps_left = None, 1

    def to_stop(self, stop: Stop) -> bool:
        """Whether to stop before this step; exchanged about once a second.

        The processes also agree on how many steps pass until the next exchange, by how long the
        last ones took; at an epoch's first exchange that is not known yet.
        """
        if self._ranks.world == 1:
            return bool(stop)
        self._steps_left -= 1
        if self._steps_left:
            return False
        now, before = time.monotonic(), self._exchanged_at
        step_s = math.inf if before is None else (now - before) / self._interval
        wishes, total_s = self._sum([float(bool(stop)), step_s])
        steps = int(_SECONDS_BETWEEN * self._ranks.world / max(total_s, 1e-6))
        self._exchanged_at = now
        self._steps_left = self._interval = max(steps, 1)
        return bool(wishes)

    def any(self, wish: bool) -> bool:
        """Whether any process wishes it."""
        return self._sum([float(wish)])[0] > 0

    def metrics(self, values: Mapping[str, float]) -> dict[str, float]:
        """The first process's metrics, for all processes.

        Metrics may differ, since each process has batch norm statistics of its own, but all must
        agree on whether an epoch is the best or the last.
        """
        names = sorted(values)
        own = torch.tensor([values[name] for name in names], dtype=torch.float64).to(self._device)
        self._ranks.broadcast([own])
        return dict(zip(names, own.tolist(), strict=True))

    def _sum(self, numbers: list[float]) -> list[float]:
        own = torch.tensor(numbers, dtype=torch.float64)
        if self._ranks.world > 1:
            own = self._ranks.sum(own.to(self._device))
        total: list[float] = own.tolist()
        return total
