"""Electrode noise: muscle, mains, breathing and movement.

Noise is added to the nine electrodes, never to leads, so the leads stay consistent with each other
as they do on a real patient. It is computed in float32, which is eight times as fast and precise to
a fraction of a microvolt. Must not know the heart.
"""

import math

import numpy as np
import numpy.typing as npt

from simulator.leads import ELECTRODES

N_ELECTRODES = len(ELECTRODES)

Array = npt.NDArray[np.float32]

MUSCLE_MV = (0.003, 0.020)
"""RMS on an electrode, about 20 to 110 Hz, from a relaxed patient to a tense one."""

MAINS_HZ = 50.0
MAINS_MV = 0.008
"""Largest amplitude on an electrode; most records have far less."""

BREATHING_MV = (0.01, 0.12)
"""Amplitude on an electrode, 0.15 to 0.35 Hz."""

DRIFT_MV = 0.08
"""Largest amplitude of an electrode's slow drift."""

MOVEMENT_SHARE = 0.15
MOVEMENT_MV = (0.1, 0.35)
"""In this share of the records one electrode moves once, for 0.3 to 1 s."""


def electrode_noise(n_samples: int, rate_hz: int, rng: np.random.Generator) -> Array:
    """Draw the noise, (9, n_samples) in mV, in the order of ELECTRODES."""
    time_s = np.arange(n_samples, dtype=np.float32) / np.float32(rate_hz)
    noise = _muscle(time_s, rng)
    mains_mv, mains = _mains(time_s, rng)
    baseline_mv, baseline = _baseline(time_s, rng)
    noise += np.hstack([mains_mv, baseline_mv]) @ np.vstack([mains, baseline])
    if rng.random() < MOVEMENT_SHARE:
        noise[rng.integers(N_ELECTRODES)] += _movement(time_s, rng)
    return noise


def _muscle(time_s: Array, rng: np.random.Generator) -> Array:
    """White noise through a short difference filter, with a slowly varying amplitude.

    At 500 Hz the filter passes the band of muscle noise. It adds four uniform numbers, which is
    close enough to a normal distribution and four times as fast.
    """
    white = rng.random((N_ELECTRODES, time_s.size + 5), dtype=np.float32)
    pairs = white[:, 1:] + white[:, :-1]
    muscle: Array = pairs[:, 4:] - pairs[:, :-4]
    waxing = 1 + 0.4 * _sine(time_s, rng.uniform(0.05, 0.3), rng)
    root_mean_square_mv = rng.uniform(*MUSCLE_MV) * rng.uniform(0.6, 1.4, (N_ELECTRODES, 1))
    muscle *= (root_mean_square_mv * math.sqrt(12 / 4)).astype(np.float32)
    muscle *= waxing
    return muscle


def _mains(time_s: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """The same field on every electrode, with different amplitudes and slightly different phases.

    Returns:
        (9, 2) amplitudes in mV and (2, samples) shapes, a sine and a cosine.
    """
    size_mv = MAINS_MV * rng.random() ** 3 * rng.uniform(0.3, 1.0, N_ELECTRODES)
    phase = rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.4, N_ELECTRODES)
    turn = np.float32(2 * np.pi * (MAINS_HZ + rng.uniform(-0.05, 0.05))) * time_s
    sizes_mv = np.stack([size_mv * np.cos(phase), size_mv * np.sin(phase)], axis=1)
    return sizes_mv.astype(np.float32), np.stack([np.sin(turn), np.cos(turn)])


def _baseline(time_s: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Breathing and a slow drift, each with one shape and a different amplitude per electrode.

    Returns:
        (9, 2) amplitudes in mV and (2, samples) shapes.
    """
    breath = _sine(time_s, rng.uniform(0.15, 0.35), rng)
    drift = _sine(time_s, rng.uniform(0.03, 0.12), rng)
    largest_mv = np.array([rng.uniform(*BREATHING_MV), DRIFT_MV])
    sizes_mv = largest_mv * rng.uniform(-1, 1, (N_ELECTRODES, 2))
    return sizes_mv.astype(np.float32), np.stack([breath, drift])


def _movement(time_s: Array, rng: np.random.Generator) -> Array:
    """Movement of one electrode, (samples,): a fast rise and a slow return."""
    size_mv = np.float32(rng.uniform(*MOVEMENT_MV) * rng.choice([-1, 1]))
    since_s = np.maximum(time_s - np.float32(rng.uniform(0, time_s[-1])), 0)
    share = since_s / np.float32(rng.uniform(0.1, 0.35))
    push: Array = size_mv * share * np.exp(1 - share)
    return push


def _sine(time_s: Array, hz: float, rng: np.random.Generator) -> Array:
    """A sine, (samples,), with a random phase."""
    sine: Array = np.sin(np.float32(2 * np.pi * hz) * time_s + np.float32(2 * np.pi * rng.random()))
    return sine
