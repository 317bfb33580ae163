"""Resampling to another rate, by soxr.

Owns the filter and what happens at the ends. soxr's HQ filter is accurate to 1e-4 up to 0.7 of the
lower rate's Nyquist frequency (1e-6 well below it) and to 1e-3 up to 0.9, and attenuates by 80 dB
above it (140 dB far above). A polyphase filter of default length: 1e-3, 56 dB, and slower.
"""

from fractions import Fraction

import numpy as np
import numpy.typing as npt
import soxr

_EDGE_S = 0.5


def resample(
    signal: npt.NDArray[np.float32], from_hz: float, to_hz: float
) -> npt.NDArray[np.float32]:
    """Resample each row.

    Args:
        signal: (rows, samples), finite.
        from_hz: its rate.
        to_hz: the rate wanted.

    Returns:
        (rows, round(samples x to / from)). Each end is first extended by point reflection for half
        a second, because the filter would otherwise see a step to zero there.
    """
    if from_hz == to_hz:
        return signal
    ratio = Fraction(to_hz / from_hz).limit_denominator(10_000)
    edge = _edge_samples(ratio, from_hz, signal.shape[1])
    # The filter starts from zero, so a large offset would ring: it is removed meanwhile.
    offset = np.median(signal, axis=1, keepdims=True)
    extended = np.pad(signal - offset, ((0, 0), (edge, edge)), "reflect", reflect_type="odd")
    resampled = soxr.resample(extended.T, from_hz, to_hz, quality="HQ").T + offset
    first = round(edge * ratio)
    length = round(signal.shape[1] * ratio)
    kept = resampled[:, first : first + length]
    # soxr may drop the last sample; the reflected edge makes this rare.
    missing = length - kept.shape[1]
    return np.ascontiguousarray(np.pad(kept, ((0, 0), (0, missing)), "edge"))


def _edge_samples(ratio: Fraction, from_hz: float, samples: int) -> int:
    """Half a second, rounded to a whole number of samples at both rates."""
    step = ratio.denominator
    wanted = max(step, round(_EDGE_S * from_hz / step) * step)
    return min(wanted, (samples - 1) // step * step)
