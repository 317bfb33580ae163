"""Intervals by resampling patients.

Owns the resampling. Patients are drawn, not records: two ECGs of one person are no two witnesses.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def patient_weights(patients: Sequence[str], draws: int, seed: int) -> Floats:
    """How often each record counts in each draw.

    Args:
        patients: (records,) whose record each is.
        draws: resamplings; in each, as many patients are drawn as there are, with replacement.
        seed: the same seed, the same draws.

    Returns:
        (draws, records).
    """
    names, patient_of = np.unique(np.asarray(patients), return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(names), np.full(len(names), 1 / max(len(names), 1)), size=draws)
    weights: Floats = counts[:, patient_of].astype(np.float64)
    return weights


def percentile_interval(values: Floats) -> tuple[float, float]:
    """The middle 95 % of the draws in which the figure exists; NaNs where it never does."""
    known = values[np.isfinite(values)]
    if len(known) == 0:
        return float("nan"), float("nan")
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)
