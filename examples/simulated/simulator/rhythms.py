"""The times at which atria and ventricles are activated.

Owns the timing of each rhythm, as arrays of onsets; knows nothing of the shape of a beat. The
arrays start before the record and end after it, so that the record has no visible first or last
beat.
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
"""Premature beats start between these, so that their coupling and pause are visible."""

AtrialActivity = Literal["p_waves", "fibrillation", "flutter"]


@dataclass(frozen=True, kw_only=True)
class Rhythm:
    """Onsets in seconds from the start of the record, each (n,); some are outside of it."""

    qrs_s: FloatArray
    """Conducted or paced beats."""

    p_s: FloatArray = field(default_factory=lambda: np.empty(0))
    premature_qrs_s: FloatArray = field(default_factory=lambda: np.empty(0))
    """Ventricular premature beats."""

    premature_p_s: FloatArray = field(default_factory=lambda: np.empty(0))
    """Ectopic P waves."""

    atria: AtrialActivity = "p_waves"
    flutter_hz: float = 0.0

    rr_s: float
    """The interval that the QT adapts to."""


def make_rhythm(plan: Plan, rng: np.random.Generator) -> Rhythm:
    """Draw the onsets of one record."""
    return _RHYTHMS[plan.rhythm](plan, rng)


def _sinus(plan: Plan, rng: np.random.Generator) -> Rhythm:
    qrs_s = _onsets(_sinus_intervals(plan.rate_per_min, rng), rng)
    return Rhythm(qrs_s=qrs_s, p_s=qrs_s - plan.pr_s, rr_s=60 / plan.rate_per_min)


def _sinus_arrhythmia(plan: Plan, rng: np.random.Generator) -> Rhythm:
    """Breathing varies the RR interval by 0.30 to 0.44 s, with a period of 3.7 to 7 s."""
    rr_s = _sinus_intervals(
        plan.rate_per_min, rng, swing_s=rng.uniform(0.15, 0.22), breath_hz=rng.uniform(0.14, 0.27)
    )
    qrs_s = _onsets(rr_s, rng)
    return Rhythm(qrs_s=qrs_s, p_s=qrs_s - plan.pr_s, rr_s=60 / plan.rate_per_min)


def _fibrillation(plan: Plan, rng: np.random.Generator) -> Rhythm:
    """Irregular without a pattern, limited by the conduction of the AV node."""
    mean_s = 60 / plan.rate_per_min
    rr_s = np.clip(mean_s * (1 + rng.uniform(0.20, 0.32) * rng.standard_normal(30)), 0.36, 1.7)
    # Rescaled to the planned mean, so that no record becomes slow or rapid fibrillation.
    rr_s *= mean_s / rr_s[: int(RECORD_S / mean_s) + 3].mean()
    return Rhythm(qrs_s=_onsets(rr_s, rng), atria="fibrillation", rr_s=mean_s)


def _flutter(plan: Plan, rng: np.random.Generator) -> Rhythm:
    """The AV node conducts every second, third or fourth wave, regularly or alternating."""
    flutter_hz = rng.uniform(4.6, 5.4)
    evenly = rng.random() < 0.6
    ratios = np.full(60, rng.choice([2, 3, 4])) if evenly else rng.choice([2, 4], 60)
    qrs_s = _onsets(ratios / flutter_hz, rng)
    return Rhythm(
        qrs_s=qrs_s, atria="flutter", flutter_hz=flutter_hz, rr_s=float(ratios.mean()) / flutter_hz
    )


def _atrial_premature(plan: Plan, rng: np.random.Generator) -> Rhythm:
    """A premature P wave with normal conduction, which resets the sinus node."""
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
    """A premature ventricular beat that does not reset the sinus node; one P is not conducted."""
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
    """Paced after each sinus P wave, or at a fixed rate without P waves."""
    if rng.random() < 0.6:
        return _sinus(plan, rng)
    rr_s = 60 / plan.rate_per_min
    return Rhythm(qrs_s=_onsets(np.full(30, rr_s), rng), rr_s=rr_s)


def _complete_block(plan: Plan, rng: np.random.Generator) -> Rhythm:
    """Independent atrial and ventricular rates, whose ratio stays away from a 2:1 block's."""
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
    """Draw enough RR intervals for a record; by default they differ by less than 0.1 s."""
    mean_s = 60 / rate_per_min
    swing_s = rng.uniform(0.004, 0.024) if swing_s is None else swing_s
    breath_hz = rng.uniform(0.18, 0.32) if breath_hz is None else breath_hz
    number = np.arange(int((RECORD_S + BEFORE_S + AFTER_S) / mean_s) + 4)
    phase = 2 * np.pi * (breath_hz * number * mean_s + rng.random())
    noise_s = np.clip(rng.normal(0, 0.006, number.size), -0.015, 0.015)
    rr_s: FloatArray = mean_s + swing_s * np.sin(phase) + noise_s
    return rr_s


def _onsets(rr_s: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Onsets with the given intervals, starting at a random point of the first one."""
    return _onsets_from(_first_onset(rr_s, rng), rr_s)


def _first_onset(rr_s: FloatArray, rng: np.random.Generator) -> float:
    return -BEFORE_S + rng.random() * float(rr_s[0])


def _onsets_from(first_s: float, rr_s: FloatArray) -> FloatArray:
    onsets_s: FloatArray = first_s + np.concatenate([[0.0], np.cumsum(rr_s)])
    return onsets_s


def _premature_beats(qrs_s: FloatArray, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Choose one or two beats to be premature, at least five apart, so no bigeminy occurs."""
    candidates = np.flatnonzero((qrs_s > FIRST_PREMATURE_S) & (qrs_s < LAST_PREMATURE_S))
    return candidates[rng.integers(0, 4) :: rng.integers(5, 8)][: rng.integers(1, 3)]
