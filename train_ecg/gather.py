"""Collecting the global batch from all processes, with gradient.

Owns why this is not one call of a library: torch's own version warns, accelerate's has no gradient,
and a gather without gradient trains a different loss.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import distributed


class _GatherWithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows_bD: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(rows_bD) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, rows_bD.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        # Every process's loss depends on our rows: sum what all of them ask, then take our part.
        # A copy, since the sum is made in place and the incoming gradient is not ours to change.
        gradient_BD = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(gradient_BD)
        rank, n = distributed.get_rank(), len(gradient_BD) // distributed.get_world_size()
        return gradient_BD[rank * n : (rank + 1) * n]


_gather: Callable[[torch.Tensor], torch.Tensor] = _GatherWithGradient.apply


def gather_rows(rows_bD: torch.Tensor) -> torch.Tensor:
    """The rows of all processes in rank order; with one process, the rows themselves.

    Every process must call it with equally many rows.
    """
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return rows_bD
    return _gather(rows_bD)
