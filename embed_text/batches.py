"""Which texts go through the model together.

Owns the plan: texts of like length together, so that little of a batch is padding, and lengths
padded to a multiple of 16, because attention kernels round differently otherwise and a text's
vector would depend on its neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

LENGTH_STEP = 16


@dataclass(frozen=True)
class Batch:
    """Texts, by their place in the list, and the length they are padded to."""

    places: tuple[int, ...]
    padded_length: int


def plan_batches(lengths: Sequence[int], max_tokens_per_batch: int) -> list[Batch]:
    """Divide texts into batches, longest first.

    Args:
        lengths: tokens of each text.
        max_tokens_per_batch: rows x padded length stays at or below it; a single longer text still
            gets a batch of its own.

    Returns:
        Batches that hold every text once. Texts in a batch have one padded length. The longest come
        first, so that a card too small fails in the first second and not in the last hour.
    """
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    batches: list[Batch] = []
    current: list[int] = []
    for place in order:
        padded = padded_length(lengths[place])
        full = (len(current) + 1) * padded > max_tokens_per_batch
        if current and (full or padded != padded_length(lengths[current[0]])):
            batches.append(_batch(current, lengths))
            current = []
        current.append(place)
    if current:
        batches.append(_batch(current, lengths))
    return batches


def padded_length(length: int) -> int:
    """The next multiple of 16."""
    return -(-length // LENGTH_STEP) * LENGTH_STEP


def _batch(places: Sequence[int], lengths: Sequence[int]) -> Batch:
    return Batch(tuple(places), padded_length(lengths[places[0]]))
