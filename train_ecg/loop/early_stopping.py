"""Which epoch's model is kept, and where training ends.

Both are functions of the validation metrics alone, so a run that is read later, resumed or given
another patience gets the same answers. Knows no torch.
"""

import math
from collections.abc import Sequence

import numpy as np


def best_epoch(values: Sequence[float | None]) -> int:
    """The epoch with the best validation metric, counted from 1; 0 without any epoch.

    Of equal ones it is the first; if no epoch has a metric, the last.
    """
    if all(value is None for value in values):
        return len(values)
    return int(np.argmax([-math.inf if value is None else value for value in values])) + 1


def last_epoch(values: Sequence[float | None], epochs: int, patience: int | None) -> int | None:
    """The epoch after which training ends, counted from 1; None if it continues.

    Args:
        values: the validation metric of each epoch so far.
        epochs: training ends after this many,
        patience: or after this many without improvement; None: never early.
    """
    for done in range(1, min(len(values), epochs) + 1):
        out_of_patience = patience is not None and done - best_epoch(values[:done]) >= patience
        if done == epochs or out_of_patience:
            return done
    return None
