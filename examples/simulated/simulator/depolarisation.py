"""The QRS: its waves for each activation, rotated to an axis and scaled to a voltage.

Owns the wave shapes of each activation, the Q waves of infarcts and the amplitude of the QRS. Some
waves rotate with the heart's axis, others are fixed to the chest (an infarcted wall, the right
ventricle's late forces). The axis is that of their sum, which is what a reader of the ECG sees.
Must not know ST segments, T waves or rhythms.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from simulator.leads import axis_projections, frontal_axis_deg, limb_leads
from simulator.patient import Patient
from simulator.plan import ActivationName, Plan, Territory
from simulator.waves import (
    EDGE_SIGMAS,
    FloatArray,
    Vector,
    Wave,
    delay,
    draw,
    net_area,
    rotate,
    rotate_vector,
    scale,
    scale_vector,
    vector_along,
)

SEPTUM = (-0.62, -0.15, -0.77)
FREE_WALL = (0.72, 0.60, 0.35)
BASE = (-0.10, -0.25, 0.96)
"""The three vectors of a normal QRS with an axis of about 40 degrees: the septum points right and
forward, the free wall left and down, the base backward."""

FROM_ABOVE = (0.60, -0.55, -0.58)
FROM_BELOW = (-0.25, 0.62, -0.74)
LATE_RIGHT_VENTRICLE = (-0.42, 0.05, -0.90)
LEFT_BLOCK = (0.64, 0.28, 0.71)
RIGHT_SEPTAL_PACING = (0.44, 0.36, 0.82)
STIMULUS = (0.30, 0.80, -0.52)

NECROSIS: dict[Territory, Wave] = {
    "anterior": Wave((0.02, 0.0, 0.55), 0.36, 0.14),
    "lateral": Wave((-0.36, 0.0, -0.20), 0.23, 0.095),
    "inferior": Wave((0.04, -0.34, 0.0), 0.265, 0.108),
}
"""Vectors away from the infarct, because the other walls are no longer opposed. In units of the
free wall's vector and of the QRS duration."""

LATE_AROUND_INFARCT_S: dict[Territory, float] = {
    "anterior": 0.014,
    "lateral": 0.028,
    "inferior": 0.035,
}
"""Delay of the healthy walls, which makes the Q wave 0.04 s wide."""

LIMB_VOLTAGE_FLOOR_MV = 0.75
LIMB_VOLTAGE_CEILING_MV = 2.0
SOKOLOW_CEILING_MV = 3.1
"""Keep other QRS clear of the limits of low voltage (0.5 mV) and hypertrophy (3.5 mV)."""


@dataclass(frozen=True)
class Depolarisation:
    """A finished QRS with its onset at 0 s."""

    waves: tuple[Wave, ...]
    duration_s: float
    axis_deg: float
    stimulus: tuple[Wave, ...] = ()
    """The pacemaker's spike, which is not part of the QRS."""

    @property
    def area(self) -> FloatArray:
        """(3,) in mV s."""
        return net_area(self.waves)


@dataclass(frozen=True)
class _Activation:
    turning: tuple[Wave, ...]
    fixed: tuple[Wave, ...] = ()
    stimulus: tuple[Wave, ...] = ()


def depolarisation(plan: Plan, patient: Patient) -> Depolarisation:
    """Build the QRS of a record's conducted beats."""
    activation = _ACTIVATIONS[plan.activation](plan, patient)
    if plan.infarct is not None:
        activation = _activate_around_infarct(plan.infarct, plan.qrs_s, patient)
    turning, fixed = activation.turning, activation.fixed
    angle_rad = angle_for_axis(net_area(turning), net_area(fixed), patient.field, plan.axis_deg)
    waves = (*rotate(turning, angle_rad), *fixed)
    waves = scale(waves, _voltage_factor(waves, plan, patient.field))
    axis_deg = frontal_axis_deg(net_area(waves), patient.field)
    return Depolarisation(waves, plan.qrs_s, axis_deg, activation.stimulus)


def premature_depolarisation(plan: Plan) -> Depolarisation:
    """Build the wide QRS of a ventricular premature beat."""
    waves = _two_humps(plan.premature_mv, math.hypot(*plan.premature_mv), plan.premature_qrs_s)
    return Depolarisation(waves, plan.premature_qrs_s, axis_deg=math.nan)


def angle_for_axis(
    turning: FloatArray, fixed: FloatArray, field: FloatArray, axis_deg: float
) -> float:
    """Find the rotation of one vector that gives its sum with a fixed one the requested axis.

    Args:
        turning, fixed: (3,), areas or amplitudes.
        field: (8, 3), the patient's lead field; its left and down are not quite perpendicular.
        axis_deg: the requested frontal axis of the sum.

    Returns:
        The angle in radians, for `rotate`.
    """
    along_axis, across_axis = axis_projections(field, axis_deg)
    # The sum has no component across the axis: still + cos_part cos(a) + sin_part sin(a) = 0.
    x, y, z = turning
    cos_part = float(across_axis[0] * x + across_axis[1] * y)
    sin_part = float(across_axis[1] * x - across_axis[0] * y)
    still = float(across_axis @ fixed + across_axis[2] * z)
    size = math.hypot(cos_part, sin_part)
    assert abs(still) < size, f"no rotation gives {axis_deg:.0f} degrees: {still:.4f} of {size:.4f}"
    middle, half = math.atan2(sin_part, cos_part), math.acos(-still / size)
    # The two solutions point in opposite directions along the axis.
    return max(
        (middle - half, middle + half),
        key=lambda angle: float(along_axis @ rotate_vector((x, y, z), angle)),
    )


def _normal(plan: Plan, patient: Patient) -> _Activation:
    septum, wall, base = _three_vectors(patient, plan.qrs_s)
    if -30 < plan.axis_deg < 90:
        return _Activation(turning=(septum, wall, base))
    # With a blocked fascicle, activation starts opposite to it and gives the leads that become
    # negative a small initial R. Without that R they would look like an infarction.
    entry = FROM_BELOW if plan.axis_deg < 0 else FROM_ABOVE
    first = replace(septum, vector_mv=vector_along(entry, 1.2 * math.hypot(*septum.vector_mv)))
    return _Activation(turning=(wall, base), fixed=(first,))


def _three_vectors(patient: Patient, duration_s: float) -> tuple[Wave, Wave, Wave]:
    return (
        Wave(vector_along(SEPTUM, patient.septum_mv), 0.20 * duration_s, 0.08 * duration_s),
        Wave(vector_along(FREE_WALL, patient.wall_mv), 0.46 * duration_s, 0.12 * duration_s),
        Wave(vector_along(BASE, patient.base_mv), 0.70 * duration_s, 0.12 * duration_s),
    )


def _rbbb(plan: Plan, patient: Patient) -> _Activation:
    """The left ventricle as usual, then the right ventricle alone, late and slowly."""
    septum, wall, base = _three_vectors(patient, patient.qrs_s)
    sigma_s = 0.14 * plan.qrs_s
    late = Wave(
        vector_along(LATE_RIGHT_VENTRICLE, 0.45 * patient.wall_mv),
        plan.qrs_s - EDGE_SIGMAS * sigma_s,
        sigma_s,
    )
    return _Activation(turning=(septum, wall, *scale((base,), 0.35)), fixed=(late,))


def _lbbb(plan: Plan, patient: Patient) -> _Activation:
    """The septum from the right, then the free wall: two slow waves in one direction."""
    return _Activation(turning=_two_humps(LEFT_BLOCK, 0.7 * patient.wall_mv, plan.qrs_s))


def _paced(plan: Plan, patient: Patient) -> _Activation:
    """A stimulus at the right side of the septum, followed by much the same as in LBBB.

    Not at the apex, whose axis of about -70 degrees would be an unnamed left axis deviation.
    """
    spike = Wave(vector_along(STIMULUS, 0.9 * patient.wall_mv), -0.004, 0.0015)
    humps = _two_humps(RIGHT_SEPTAL_PACING, 0.8 * patient.wall_mv, plan.qrs_s, first=0.6)
    return _Activation(turning=humps, stimulus=(spike,))


def _two_humps(
    direction: Vector, size_mv: float, duration_s: float, first: float = 1.0
) -> tuple[Wave, Wave]:
    """A slow QRS: a plateau, or a slope if the first wave is smaller."""
    early, late = rotate_vector(direction, -0.25), rotate_vector(direction, 0.25)
    return (
        Wave(vector_along(early, first * size_mv), 0.36 * duration_s, 0.144 * duration_s),
        Wave(vector_along(late, size_mv), 0.65 * duration_s, 0.14 * duration_s),
    )


def _preexcited(plan: Plan, patient: Patient) -> _Activation:
    """The slow start through the accessory pathway, then the wave conducted by the AV node."""
    # Two waves of rising amplitude form a slope that merges with the R wave.
    sigma_s = 0.014
    start = Wave(vector_along(plan.delta, 0.20 * patient.wall_mv), EDGE_SIGMAS * sigma_s, sigma_s)
    slope = Wave(vector_along(plan.delta, 0.34 * patient.wall_mv), start.centre_s + 0.021, sigma_s)
    early_s = 0.035
    _, wall, base = _three_vectors(patient, plan.qrs_s - early_s)
    return _Activation(turning=(start, slope, *delay((wall, base), early_s)))


_ACTIVATIONS: dict[ActivationName, Callable[[Plan, Patient], _Activation]] = {
    "normal": _normal,
    "rbbb": _rbbb,
    "lbbb": _lbbb,
    "paced": _paced,
    "preexcited": _preexcited,
}


def _activate_around_infarct(wall: Territory, qrs_s: float, patient: Patient) -> _Activation:
    """First a vector away from the infarct, then the healthy walls, slightly delayed.

    An anterior infarct includes the septum.
    """
    share = NECROSIS[wall]
    vector_mv = scale_vector(share.vector_mv, patient.wall_mv)
    dead = Wave(vector_mv, share.centre_s * qrs_s, share.sigma_s * qrs_s)
    late_s = LATE_AROUND_INFARCT_S[wall]
    alive = delay(_three_vectors(patient, qrs_s - late_s), late_s)
    return _Activation(turning=alive[1:] if wall == "anterior" else alive, fixed=(dead,))


def _voltage_factor(waves: tuple[Wave, ...], plan: Plan, field: FloatArray) -> float:
    """The factor that gives a QRS the planned voltage, or an unremarkable one."""
    time_s = np.arange(0.0, plan.qrs_s, 0.002)
    leads_mv = field @ draw(waves, time_s)
    limb_mv = float(np.ptp(limb_leads(leads_mv), axis=1).max())
    sokolow_mv = float(-leads_mv[2].min() + leads_mv[6:].max())
    if plan.limb_voltage_mv is not None:
        chest_mv = float(np.ptp(leads_mv[2:], axis=1).max())
        return min(plan.limb_voltage_mv / limb_mv, 2 * plan.limb_voltage_mv / chest_mv)
    if plan.sokolow_mv is not None:
        return plan.sokolow_mv / sokolow_mv
    smallest = max(1.0, LIMB_VOLTAGE_FLOOR_MV / limb_mv)
    return min(smallest, LIMB_VOLTAGE_CEILING_MV / limb_mv, SOKOLOW_CEILING_MV / sokolow_mv)
