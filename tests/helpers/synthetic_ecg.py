"""ECGs computed from a heart vector, so that what should be measured is known."""

from typing import Any

import numpy as np
import numpy.typing as npt

Signal = npt.NDArray[np.float32]


def beats(bpm: float, seconds: float = 10, rate_hz: float = 500, width_s: float = 0.02) -> Signal:
    """(samples,) one upright wave of 1 mV a beat, with a T wave of 0.25 mV behind it."""
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    period = 60 / bpm
    phase = (time + 0.3 * period) % period - 0.4 * period
    t_wave = 0.25 * np.exp(-(((phase - min(0.25, 0.4 * period)) / 0.06) ** 2))
    return (np.exp(-((phase / width_s) ** 2)) + t_wave).astype(np.float32)


def ecg(bpm: float = 75, rate_hz: float = 500, seconds: float = 10, noise_mv: float = 0.01) -> Any:
    """(12, samples) of a heart vector seen by ten electrodes, so Einthoven's relations hold."""
    rng = np.random.default_rng(round(bpm))
    wave = beats(bpm, seconds, rate_hz)
    other = beats(bpm, seconds, rate_hz, 0.035)  # the vector turns, so no two leads are alike
    potential = {
        "RA": -0.5 * wave - 0.1 * other,
        "LA": 0.2 * wave + 0.3 * other,
        "LL": 0.6 * wave - 0.2 * other,
    }
    potential = {name: p + rng.normal(0, noise_mv, len(p)) for name, p in potential.items()}
    right, left, foot = potential["RA"], potential["LA"], potential["LL"]
    centre = (right + left + foot) / 3
    limb = [left - right, foot - right, foot - left]
    limb += [
        right - (left + foot) / 2,
        left - (right + foot) / 2,
        foot - (right + left) / 2,
    ]
    shares = ((-0.6, 0.1), (-0.3, 0.8), (0.2, 0.9), (0.7, 0.5), (0.9, 0.1), (0.7, 0.0))
    chest = [a * wave + b * other + rng.normal(0, noise_mv, len(wave)) - centre for a, b in shares]
    return np.stack([*limb, *chest]).astype(np.float32)
