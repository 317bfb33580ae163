"""Turn the heart vector and the electrode potentials into twelve leads.

Owns the lead field, the electrodes, the electrical axis and the rounding to whole microvolts. The
field is Dower's: Dower GE, Machado HB, Osborne JA (1980), Clin Cardiol 3:87. Only I, II and V1 to
V6 are independent. III, aVR, aVL and aVF are derived from the rounded I and II in integers, so
Einthoven's and Goldberger's laws hold exactly. Must not know rhythms or findings.
"""

import math

import numpy as np
import numpy.typing as npt

from simulator.waves import FloatArray

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
ELECTRODES = ("RA", "LA", "LL", "C1", "C2", "C3", "C4", "C5", "C6")

DOWER = np.array(
    [
        [0.632, -0.235, 0.059],  # I
        [0.235, 1.066, -0.132],  # II
        [-0.515, 0.157, -0.917],  # V1
        [0.044, 0.164, -1.387],  # V2
        [0.882, 0.098, -1.277],  # V3
        [1.213, 0.127, -0.601],  # V4
        [1.125, 0.127, -0.086],  # V5
        [0.831, 0.076, 0.230],  # V6
    ]
)
"""(8, 3): the independent leads of a 1 mV vector (X left, Y feet, Z back)."""


def _electrode_differences() -> npt.NDArray[np.float32]:
    differences = np.zeros((8, 9), dtype=np.float32)
    differences[0, [1, 0]] = 1, -1  # I = LA - RA
    differences[1, [2, 0]] = 1, -1  # II = LL - RA
    differences[2:, :3] = -1 / 3  # V = C - (RA + LA + LL) / 3, Wilson's central terminal
    differences[2:, 3:] = np.eye(6)
    return differences


ELECTRODE_DIFFERENCES = _electrode_differences()
"""(8, 9): the independent leads as differences of the electrodes' potentials."""


def limb_leads(independent_mv: FloatArray) -> FloatArray:
    """(6, samples): I, II, III, aVR, aVL, aVF from leads whose first two rows are I and II."""
    i, ii = independent_mv[0], independent_mv[1]
    return np.stack([i, ii, ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2])


def frontal_axis_deg(vector: FloatArray, field: FloatArray) -> float:
    """Return the electrical axis in degrees, -180 to 180, of a vector (3,) in a lead field."""
    left, down = _frontal_plane(field) @ vector
    return math.degrees(math.atan2(down, left))


def axis_projections(field: FloatArray, axis_deg: float) -> tuple[FloatArray, FloatArray]:
    """Return two (3,) rows that project a vector onto an axis and onto its perpendicular."""
    left, down = _frontal_plane(field)
    cos, sin = math.cos(math.radians(axis_deg)), math.sin(math.radians(axis_deg))
    return cos * left + sin * down, sin * left - cos * down


def _frontal_plane(field: FloatArray) -> FloatArray:
    """(2, 3): lead I, and aVF scaled to a bipolar lead.

    An augmented lead shows sqrt(3)/2 of what a bipolar lead in the same direction would. Without
    the factor every axis would be biased towards 0 degrees.
    """
    i, ii = field[:2]
    return np.stack([i, (ii - i / 2) * 2 / math.sqrt(3)])


STEPS_PER_MV = np.array([500.0, 500.0, 1000.0, 1000.0, 1000.0, 1000.0, 1000.0, 1000.0])
"""(8,): I and II are rounded to even microvolts, because the augmented leads halve them."""


def twelve_leads_uv(independent_mv: FloatArray) -> npt.NDArray[np.int16]:
    """(12, samples) whole microvolts in the order of LEADS, from (8, samples) mV."""
    steps = independent_mv * STEPS_PER_MV[:, None]
    whole = np.rint(steps, out=steps).astype(np.int16)
    half_i, half_ii = whole[:2]
    i, ii = 2 * half_i, 2 * half_ii
    limb = np.stack([i, ii, ii - i, -half_i - half_ii, i - half_ii, ii - half_i])
    return np.concatenate([limb, whole[2:]])
