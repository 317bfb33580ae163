"""Atrial activity: P waves, fibrillation waves and flutter waves.

Owns their shapes and amplitudes. The times of P waves are in `rhythms`.
"""

import numpy as np

from simulator.waves import FloatArray, Vector, Wave, scale, vector_along

TYPICAL_P_MV = 0.1

_SIGMA_S = 0.0145
_RIGHT_ATRIUM = Wave(vector_along((0.35, 0.80, -0.49), 0.090), 0.036, _SIGMA_S)
_LEFT_ATRIUM = Wave(vector_along((0.72, 0.52, 0.46), 0.085), 0.064, _SIGMA_S)

ECTOPIC_P: tuple[Vector, ...] = ((-0.45, 0.60, -0.66), (0.40, -0.90, 0.15))
"""From the left atrium (negative in I), or from low in the atria (negative in II, III, aVF)."""

FIBRILLATION_HZ = (4.5, 9.0)
FIBRILLATION = (-0.40, 0.22, -0.89)
"""Largest in V1, next in the inferior leads."""

FLUTTER = (0.10, 0.92, 0.38)
"""Large in II, III and aVF, inverted in V1, hardly visible in I."""


def p_wave(size_mv: float) -> tuple[Wave, ...]:
    """Right atrium, then left: positive in I and II, biphasic in V1. Onset at 0 s."""
    return scale((_RIGHT_ATRIUM, _LEFT_ATRIUM), size_mv / TYPICAL_P_MV)


def ectopic_p_wave(size_mv: float, rng: np.random.Generator) -> tuple[Wave, ...]:
    """A P wave of a different shape, from an ectopic focus. Onset at 0 s."""
    origin = ECTOPIC_P[rng.integers(len(ECTOPIC_P))]
    return (Wave(vector_along(origin, 1.2 * size_mv), 0.045, 0.018),)


def fibrillation_waves(time_s: FloatArray, rng: np.random.Generator) -> FloatArray:
    """(3, samples) in mV: three waves of varying frequency, 0.2 to 0.4 mV peak to peak in V1."""
    direction = np.array(FIBRILLATION) + rng.normal(0, 0.18, (3, 3))
    size_mv = rng.uniform(0.026, 0.055, (3, 1))
    hz = rng.uniform(*FIBRILLATION_HZ, (3, 1))
    slow = 2 * np.pi * (rng.uniform(0.3, 0.9, (3, 1)) * time_s + rng.random((3, 1)))
    waxing = 1 + 0.5 * np.cos(1.7 * slow)
    waves = size_mv * waxing * np.sin(2 * np.pi * hz * time_s + 2 * np.sin(slow))
    heart: FloatArray = direction.T @ waves
    return heart


def flutter_waves(time_s: FloatArray, flutter_hz: float, rng: np.random.Generator) -> FloatArray:
    """(3, samples) in mV: a sawtooth of 0.17 to 0.29 mV in II, with a slow fall and a fast rise."""
    phase = 2 * np.pi * flutter_hz * time_s
    saw = np.sin(phase) + 0.4 * np.sin(2 * phase) + 0.13 * np.sin(3 * phase)
    return np.outer(vector_along(FLUTTER, rng.uniform(0.075, 0.125)), saw)
