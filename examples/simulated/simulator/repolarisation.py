"""The ST segment and the T wave that follow a QRS.

Owns their shapes, the QT rule and secondary changes: after left bundle branch block, pacing and
ventricular beats ST and T point away from the QRS, after right bundle branch block away from V1. A
secondary change belongs to its cause and gets no finding. Must not know rhythms or findings.
"""

import math

import numpy as np

from simulator.depolarisation import Depolarisation, angle_for_axis
from simulator.patient import Patient
from simulator.plan import Plan, Territory
from simulator.waves import (
    FloatArray,
    Plateau,
    Vector,
    Wave,
    rotate_vector,
    scale_vector,
    vector_along,
)

INJURY: dict[Territory, Vector] = {
    "anterior": (0.22, 0.0, -0.97),
    "lateral": (0.92, -0.30, 0.25),
    "inferior": (0.05, 0.99, 0.0),
}
"""Towards the injured wall."""

SUBENDOCARDIAL = (-0.85, -0.45, 0.20)
"""Away from the apex: ST falls in I, II and V4 to V6."""

INVERTED_T = (-0.62, -0.28, 0.73)


def bazett_qt_s(qtc_s: float, rr_s: float) -> float:
    """Invert Bazett's formula: QT is QTc times the square root of RR in seconds."""
    return qtc_s * math.sqrt(rr_s)


def repolarisation(
    plan: Plan, patient: Patient, qrs: Depolarisation, rr_s: float
) -> tuple[tuple[Wave, ...], tuple[Plateau, ...]]:
    """Return the T waves and ST plateaus of conducted beats, timed from the onset of the QRS."""
    qt_s = bazett_qt_s(plan.qtc_s, rr_s)
    narrow = 0.88 if plan.t_wave == "tall" else 1.0
    t_vector = _scale_to_chest(_t_direction(plan, patient, qrs), plan.t_mv, patient.field)
    if plan.infarct is not None:
        # Over an injured wall the T wave rises with the ST segment.
        t_vector = _add(t_vector, vector_along(INJURY[plan.infarct], 0.5 * plan.injury_mv))
    t_waves = t_wave(t_vector, qt_s, narrow)
    return t_waves, _st_segment(plan, qrs, t_waves[0])


def premature_repolarisation(
    qrs: Depolarisation, qt_s: float
) -> tuple[tuple[Wave, ...], tuple[Plateau, ...]]:
    """Return T and ST of a ventricular beat: opposite to its QRS, with a slightly longer QT."""
    against_mv = scale_vector(qrs.waves[0].vector_mv, -0.4)
    waves = t_wave(against_mv, max(qt_s, 0.36) + 0.04)
    return waves, (_secondary(scale_vector(against_mv, 0.3), qrs.duration_s, waves[0].centre_s),)


def t_wave(vector_mv: Vector, qt_s: float, narrow: float = 1.0) -> tuple[Wave, Wave]:
    """Build a T wave with a slow rise and a faster fall, whose tangent meets the baseline at QT."""
    sigma_s = 0.115 * narrow * qt_s
    main = Wave(scale_vector(vector_mv, 0.85), qt_s - 2 * sigma_s, sigma_s)
    early = Wave(scale_vector(vector_mv, 0.25), main.centre_s - 1.1 * sigma_s, 1.25 * sigma_s)
    return main, early


def _t_direction(plan: Plan, patient: Patient, qrs: Depolarisation) -> Vector:
    if plan.activation in ("lbbb", "paced"):
        x, y, z = -qrs.area
        return (x, y, z)
    if plan.t_wave == "inverted":
        return INVERTED_T
    anterior = -0.1 if plan.activation == "rbbb" else patient.t_anterior
    level: Vector = (1.0, 0.0, -anterior)
    angle_rad = angle_for_axis(np.array(level), np.zeros(3), patient.field, patient.t_axis_deg)
    return rotate_vector(level, angle_rad)


def _secondary(vector_mv: Vector, qrs_s: float, t_peak_s: float) -> Plateau:
    """An ST segment that merges into the T wave of an abnormally activated beat."""
    return Plateau(vector_mv, qrs_s - 0.008, t_peak_s, 0.006, 0.015)


def _scale_to_chest(direction: Vector, chest_mv: float, field: FloatArray) -> Vector:
    """Scale a direction until the chest lead with the largest deflection shows `chest_mv`."""
    unit = vector_along(direction, 1.0)
    return vector_along(unit, chest_mv / float(np.abs(field[2:] @ unit).max()))


def _add(one: Vector, other: Vector) -> Vector:
    return (one[0] + other[0], one[1] + other[1], one[2] + other[2])


def _st_segment(plan: Plan, qrs: Depolarisation, t_peak: Wave) -> tuple[Plateau, ...]:
    if plan.activation in ("lbbb", "paced"):
        return (_secondary(scale_vector(t_peak.vector_mv, 0.2), qrs.duration_s, t_peak.centre_s),)
    if plan.infarct is not None and plan.injury_mv > 0:
        vector = vector_along(INJURY[plan.infarct], plan.injury_mv)
        end_s = t_peak.centre_s - 0.010
    elif plan.st_depression_mv > 0:
        # Ends before the T wave does, which stays upright.
        vector = vector_along(SUBENDOCARDIAL, plan.st_depression_mv)
        end_s = t_peak.centre_s - 1.2 * t_peak.sigma_s
    else:
        return ()
    return (Plateau(vector, qrs.duration_s - 0.010, end_s, 0.004, 0.015),)
