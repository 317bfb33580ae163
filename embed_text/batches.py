"""Which texts go through the model together, and in what shape.

Owns the plan: texts of like length together, so that little of a batch is padding; lengths padded
to a multiple of 8, because attention kernels round differently otherwise; and one number of rows
for each padded length, because matrix kernels on a GPU are chosen by shape. So the shape a text is
computed in follows from its own length, not from its neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LENGTH_STEP = 8


@dataclass(frozen=True)
class Batch:
    """Texts, by their place in the list, and the shape they are computed in."""

    places: npt.NDArray[np.int64]
    padded_length: int
    rows: int
    """Of the full shape; at least as many as there are places."""

    @property
    def padded_tokens(self) -> int:
        """Tokens of the places, with their padding."""
        return len(self.places) * self.padded_length


def plan_batches(lengths: Sequence[int] | npt.NDArray[np.int64], token_budget: int) -> list[Batch]:
    """Divide texts into batches, longest first.

    Args:
        lengths: tokens of each text.
        token_budget: rows x padded length stays at or below it; a single longer text still gets a
            batch of its own.

    Returns:
        Batches that hold every text once. Texts in a batch have one padded length. The longest come
        first, so that a card too small fails in the first second and not in the last hour.
    """
    exact = np.asarray(lengths, np.int64)
    padded = padded_length(exact)
    order = np.lexsort((np.arange(len(exact)), -exact))
    batches = []
    for length in np.unique(padded)[::-1]:
        bucket = order[padded[order] == length]
        rows = max(1, token_budget // int(length))
        batches += [
            Batch(bucket[start : start + rows], int(length), rows)
            for start in range(0, len(bucket), rows)
        ]
    return batches


def padded_length(length: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The next multiple of 8, of each."""
    return -(-length // LENGTH_STEP) * LENGTH_STEP
