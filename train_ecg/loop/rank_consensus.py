"""What all processes must decide as one: to stop, to save, and which validation metrics count.

Every process must ask the same questions in the same order, or they wait for each other for ever.
With one process, its own answer is returned at once.
"""

from collections.abc import Mapping

import torch

from ecgpipe.stopping import Stop
from ecgpipe.train_ecg.loop.ranks import Ranks

# A GPU's step waits for the exchange; 16 steps still take far less time than a scheduler leaves
# between its signal and the kill. A CPU's step may take seconds, and does not notice the exchange.
STEPS_BETWEEN = {"cpu": 1, "cuda": 16}


class RankConsensus:
    """The common decisions of the processes that train a run."""

    def __init__(self, ranks: Ranks, device: torch.device) -> None:
        self._ranks = ranks
        self._device = device

    def to_stop(self, stop: Stop, step: int) -> bool:
        """Whether to stop before this step of the epoch; exchanged every `STEPS_BETWEEN` steps."""
        if self._ranks.world == 1:
            return bool(stop)
        return step % STEPS_BETWEEN[self._device.type] == 0 and self.any(bool(stop))

    def any(self, wish: bool) -> bool:
        """Whether any process wishes it."""
        if self._ranks.world == 1:
            return wish
        return bool(self._ranks.sum(torch.tensor(float(wish), device=self._device)))

    def metrics(self, values: Mapping[str, float]) -> dict[str, float]:
        """The first process's metrics, for all processes.

        Metrics may differ, since each process has batch norm statistics of its own, but all must
        agree on whether an epoch is the best or the last.
        """
        names = sorted(values)
        own = torch.tensor([values[name] for name in names], dtype=torch.float64).to(self._device)
        self._ranks.broadcast([own])
        return dict(zip(names, own.tolist(), strict=True))
