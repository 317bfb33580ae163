"""Which epoch's model is kept, and where training ends.

Owns both answers, as functions of the validation figures alone, so that a run which is looked at
later, resumed or asked for with another patience is judged as it would have judged itself. Knows no
torch.
"""

import math
from collections.abc import Sequence

import numpy as np


def best_epoch(values: Sequence[float | None]) -> int:
    """The epoch with the best validation figure, counted from 1; 0 without any epoch.

    Of equals it is the first; where no epoch has a figure, the last.
    """
    if all(value is None for value in values):
        return len(values)
    return int(np.argmax([-math.inf if value is None else value for value in values])) + 1


def last_epoch(values: Sequence[float | None], epochs: int, patience: int | None) -> int | None:
    """The epoch at whose end training is over, counted from 1; None where it goes on.

    Args:
        values: the validation figure of each epoch up to now.
        epochs: after so many it is over.
        patience: or after so many that were no better than one before; None: never for that.
    """
    for done in range(1, min(len(values), epochs) + 1):
        tired = patience is not None and done - best_epoch(values[:done]) >= patience
        if done == epochs or tired:
            return done
    return None
