"""When the atria and the ventricles are activated.

Owns the timing of each rhythm: lists of onsets, nothing of how a beat looks. The lists begin before
the record and end after it, so that a record cut out of them has no first or last beat.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from simulator.plan import Plan, RhythmName
from simulator.waves import FloatArray

RECORD_S = 10.0
BEFORE_S, AFTER_S = 2.5, 1.5
FIRST_PREMATURE_S, LAST_PREMATURE_S = 2.0, 7.8
"""Premature beats begin inside these, so that their coupling and their pause can be seen."""

AtrialActivity = Literal["p_waves", "fibrillation", "flutter"]


def _none() -> FloatArray:
    return np.empty(0)


@dataclass(frozen=True, kw_only=True)
class Rhythm:
    """Onsets in seconds from the start of the record, each (n,), some outside of it."""

    qrs_s: FloatArray
    """Of beats that come down the normal way, or from the pacemaker."""

    p_s: FloatArray = field(default_factory=_none)
    premature_qrs_s: FloatArray = field(default_factory=_none)
    """Of beats that begin in a ventricle."""

    premature_p_s: FloatArray = field(default_factory=_none)
    """Of P waves that begin outside the sinus node."""

    atria: AtrialActivity = "p_waves"
    flutter_hz: float = 0.0

    rr_s: float
    """The interval the QT adapts to."""


def make_rhythm(plan: Plan, rng: np.random.Generator) -> Rhythm:
    """The onsets of one record."""
    return _RHYTHMS[plan.rhythm](plan, rng)


def _sinus(plan: Plan, rng: np.random.Generator) -> Rhythm:
    qrs_s = _onsets(_sinus_intervals(plan.rate_per_min, rng), rng)
    return Rhythm(qrs_s=qrs_s, p_s=qrs_s - plan.pr_s, rr_s=60 / plan.rate_per_min)


def _sinus_arrhythmia(plan: Plan, rng: np.random.Generator) -> Rhythm:
    """Breathing moves the RR interval by 0.30 to 0.44 s, once in 3.7 to 7 s."""
    rr_s = _sinus_intervals(
        plan.rate_per_min, rng, swing_s=rng.uniform(0.15, 0.22), breath_hz=rng.uniform(0.14, 0.27)
    )
    qrs_s = _onsets(rr_s, rng)
    return Rhythm(qrs_s=qrs_s, p_s=qrs_s - plan.pr_s, rr_s=60 / plan.rate_per_min)


def _fibrillation(plan: Plan, rng: np.random.Generator) -> Rhythm:
    """Irregular without a pattern, never faster than the node lets through."""
    mean_s = 60 / plan.rate_per_min
    rr_s = np.clip(mean_s * (1 + rng.uniform(0.20, 0.32) * rng.standard_normal(30)), 0.36, 1.7)
    # Kept at the planned mean, so that no record slips into a slow or rapid fibrillation.
    rr_s *= mean_s / rr_s[: int(RECORD_S / mean_s) + 3].mean()
    return Rhythm(qrs_s=_onsets(rr_s, rng), atria="fibrillation", rr_s=mean_s)


def _flutter(plan: Plan, rng: np.random.Generator) -> Rhythm:
    """The node lets every second, third or fourth wave through, evenly or in turns."""
    flutter_hz = rng.uniform(4.6, 5.4)
    evenly = rng.random() < 0.6
    ratios = np.full(60, rng.choice([2, 3, 4])) if evenly else rng.choice([2, 4], 60)
    qrs_s = _onsets(ratios / flutter_hz, rng)
    return Rhythm(
        qrs_s=qrs_s, atria="flutter", flutter_hz=flutter_hz, rr_s=float(ratios.mean()) / flutter_hz
    )


def _atrial_premature(plan: Plan, rng: np.random.Generator) -> Rhythm:
    """A P wave before its time, conducted as usual; the sinus node starts anew after it."""
    mean_s = 60 / plan.rate_per_min
    rr_s = _sinus_intervals(plan.rate_per_min, rng)
    first_s = _first_onset(rr_s, rng)
    beats = _premature_beats(_onsets_from(first_s, rr_s), rng)
    rr_s[beats - 1] = mean_s * rng.uniform(0.58, 0.70)
    rr_s[beats] = mean_s * rng.uniform(1.08, 1.22)
    qrs_s = _onsets_from(first_s, rr_s)
    early = np.isin(np.arange(qrs_s.size), beats)
    p_s = qrs_s - plan.pr_s
    return Rhythm(qrs_s=qrs_s, p_s=p_s[~early], premature_p_s=p_s[early], rr_s=mean_s)


def _ventricular_premature(plan: Plan, rng: np.random.Generator) -> Rhythm:
    """A ventricular beat before its time; the sinus node keeps time, one P goes unanswered."""
    sinus = _sinus(plan, rng)
    beats = _premature_beats(sinus.qrs_s, rng)
    coupling_s = max(0.44, rng.uniform(0.58, 0.70) * sinus.rr_s)
    early_s = sinus.qrs_s[beats - 1] + coupling_s
    return Rhythm(
        qrs_s=np.delete(sinus.qrs_s, beats),
        p_s=sinus.p_s,
        premature_qrs_s=early_s,
        rr_s=sinus.rr_s,
    )


def _ventricular_paced(plan: Plan, rng: np.random.Generator) -> Rhythm:
    """After each P wave of the sinus node; or, without P waves, at a fixed rate."""
    if rng.random() < 0.6:
        return _sinus(plan, rng)
    rr_s = 60 / plan.rate_per_min
    return Rhythm(qrs_s=_onsets(np.full(30, rr_s), rng), rr_s=rr_s)


def _complete_block(plan: Plan, rng: np.random.Generator) -> Rhythm:
    """Atria and ventricles each at their own rate, whose ratio keeps away from a 2:1 block's."""
    escape_s = 60 / plan.rate_per_min
    sinus_rate = float(np.clip(plan.rate_per_min * rng.uniform(1.55, 1.85), 64, 96))
    qrs_s = _onsets(escape_s + rng.normal(0, 0.006, 30), rng)
    p_s = _onsets(_sinus_intervals(sinus_rate, rng), rng)
    return Rhythm(qrs_s=qrs_s, p_s=p_s, rr_s=escape_s)


_RHYTHMS: dict[RhythmName, Callable[[Plan, np.random.Generator], Rhythm]] = {
    "sinus": _sinus,
    "sinus_arrhythmia": _sinus_arrhythmia,
    "fibrillation": _fibrillation,
    "flutter": _flutter,
    "atrial_premature": _atrial_premature,
    "ventricular_premature": _ventricular_premature,
    "ventricular_paced": _ventricular_paced,
    "complete_block": _complete_block,
}


def _sinus_intervals(
    rate_per_min: float,
    rng: np.random.Generator,
    swing_s: float | None = None,
    breath_hz: float | None = None,
) -> FloatArray:
    """Enough RR intervals for a record. Unless told, they differ by less than 0.1 s."""
    mean_s = 60 / rate_per_min
    swing_s = rng.uniform(0.004, 0.024) if swing_s is None else swing_s
    breath_hz = rng.uniform(0.18, 0.32) if breath_hz is None else breath_hz
    number = np.arange(int((RECORD_S + BEFORE_S + AFTER_S) / mean_s) + 4)
    phase = 2 * np.pi * (breath_hz * number * mean_s + rng.random())
    noise_s = np.clip(rng.normal(0, 0.006, number.size), -0.015, 0.015)
    rr_s: FloatArray = mean_s + swing_s * np.sin(phase) + noise_s
    return rr_s


def _onsets(rr_s: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Onsets at the given distances, begun at a random point of the first interval."""
    return _onsets_from(_first_onset(rr_s, rng), rr_s)


def _first_onset(rr_s: FloatArray, rng: np.random.Generator) -> float:
    return -BEFORE_S + rng.random() * float(rr_s[0])


def _onsets_from(first_s: float, rr_s: FloatArray) -> FloatArray:
    onsets_s: FloatArray = first_s + np.concatenate([[0.0], np.cumsum(rr_s)])
    return onsets_s


def _premature_beats(qrs_s: FloatArray, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Numbers of one or two beats to come early, at least five apart: single, no bigeminy."""
    candidates = np.flatnonzero((qrs_s > FIRST_PREMATURE_S) & (qrs_s < LAST_PREMATURE_S))
    return candidates[rng.integers(0, 4) :: rng.integers(5, 8)][: rng.integers(1, 3)]
