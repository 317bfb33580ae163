"""What stays the same across a patient's ECGs: chest, heart axis, amplitudes, intervals.

Owns the variation of healthy anatomy. Every range is within the limits of a normal ECG, with a
margin for the small differences between two records of one patient. Must not know findings.
"""

from dataclasses import dataclass

import numpy as np

from simulator.leads import DOWER
from simulator.waves import FloatArray


@dataclass(frozen=True, kw_only=True)
class Patient:
    """One simulated person."""

    age: int
    """Years at the first record."""

    sex: str
    """"M" or "F"."""

    n_records: int
    """1 to 3."""

    field: FloatArray
    """(8, 3): the patient's lead field, a random variation of Dower's."""

    axis_deg: float
    """Frontal axis of the QRS."""

    septum_mv: float
    wall_mv: float
    base_mv: float
    """Lengths of the three vectors of a normal QRS."""

    qrs_s: float
    pr_s: float
    qtc_s: float
    """QT corrected by Bazett's formula."""

    rate_per_min: float
    """Resting sinus rate."""

    p_mv: float
    t_mv: float
    """Amplitude of the largest T wave in the chest leads."""

    t_axis_deg: float
    t_anterior: float
    """Forward component of the T vector, as a share of its length in the frontal plane."""


def draw_patient(rng: np.random.Generator) -> Patient:
    """Draw a patient within normal limits."""
    sex = "F" if rng.random() < 0.48 else "M"
    size = float(np.clip(rng.normal(1.0 if sex == "M" else 0.9, 0.17), 0.6, 1.5))
    return Patient(
        age=int(np.clip(rng.normal(62, 16), 18, 94)),
        sex=sex,
        n_records=int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15])),
        field=_draw_field(rng),
        axis_deg=float(np.clip(rng.normal(42, 18), -8, 70)),
        septum_mv=size * rng.uniform(0.16, 0.34),
        wall_mv=size * rng.uniform(1.15, 1.75),
        base_mv=size * rng.uniform(0.4, 0.8),
        qrs_s=rng.uniform(0.082, 0.100),
        pr_s=rng.uniform(0.138, 0.184),
        qtc_s=rng.uniform(0.385, 0.425) + (0.008 if sex == "F" else 0.0),
        rate_per_min=float(np.clip(rng.normal(76, 9), 64, 94)),
        p_mv=rng.uniform(0.07, 0.14),
        t_mv=size * rng.uniform(0.28, 0.52),
        t_axis_deg=float(np.clip(rng.normal(38, 10), 18, 56)),
        t_anterior=rng.uniform(0.20, 0.60),
    )


def _draw_field(rng: np.random.Generator) -> FloatArray:
    """Vary Dower's field: rotate the heart about the long axis, move electrodes nearer or away."""
    angle_rad = np.radians(np.clip(rng.normal(0, 6), -12, 12))
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    about_long_axis = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    gain = np.exp(rng.normal(0, 0.05, (8, 1)))
    gain[2:] *= np.exp(rng.normal(0, 0.09))
    field: FloatArray = gain * DOWER @ about_long_axis
    return field + rng.normal(0, 0.02, (8, 3))
