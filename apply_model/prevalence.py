"""Probabilities for another hospital, where findings are more frequent or rarer.

Owns the correction for a shift of the prior: how frequent each class is there, estimated from the
calibrated probabilities of unlabelled ECGs, and the probabilities under those frequencies. It holds
if an ECG of a finding looks the same in both hospitals. Pure. N = ECGs, C = classes.

Source: Saerens, Latinne, Decaestecker 2002, "Adjusting the outputs of a classifier to new a priori
probabilities", Neural Computation 14, equations 2.4 and 2.9.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["multi_label", "single_label", "partly_known"]
Floats = npt.NDArray[np.float64]

MIN_ECGS = 100
"""A frequency estimated from fewer is mostly chance: of 100 ECGs, 10 % are known to about 6 %."""

_MOST_ROUNDS = 1000
_SETTLED = 1e-6
_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Prevalence:
    """How frequent each class is among the ECGs of another hospital."""

    kind: Kind

    known_C: Floats
    """The frequencies that the probabilities were calibrated for; NaN where there are none."""

    found_C: Floats
    """Those estimated here; NaN where there are none."""

    def corrected(self, probabilities_NC: npt.NDArray[Any]) -> Floats:
        """(N, C) the probabilities under the estimated frequencies."""
        return _corrected(
            self.kind, np.asarray(probabilities_NC, np.float64), self.known_C, self.found_C
        )


def estimate_prevalence(
    kind: Kind, probabilities_NC: npt.NDArray[Any], known_C: npt.NDArray[Any]
) -> Prevalence:
    """Estimate how frequent each class is among unlabelled ECGs, by expectation maximisation.

    Args:
        kind: single_label: the classes against one another; each row must sum to 1. Otherwise each
            class against its absence.
        probabilities_NC: (N, C) calibrated; a column of NaN is a class without calibration.
        known_C: (C,) the frequencies among the ECGs of the calibration, in (0, 1).

    Raises:
        ValueError: there are no ECGs, the shapes differ, or a frequency is not in (0, 1).
    """
    known_C = np.where(np.isnan(probabilities_NC).all(axis=0), np.nan, known_C).astype(np.float64)
    if not len(probabilities_NC) or probabilities_NC.shape[1:] != known_C.shape:
        raise ValueError(f"{probabilities_NC.shape} probabilities do not fit {known_C.shape}")
    stated_C = known_C[~np.isnan(known_C)]
    if not ((stated_C > 0) & (stated_C < 1)).all():
        raise ValueError(f"a frequency lies outside (0, 1): {stated_C}")
    if kind == "single_label":
        known_C = known_C / np.nansum(known_C)
    found_C = known_C
    for _ in range(_MOST_ROUNDS):
        sums_C = np.zeros_like(known_C)
        for start in range(0, len(probabilities_NC), _ROWS_AT_ONCE):
            block = probabilities_NC[start : start + _ROWS_AT_ONCE].astype(np.float64)
            sums_C += _corrected(kind, block, known_C, found_C).sum(axis=0)
        before_C, found_C = found_C, sums_C / len(probabilities_NC)
        if np.nanmax(np.abs(found_C - before_C), initial=0.0) <= _SETTLED:
            break
    return Prevalence(kind, known_C, found_C)


def _corrected(kind: Kind, probabilities_NC: Floats, known_C: Floats, found_C: Floats) -> Floats:
    """Bayes' rule with other priors: each class's odds grow as its prior's do."""
    present_NC = probabilities_NC * (found_C / known_C)
    if kind == "single_label":
        whole = np.nansum(present_NC, axis=1, keepdims=True)
    else:
        whole = present_NC + (1 - probabilities_NC) * ((1 - found_C) / (1 - known_C))
    # A probability of exactly 0 or 1 and a frequency of 0 leave 0/0: the evidence is final.
    corrected_NC: Floats = np.divide(
        present_NC, whole, out=probabilities_NC.copy(), where=whole > 0
    )
    return corrected_NC
