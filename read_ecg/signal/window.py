"""EcgRecord to the fixed window of int16 µV that is stored.

Owns what makes a signal usable: gaps, flat and absent leads, length, amplitude. It is decided only
here, so that training and scoring see the same signals.
"""

import math

import numpy as np
import numpy.typing as npt

from ecgpipe.config.data import WindowConfig
from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.signal.record import LEADS, EcgRecord, Reason
from ecgpipe.read_ecg.signal.resampling import resample

NO_READING = -32768
_MAX_UV = 32767

# The middle 99 % of an ECG spans some tenths of a millivolt to a few millivolts. Far outside that
# range the gain or the units are wrong: µV read as mV is 1000 times too large.
_PLAUSIBLE_SPAN_MV = (0.02, 20.0)
_GLANCE_STEP = 10

Float = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def to_window(
    record: EcgRecord, config: WindowConfig
) -> tuple[npt.NDArray[np.int16], tuple[str, ...]]:
    """Turn a recording into the window that is stored.

    Args:
        record: (12, any) at any rate.
        config: rate, duration, crop, and the limits for rejection.

    Returns:
        (12, config.samples) int16 in µV, -32768 where there is no reading (absent or flat leads,
        padding behind a short recording); and notes on what was done.

    Raises:
        RecordError: it is too short, has too few leads, is flat, or its amplitude is implausible.
    """
    if record.duration_s < config.min_duration_s:
        raise RecordError(
            Reason.TOO_SHORT,
            f"it lasts {record.duration_s:.1f} s; {config.owner}min_duration_s is"
            f" {config.min_duration_s} s",
        )
    raw_mv, crop_notes = _crop(record, config)
    signal_mv, usable, gap_notes = _without_gaps(raw_mv, config.max_missing_fraction)
    _check_lead_count(usable, raw_mv, config)
    usable, flat_notes = _without_flat_leads(signal_mv, usable)
    _check_amplitude(signal_mv if usable.all() else signal_mv[usable])
    rate_notes: tuple[str, ...] = ()
    if record.rate_hz != config.rate_hz:
        signal_mv, rate_notes = resample(signal_mv, record.rate_hz, config.rate_hz), ("resampled",)
    signal_uv, clip_notes = _quantise(signal_mv, usable)
    window, pad_notes = _fit_length(signal_uv, config.samples)
    done = crop_notes + gap_notes + flat_notes + rate_notes + clip_notes + pad_notes
    return window, record.notes + done


def in_millivolts(window_uv: npt.NDArray[np.int16]) -> Float:
    """A stored window (12, samples) in mV; NaN where there is no reading."""
    millivolts = window_uv.astype(np.float32) * np.float32(1 / 1000)
    return np.where(window_uv == NO_READING, np.float32(np.nan), millivolts)


def _crop(record: EcgRecord, config: WindowConfig) -> tuple[Float, tuple[str, ...]]:
    """The part of a longer recording that is kept, at the recording's rate."""
    surplus = record.signal_mv.shape[1] - math.ceil(config.duration_s * record.rate_hz)
    if surplus <= 0:
        return record.signal_mv, ()
    start = surplus // 2 if config.crop == "centre" else 0
    end = record.signal_mv.shape[1] - (surplus - start)
    return record.signal_mv[:, start:end], ("cropped",)


def _without_gaps(
    signal_mv: Float, max_missing_fraction: float
) -> tuple[Float, Mask, tuple[str, ...]]:
    """Interpolate small gaps along time; also return which leads are usable. The others are 0."""
    missing = ~np.isfinite(signal_mv)
    if not missing.any():  # nearly always
        return signal_mv, np.ones(len(signal_mv), np.bool_), ()
    share = missing.mean(axis=1)
    usable = (share <= max_missing_fraction) & (share < 1)
    filled = np.where(usable[:, None], signal_mv, np.float32(0))
    times = np.arange(signal_mv.shape[1])
    gappy = np.flatnonzero(usable & missing.any(axis=1))
    for lead in gappy:
        gap = missing[lead]
        filled[lead, gap] = np.interp(times[gap], times[~gap], signal_mv[lead, ~gap])
    return filled, usable, ("gap filled",) if len(gappy) else ()


def _check_lead_count(usable: Mask, raw_mv: Float, config: WindowConfig) -> None:
    if usable.sum() >= config.min_leads:
        return
    gaps = [
        f"{lead} has no reading for {share:.0%} of its samples"
        for lead, share in zip(LEADS, (~np.isfinite(raw_mv)).mean(axis=1), strict=True)
        if config.max_missing_fraction < share < 1
    ]
    have = ", ".join(lead for lead, good in zip(LEADS, usable, strict=True) if good) or "none"
    raise RecordError(
        Reason.LEADS,
        f"{usable.sum()} of 12 leads are usable ({have}{'; ' if gaps else ''}{', '.join(gaps)});"
        f" {config.owner}min_leads is {config.min_leads}",
    )


def _without_flat_leads(signal_mv: Float, usable: Mask) -> tuple[Mask, tuple[str, ...]]:
    """Mask leads that never move. Some may be flat, but not all."""
    flat = usable & (signal_mv == signal_mv[:, :1]).all(axis=1)
    if (flat == usable).all():
        raise RecordError(Reason.FLAT, "every lead is flat: the recording holds no ECG")
    return usable & ~flat, ("flat lead masked",) if flat.any() else ()


def _check_amplitude(signal_mv: Float) -> None:
    if _is_plausible_at_a_glance(signal_mv):
        return
    low, high = np.percentile(signal_mv, [0.5, 99.5], axis=1)
    span_mv = float(np.median(high - low))
    least, most = _PLAUSIBLE_SPAN_MV
    if not least <= span_mv <= most:
        raise RecordError(
            Reason.AMPLITUDE,
            f"its leads span {span_mv:.3g} mV, outside the {least} to {most} mV of an ECG: the gain"
            " or the units in the file are wrong",
        )


def _is_plausible_at_a_glance(signal_mv: Float) -> bool:
    """Whether bounds of the span already show that it is plausible; False decides nothing.

    Percentiles of all samples took a third of prepare's time. A lead spans at most the distance of
    its extremes. If more than 0.5 % of the samples are some distance below its mean, and as many
    above, it spans at least twice that distance. The factors of two exceed any rounding.
    """
    least_mv, most_mv = _PLAUSIBLE_SPAN_MV
    some = np.ascontiguousarray(signal_mv[:, ::_GLANCE_STEP])
    beyond = signal_mv.shape[1] // 200 + 2
    from_mean = some - some.mean(axis=1, keepdims=True)
    wide = (from_mean >= least_mv).sum(axis=1, dtype=np.int32) >= beyond
    wide &= (from_mean <= -least_mv).sum(axis=1, dtype=np.int32) >= beyond
    wide &= signal_mv.max(axis=1) - signal_mv.min(axis=1) <= most_mv / 2
    return bool(2 * np.count_nonzero(wide) > len(wide))  # then the median lead is plausible


def _quantise(signal_mv: Float, usable: Mask) -> tuple[npt.NDArray[np.int16], tuple[str, ...]]:
    """Round to whole µV, and mask unusable leads."""
    microvolts = signal_mv * np.float32(1000)
    np.rint(microvolts, out=microvolts)
    clipped = bool(max(microvolts.max(), -microvolts.min()) > _MAX_UV)
    if clipped:
        np.clip(microvolts, -_MAX_UV, _MAX_UV, out=microvolts)
    signal_uv = microvolts.astype(np.int16)
    signal_uv[~usable] = NO_READING
    return signal_uv, ("clipped at 32.8 mV",) if clipped else ()


def _fit_length(
    signal_uv: npt.NDArray[np.int16], samples: int
) -> tuple[npt.NDArray[np.int16], tuple[str, ...]]:
    """Pad a short signal at the end with 'no reading'; cut the sample that rounding may add."""
    short = samples - signal_uv.shape[1]
    if short <= 0:
        return np.ascontiguousarray(signal_uv[:, :samples]), ()
    padding = ((0, 0), (0, short))
    return np.pad(signal_uv, padding, constant_values=NO_READING), ("padded",)
