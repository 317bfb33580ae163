"""The facts of one recording that a person would look at before trusting it.

Owns how heart rate and polarity are measured, and the digest of the stored window; `measures` does
the rest. Must not judge: what is suspicious, and compared with which recordings, is decided in
`suspicion`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xxhash

from ecgpipe.read_ecg.quality.measures import (
    Quality,
    extremes,
    looked_at,
    measure,
    moving_leads,
    spans,
)
from ecgpipe.read_ecg.signal.record import LEADS, EcgRecord

_ENOUGH_HZ = 125.0  # for a span: an R wave then has five samples
_STEEPNESS_HZ = 100.0
_BEAT_FROM = 0.4  # of the way from the median steepness to that of a beat
_REFRACTORY_S = 0.22

Signal = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Facts(Quality):
    """All that was measured on one recording."""

    rate_hz: float
    samples: int
    absent: tuple[str, ...]
    """Leads without any reading."""

    flat: tuple[str, ...]
    """Leads that are present and hardly move."""

    missing_share: float
    """Share of the samples of the leads that are present."""

    span_mv: tuple[float, ...]
    """The middle 99 % of each lead's samples, in the order of LEADS; NaN for an absent lead."""

    arms_reversed: bool
    """Whether they may be: lead I is mostly negative and unlike V6, and aVR is upright."""

    heart_rate_bpm: float | None
    """None if no rhythm is clear."""

    @property
    def duration_s(self) -> float:
        """Length of the recording."""
        return self.samples / self.rate_hz

    @property
    def typical_span_mv(self) -> float:
        """The median over the leads that move; NaN if none does."""
        spans = [
            span
            for lead, span in zip(LEADS, self.span_mv, strict=True)
            if np.isfinite(span) and lead not in self.flat
        ]
        return float(np.median(spans)) if spans else float("nan")


def inspect(record: EcgRecord) -> Facts:
    """Measure one recording; only the first minute of a long one."""
    signal_mv = looked_at(record)
    present = np.asarray(np.isfinite(signal_mv).any(axis=1), np.bool_)
    every = max(1, int(record.rate_hz // _ENOUGH_HZ))
    extremes_mv = extremes(signal_mv[:, ::every], present)
    moves = moving_leads(signal_mv)
    centred_mv = _without_offset(signal_mv[moves], extremes_mv[1, moves])
    moving = dict(zip(_names(moves), centred_mv, strict=True))
    return Facts(
        **vars(measure(signal_mv, record.rate_hz, moves)),
        rate_hz=record.rate_hz,
        samples=record.signal_mv.shape[1],
        absent=_names(~present),
        flat=_names(present & ~moves),
        missing_share=float((~np.isfinite(signal_mv[present])).mean()) if present.any() else 1.0,
        span_mv=tuple(spans(extremes_mv).tolist()),
        arms_reversed=_arms_may_be_reversed(moving, extremes_mv),
        heart_rate_bpm=heart_rate(centred_mv, record.rate_hz),
    )


def window_digest(window_uv: npt.NDArray[np.int16]) -> str:
    """Equal for equal stored windows, that is, for one recording under two ids."""
    return xxhash.xxh3_128_hexdigest(window_uv.tobytes())


def heart_rate(signal_mv: Signal, rate_hz: float) -> float | None:
    """Beats per minute, counted from the peaks of the steepness of all leads together.

    Args:
        signal_mv: (leads, samples) that move, finite.
        rate_hz: their rate.

    Returns:
        None if the recording is too short, or has fewer than three clear peaks.
    """
    from scipy.signal import find_peaks  # slow to import

    steepness = _steepness(signal_mv, rate_hz)
    if steepness is None:
        return None
    seconds = round(2 * _STEEPNESS_HZ)
    starts = range(0, len(steepness) - seconds + 1, seconds // 2)
    height = float(np.median([steepness[start : start + seconds].max() for start in starts]))
    usual = float(np.median(steepness))
    if height < 2 * usual:
        return None
    level = usual + _BEAT_FROM * (height - usual)
    beats, _ = find_peaks(steepness, level, distance=_REFRACTORY_S * _STEEPNESS_HZ)
    if len(beats) < 3:
        return None
    return float(60 * _STEEPNESS_HZ * (len(beats) - 1) / (beats[-1] - beats[0]))


def _names(which: Mask) -> tuple[str, ...]:
    return tuple(lead for lead, chosen in zip(LEADS, which, strict=True) if chosen)


def _without_offset(signal_mv: Signal, middle_mv: Array) -> Signal:
    """Each lead minus its median, with 0 where there is no reading."""
    centred = signal_mv - middle_mv[:, None].astype(np.float32)
    if not np.isfinite(centred).all():
        centred[~np.isfinite(signal_mv)] = 0
    return centred


def _arms_may_be_reversed(moving: Mapping[str, Signal], extremes_mv: Array) -> bool:
    """Whether I is opposite to V6 and aVR upright, as with exchanged arm electrodes.

    Einthoven's relations still hold then, so only the heart's usual direction shows it. V6 looks
    much like I; a right axis turns both over, or leaves aVR negative.
    """
    if not {"I", "aVR", "V6"} <= set(moving):
        return False
    low, middle, high = extremes_mv
    up, down = (
        dict(zip(LEADS, high - middle, strict=True)),
        dict(zip(LEADS, middle - low, strict=True)),
    )
    if down["I"] <= 2 * up["I"] or up["aVR"] <= 2 * down["aVR"]:
        return False
    return float(np.corrcoef(moving["I"], moving["V6"])[0, 1]) < -0.5


def _steepness(signal_mv: Signal, rate_hz: float) -> Array | None:
    """How steep all leads are together, at 100 Hz; None if the recording is too short."""
    n = int(signal_mv.shape[1] / rate_hz * _STEEPNESS_HZ)
    if not len(signal_mv) or n < 3 * _STEEPNESS_HZ or rate_hz < _STEEPNESS_HZ / 2:
        return None
    from scipy.ndimage import uniform_filter1d  # slow to import

    # In float32 and without copies: in double precision this took six times as long.
    smooth_mv = uniform_filter1d(signal_mv, max(1, round(0.02 * rate_hz)), mode="nearest")
    with np.errstate(over="ignore", invalid="ignore"):  # numbers that are no voltages: no rhythm
        slopes = np.diff(smooth_mv, axis=1)
        size = np.sqrt(np.einsum("ls,ls->l", slopes, slopes) / max(slopes.shape[1], 1))[:, None]
        # All leads have the same weight, and a spike counts for at most ten times the usual slope.
        slopes /= np.where(size > 0, size, np.float32(1))
        np.clip(slopes, -10, 10, out=slopes)
        energy = np.einsum("ls,ls->s", slopes, slopes)
    edges = (np.arange(n + 1) * (len(energy) / n)).astype(int)
    sums = np.concatenate(([0.0], np.cumsum(energy, dtype=np.float64)))[edges]
    smoothed = uniform_filter1d(np.diff(sums), round(0.1 * _STEEPNESS_HZ), mode="nearest")
    steepness: Array = np.sqrt(np.maximum(smoothed, 0))
    return steepness
