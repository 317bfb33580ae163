"""Draw the heart vector of a whole record: beats at their onsets, plus atrial activity.

Combines a rhythm with the shapes of beats. Must not know findings, noise or files.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from simulator.atria import ectopic_p_wave, fibrillation_waves, flutter_waves, p_wave
from simulator.depolarisation import Depolarisation, depolarisation, premature_depolarisation
from simulator.patient import Patient
from simulator.plan import Plan
from simulator.repolarisation import bazett_qt_s, premature_repolarisation, repolarisation
from simulator.rhythms import AFTER_S, BEFORE_S, RECORD_S, Rhythm
from simulator.waves import FloatArray, draw

RATE_HZ = 500
N_SAMPLES = round(RECORD_S * RATE_HZ)

LEAD_IN_S = 0.02
"""A beat is drawn from this long before its onset, to include a pacing spike."""

MARGIN_S = BEFORE_S + AFTER_S
"""Canvas on either side of the record, for beats that cross its edges."""


@dataclass(frozen=True, kw_only=True)
class HeartRecord:
    """A heart vector and the parameters of its conducted beats."""

    vector_mv: FloatArray
    """(3, N_SAMPLES) at RATE_HZ."""

    qrs: Depolarisation
    qt_s: float


def draw_heart(
    plan: Plan, patient: Patient, rhythm: Rhythm, rng: np.random.Generator
) -> HeartRecord:
    """Draw the heart vector of a record."""
    canvas = np.zeros((3, N_SAMPLES + 2 * round(MARGIN_S * RATE_HZ)))
    qrs = depolarisation(plan, patient)
    t_waves, plateaus = repolarisation(plan, patient, qrs, rhythm.rr_s)
    qt_s = bazett_qt_s(plan.qtc_s, rhythm.rr_s)
    beat = draw((*qrs.stimulus, *qrs.waves, *t_waves), _beat_time(qt_s), plateaus)
    # Breathing changes the amplitude of the beats by up to 3 %.
    depth, phase = rng.uniform(0.005, 0.03), rng.uniform(0, 2 * np.pi)
    _add_beats(canvas, beat, rhythm.qrs_s, 1 + depth * np.sin(1.6 * rhythm.qrs_s + phase))
    _add_premature_beats(canvas, plan, rhythm, qt_s)
    _add_atria(canvas, patient.p_mv, rhythm, rng)
    margin = round(MARGIN_S * RATE_HZ)
    return HeartRecord(vector_mv=canvas[:, margin : margin + N_SAMPLES], qrs=qrs, qt_s=qt_s)


def _beat_time(length_s: float) -> FloatArray:
    """The sample times of a beat, until 0.15 s after its end."""
    return np.arange(-round(LEAD_IN_S * RATE_HZ), round((length_s + 0.15) * RATE_HZ)) / RATE_HZ


def _add_premature_beats(canvas: FloatArray, plan: Plan, rhythm: Rhythm, qt_s: float) -> None:
    if rhythm.premature_qrs_s.size == 0:
        return
    qrs = premature_depolarisation(plan)
    t_waves, plateaus = premature_repolarisation(qrs, qt_s)
    beat = draw((*qrs.waves, *t_waves), _beat_time(1.3 * qt_s), plateaus)
    _add_beats(canvas, beat, rhythm.premature_qrs_s)


def _add_atria(canvas: FloatArray, p_mv: float, rhythm: Rhythm, rng: np.random.Generator) -> None:
    if rhythm.atria == "fibrillation":
        canvas += fibrillation_waves(_canvas_time(canvas), rng)
    if rhythm.atria == "flutter":
        canvas += flutter_waves(_canvas_time(canvas), rhythm.flutter_hz, rng)
    if rhythm.p_s.size:
        _add_beats(canvas, draw(p_wave(p_mv), _beat_time(0.0)), rhythm.p_s)
    if rhythm.premature_p_s.size:
        _add_beats(canvas, draw(ectopic_p_wave(p_mv, rng), _beat_time(0.0)), rhythm.premature_p_s)


def _canvas_time(canvas: FloatArray) -> FloatArray:
    return np.arange(canvas.shape[1]) / RATE_HZ - MARGIN_S


def _add_beats(
    canvas: FloatArray,
    beat: FloatArray,
    onsets_s: FloatArray,
    sizes: Iterable[float] | None = None,
) -> None:
    """Add a beat (3, samples) to the canvas at each onset, rounded to the nearest sample."""
    starts = np.rint((onsets_s + MARGIN_S - LEAD_IN_S) * RATE_HZ).astype(int)
    for start, size in zip(starts, np.ones(starts.size) if sizes is None else sizes, strict=True):
        end = start + beat.shape[1]
        if start >= 0 and end <= canvas.shape[1]:
            canvas[:, start:end] += size * beat
