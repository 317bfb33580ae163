"""The processes that train one run, and what they exchange.

Owns the collectives: each process computes its own micro-batch, the embeddings of all are gathered
with their gradient, and the gradients of the weights are averaged. With one process all of it does
nothing. Every process must call the same functions in the same order, or they wait for each other.

Not DistributedDataParallel: sending gradients while others are still computed gains little for 4 M
parameters, and one explicit all-reduce is easier to profile and to test.
B = rows of the global batch, b = rows of this process.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed


@dataclass(frozen=True)
class Ranks:
    """This process's place among those that train together."""

    rank: int = 0
    world: int = 1

    def own_rows(self, batch: int) -> slice:
        """This process's rows of a global batch of so many, a multiple of `world`."""
        share = batch // self.world
        return slice(self.rank * share, (self.rank + 1) * share)

    def broadcast(self, tensors: Iterable[torch.Tensor]) -> None:
        """Overwrite each tensor with the first process's."""
        if self.world == 1:
            return
        for tensor in tensors:
            whole = tensor.contiguous()  # kernels are not, and what is sent must be
            distributed.broadcast(whole, 0)
            tensor.copy_(whole)

    def gather(self, rows_b: torch.Tensor) -> torch.Tensor:
        """(B, ...) of all processes from this one's (b, ...), with gradient."""
        if self.world == 1:
            return rows_b
        gathered_B: torch.Tensor = _Gather.apply(rows_b, self)  # type: ignore[no-untyped-call]  # torch's `apply` has no types
        return gathered_B

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum of the processes' tensors; the argument is overwritten with it."""
        if self.world > 1:
            distributed.all_reduce(tensor)
        return tensor

    def average(self, tensors: Sequence[torch.Tensor]) -> None:
        """Overwrite each tensor with its mean over processes; they are sent as one."""
        if self.world == 1:
            return
        mean = self.sum(torch.cat([tensor.reshape(-1) for tensor in tensors])) / self.world
        pieces = torch.split(mean, [tensor.numel() for tensor in tensors])
        for tensor, piece in zip(tensors, pieces, strict=True):
            # In place, so that strides stay: fused AdamW wants those of the weight.
            tensor.copy_(piece.view(tensor.shape))


class _Gather(torch.autograd.Function):
    """All-gather whose backward pass sums what every process's loss asks of this one's rows."""

    @staticmethod
    def forward(ctx: Any, rows_b: torch.Tensor, ranks: Ranks) -> torch.Tensor:
        ctx.ranks = ranks
        gathered_B = rows_b.new_empty(ranks.world * len(rows_b), *rows_b.shape[1:])
        distributed.all_gather(list(gathered_B.chunk(ranks.world)), rows_b.contiguous())
        return gathered_B

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        ranks: Ranks = ctx.ranks
        total_B = ranks.sum(gradients[0].contiguous().clone())
        return total_B[ranks.own_rows(len(total_B))], None
