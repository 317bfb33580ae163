"""The global batch in parts: whose they are, and sums over all of them in one fixed order.

Each part is computed by itself, as if it had a process of its own: with its own statistics of batch
norm, its own rows of the loss, its own gradient. What is summed over parts is summed as a balanced
tree, so it comes out the same to the last bit whether two parts lie in one process or in two. Any
other order would round otherwise, and AdamW makes of a gradient near 0 a whole step of either sign,
so that after fifty steps the last bit is the second decimal (docs/lab-log.md).

Owns why the mean of gradients is not DistributedDataParallel's: that one's order depends on the
number of processes. P = parts, B = rows of the global batch, b = rows of this process.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import distributed
from torch.nn import functional

from ecgpipe.config.train import TrainConfig


@dataclass(frozen=True)
class BatchParts:
    """Which parts of the global batch there are, and which are this process's.

    Every process must ask for the same sums in the same order.
    """

    batch: int
    """B, a multiple of `number`."""

    number: int
    """P, a multiple of `world`."""

    rank: int = 0
    world: int = 1

    @classmethod
    def of(cls, config: TrainConfig, rank: int, world: int) -> "BatchParts":
        """As the settings say: by default one part a process."""
        return cls(config.global_batch_size, config.batch_parts or world, rank, world)

    @property
    def own_rows(self) -> slice:
        """This process's rows of the global batch: as many as every other's, in order of rank."""
        share = self.batch // self.world
        return slice(self.rank * share, (self.rank + 1) * share)

    @property
    def own(self) -> list[slice]:
        """This process's parts, as rows of the global batch."""
        rows, first, end = self.batch // self.number, self.own_rows.start, self.own_rows.stop
        return [slice(start, start + rows) for start in range(first, end, rows)]

    def begin_alike(self, tensors: Iterable[torch.Tensor]) -> None:
        """Give all processes the first one's: processors of another kind round elsewhere."""
        if self.world > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def gather(self, rows_b: torch.Tensor) -> torch.Tensor:
        """(B, ...) of all processes, from this one's (b, ...); without gradient."""
        if self.world == 1:
            return rows_b
        return _all_gathered(rows_b, self.world)

    def sum(self, terms: Sequence[torch.Tensor]) -> torch.Tensor:
        """The sum over all parts.

        Args:
            terms: one of each of this process's parts, all of one shape.
        """
        own = tree_sum(terms)
        if self.world == 1:
            return own
        # Each process adds up one share for all: no more is sent than in a ring.
        flat = own.reshape(-1)
        flat = functional.pad(flat, (0, -len(flat) % self.world))
        shares = torch.empty_like(flat)
        distributed.all_to_all_single(shares, flat)
        share = tree_sum(shares.view(self.world, -1).unbind())
        return _all_gathered(share, self.world)[: own.numel()].view_as(own)

    def mean(self, terms: Sequence[torch.Tensor]) -> torch.Tensor:
        """The mean over all parts, as `sum`."""
        return terms[0] if self.number == 1 else self.sum(terms) / self.number

    def mean_each(self, terms: Sequence[Sequence[torch.Tensor]]) -> list[torch.Tensor]:
        """The mean over all parts of each of several tensors, sent as one.

        Args:
            terms: for each of this process's parts the tensors, shaped alike in all parts.
        """
        if self.number == 1:
            return list(terms[0])
        mean = self.mean([torch.cat([tensor.reshape(-1) for tensor in each]) for each in terms])
        pieces = torch.split(mean, [tensor.numel() for tensor in terms[0]])
        return [piece.view_as(tensor) for piece, tensor in zip(pieces, terms[0], strict=True)]


def tree_sum(terms: Sequence[torch.Tensor]) -> torch.Tensor:
    """((a + b) + (c + d)) + ...: neighbours first, then pairs of neighbours.

    A sum over 2^k terms is a term of the same tree over more, so the processes' sums may be summed
    in turn, where each has 2^k parts, without another rounding.
    """
    while len(terms) > 1:
        pairs = [first + second for first, second in zip(terms[::2], terms[1::2], strict=False)]
        terms = [*pairs, *terms[2 * len(pairs) :]]
    return terms[0]


def _all_gathered(rows: torch.Tensor, world: int) -> torch.Tensor:
    gathered = rows.new_empty(world * len(rows), *rows.shape[1:])
    distributed.all_gather(list(gathered.chunk(world)), rows.contiguous())
    return gathered
