"""What is measured on every recording: mains noise, clipping, limb leads that disagree.

Owns how each is measured and from which limit it is worth a note. `check` measures a sample of the
recordings and `prepare` all of them, both with this code, so they agree. Changes no sample. Must be
cheap compared with reading a recording: float32, no sorting, no spectrum.
"""

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from ecgpipe.read_ecg.quality.einthoven import LimbCheck, check_limb_leads, means
from ecgpipe.read_ecg.signal.record import LEADS, EcgRecord

# Only the first 60 s of a long recording are measured.
LOOKED_AT_S = 60.0

_MAINS_SHARE = 0.1

# Rounding leaves 0.007 of the limb leads' size in 99 % of the PTB-XL records, 0.09 in the worst.
_CONTRADICTION = 0.1
_CONTRADICTION_MV = 0.02
_EXPLAINED = 0.05
_EXPLAINED_MV = 0.01

_SHARES = (0.005, 0.5, 0.995)
_FLAT_SPAN_MV = 0.005
_FLAT_SHARE = 0.02  # of the largest span: a whole recording may be in volts
_CLIPPED_FROM_MV = 1.0
_CLIPPED_RUN_S = 0.008
_CLIPPED_RUNS = 3
_MAINS_HZ = (50.0, 60.0)
_BESIDE_HZ = 4.0  # far enough from the mains that a 1 s Hann window has no leakage there
_HANN_LINE = 1.5  # power of a line over all bins of a Hann window, relative to its own bin

# The threads of products so small spin while they wait for one another: on two cores they took
# `prepare` 2 to 5 times its processor time. Whoever reads many recordings has a process a core.
_BLAS = ThreadpoolController()

Float = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What is measured on every recording."""

    clipped: tuple[str, ...]
    """Leads that repeatedly stay at their own maximum or minimum."""

    mains_hz: float
    """50 or 60, whichever is stronger."""

    mains_share: float
    """Share of the power above 1.5 Hz; 0 if the rate is too low to tell."""

    limb: LimbCheck | None
    """None if there are fewer than three limb leads to compare."""


def quality_notes(record: EcgRecord) -> tuple[str, ...]:
    """The notes that prepare counts: 'mains noise', 'clipping' and 'limb leads disagree', the last
    with the mistake that would explain it."""
    signal_mv = looked_at(record)
    quality = measure(signal_mv, record.rate_hz, moving_leads(signal_mv))
    notes = []
    if is_full_of_mains(quality.mains_share):
        notes.append("mains noise")
    if quality.clipped:
        notes.append("clipping")
    if disagree(quality.limb):
        mistake = quality.limb.explanation if quality.limb else ""
        notes.append(f"limb leads disagree ({mistake})" if mistake else "limb leads disagree")
    return tuple(notes)


def is_full_of_mains(share: float) -> bool:
    """Whether the share of mains noise is worth a note."""
    return share >= _MAINS_SHARE


def disagree(limb: LimbCheck | None) -> bool:
    """Whether limb leads contradict each other; an explained contradiction has a lower limit."""
    if limb is None:
        return False
    if limb.explanation and limb.residual >= _EXPLAINED and limb.residual_mv >= _EXPLAINED_MV:
        return True
    return limb.residual >= _CONTRADICTION and limb.residual_mv >= _CONTRADICTION_MV


def looked_at(record: EcgRecord) -> Float:
    """(12, samples) of the first minute."""
    return record.signal_mv[:, : max(1, int(LOOKED_AT_S * record.rate_hz))]


def measure(signal_mv: Float, rate_hz: float, moves: Mask) -> Quality:
    """Measure one recording.

    Args:
        signal_mv: (12, samples).
        rate_hz: their rate.
        moves: (12,) which leads have readings and are not flat.
    """
    moving_mv = signal_mv if moves.all() else signal_mv[moves]
    with _BLAS.limit(limits=1, user_api="blas"):
        mains_hz, share = mains(_centred(moving_mv), rate_hz)
        limb = check_limb_leads(signal_mv, moves.tolist())
    names = [lead for lead, moving in zip(LEADS, moves, strict=True) if moving]
    return Quality(
        clipped=tuple(names[row] for row in _clipped_rows(moving_mv, rate_hz)),
        mains_hz=mains_hz,
        mains_share=share,
        limb=limb,
    )


def extremes(signal_mv: Float, there: Mask) -> Array:
    """(3, 12) of each lead's known samples: the ends of the middle 99 % with the median between
    them; NaN for an absent lead."""
    found = np.full((len(_SHARES), len(LEADS)), np.nan)
    if there.any():
        found[:, there] = _quantiles(signal_mv[there])
    return found


def spans(extremes_mv: Array) -> Array:
    """(12,) spans of the middle 99 % of the known samples; NaN for an absent lead."""
    low, _, high = extremes_mv
    return np.asarray(high - low)


def _quantiles(signal_mv: Float) -> Array:
    if not np.isfinite(signal_mv).all():
        return np.asarray(np.nanquantile(signal_mv, _SHARES, axis=1), np.float64)
    # np.quantile selects; to sort float32 is faster, for the processor does it by vectors.
    ordered = np.sort(signal_mv, axis=1)
    places = np.array(_SHARES) * (ordered.shape[1] - 1)
    below = places.astype(int)
    low, high = ordered[:, below], ordered[:, np.ceil(places).astype(int)]
    return np.asarray((low + (high - low).astype(np.float64) * (places - below)).T)


def move(spans_mv: Array, there: Mask) -> Mask:
    """(12,) which leads move more than one whose electrode is off."""
    largest = float(spans_mv[there].max()) if there.any() else 0.0
    enough = min(_FLAT_SPAN_MV, _FLAT_SHARE * largest)
    return np.asarray(there & (spans_mv > enough), np.bool_)


def moving_leads(signal_mv: Float) -> Mask:
    """(12,) `move(...)`, without sorting all samples if every twentieth is enough.

    In a flat lead at most 1 % of all samples lie outside a flat lead's span. That is at most a
    fifth of every twentieth sample, so the middle 60 % of those would lie inside.
    """
    few = signal_mv[:, ::20]
    cut = -(-signal_mv.shape[1] // 100)
    if 2 * cut < few.shape[1]:
        ordered = np.sort(few, axis=1)
        low, high = ordered[:, (cut, -1 - cut)].T
        if (high - low > _FLAT_SPAN_MV).all():
            return np.ones(len(LEADS), np.bool_)
    there = np.asarray(np.isfinite(signal_mv).any(axis=1), np.bool_)
    return move(spans(extremes(signal_mv, there)), there)


def mains(centred: Float, rate_hz: float) -> tuple[float, float]:
    """The stronger of 50 and 60 Hz, and its share of the power above 1.5 Hz.

    Each second is seen through a Hann window. The mean power 4 Hz below and above is subtracted, so
    that broad muscle noise does not count.

    Args:
        centred: (leads, samples) around zero, finite, in any unit.
        rate_hz: their rate.
    """
    second = round(rate_hz)
    n_seconds = centred.shape[1] // second
    if not len(centred) or rate_hz <= 2 * (max(_MAINS_HZ) + _BESIDE_HZ) or n_seconds < 2:
        return _MAINS_HZ[0], 0.0
    waves, window_squared = _waves(second, rate_hz)
    seconds = centred[:, : n_seconds * second].reshape(-1, second)
    bins = ((seconds @ waves) ** 2).sum(axis=0, dtype=np.float64).reshape(2, -1).sum(axis=0)
    # By Parseval: the one-sided spectrum without the bins of baseline wander.
    whole = second / 2 * float(np.einsum("ns,ns->s", seconds, seconds) @ window_squared)
    total = whole - float(bins[0]) / 2 - float(bins[1])
    if total <= 0:
        return _MAINS_HZ[0], 0.0
    shares = {}
    for number, mains_hz in enumerate(_MAINS_HZ):
        line, below, above = bins[2 + 3 * number : 5 + 3 * number]
        shares[mains_hz] = min(
            max(_HANN_LINE * float(line - (below + above) / 2) / total, 0.0), 1.0
        )
    strongest = max(shares, key=shares.__getitem__)
    return strongest, shares[strongest]


@functools.lru_cache(maxsize=16)
def _waves(second: int, rate_hz: float) -> tuple[Float, Array]:
    """(second, 16): cosines, then sines, of 0 and 1 Hz and of each mains frequency and its two
    neighbours, in a Hann window; and (second,) the window squared."""
    hertz = [0.0, 1.0]
    for mains_hz in _MAINS_HZ:
        hertz += [mains_hz, mains_hz - _BESIDE_HZ, mains_hz + _BESIDE_HZ]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(second) / second)
    angles = 2 * np.pi / rate_hz * np.arange(second)[:, None] * hertz
    waves = np.hstack((np.cos(angles), np.sin(angles))) * window[:, None]
    return waves.astype(np.float32), window**2


def _centred(signal_mv: Float) -> Float:
    """Each lead minus its mean, with 0 where there is no reading."""
    mean = means(signal_mv)
    if np.isfinite(mean).all():  # a single gap would show
        return signal_mv - mean
    known = np.isfinite(signal_mv)
    kept = np.where(known, signal_mv, np.float32(0))
    middle = kept.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    return np.where(known, kept - middle, np.float32(0)).astype(np.float32)


def _clipped_rows(signal_mv: Float, rate_hz: float) -> list[int]:
    """The leads that stay at their highest or lowest value, far from their middle, several times.

    Every such stay contains at least one of the samples taken at a distance of the shortest stay.
    Few leads have their highest value at several of those, so they are counted first.
    """
    least = max(3, round(_CLIPPED_RUN_S * rate_hz))
    some = np.ascontiguousarray(signal_mv[:, ::least])
    clipped = set()
    for end_mv in (np.fmax.reduce(signal_mv, axis=1), np.fmin.reduce(signal_mv, axis=1)):
        times = (some == end_mv[:, None]).sum(axis=1, dtype=np.int32)
        for row in np.flatnonzero(times >= _CLIPPED_RUNS).tolist():
            stays = np.count_nonzero(_run_lengths(signal_mv[row] == end_mv[row]) >= least)
            distance_mv = abs(end_mv[row] - np.nanmedian(signal_mv[row]))
            if stays >= _CLIPPED_RUNS and distance_mv >= _CLIPPED_FROM_MV:
                clipped.add(row)
    return sorted(clipped)


def _run_lengths(which: Mask) -> npt.NDArray[np.int64]:
    """Lengths of the stretches of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], which.astype(np.int8), [0]))))
    return edges[1::2] - edges[::2]
