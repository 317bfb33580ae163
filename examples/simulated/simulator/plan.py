"""The plan of one record: what the heart does, before anything is drawn.

Owns the parameters that a recipe may change, and the healthy plan it starts from. The random
choices about a beat's shape are made here or in a recipe; drawing is then pure geometry.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from simulator.patient import Patient
from simulator.waves import Vector

RhythmName = Literal[
    "sinus",
    "sinus_arrhythmia",
    "fibrillation",
    "flutter",
    "atrial_premature",
    "ventricular_premature",
    "ventricular_paced",
    "complete_block",
]
ActivationName = Literal["normal", "rbbb", "lbbb", "paced", "preexcited"]
Territory = Literal["anterior", "lateral", "inferior"]
TWaveName = Literal["normal", "inverted", "tall"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The parameters of one record."""

    rhythm: RhythmName = "sinus"

    rate_per_min: float
    """Rate of the sinus node, or of the ventricles in fibrillation, flutter, pacing and complete
    block."""

    pr_s: float

    activation: ActivationName = "normal"
    """How the ventricles are activated."""

    qrs_s: float
    axis_deg: float

    delta: Vector = (0.0, 0.0, 0.0)
    """Direction of the delta wave, for "preexcited"."""

    premature_mv: Vector = (0.0, 0.0, 0.0)
    """The vector of the ventricular premature beats."""

    premature_qrs_s: float = 0.15

    limb_voltage_mv: float | None = None
    """If set, the largest QRS of a limb lead, peak to peak; a chest lead may have twice as much."""

    sokolow_mv: float | None = None
    """If set, S in V1 plus the larger R of V5 and V6."""

    infarct: Territory | None = None
    """The wall that no longer conducts (Q waves)."""

    injury_mv: float = 0.0
    """ST vector towards the infarcted wall."""

    st_depression_mv: float = 0.0
    """ST vector away from the apex."""

    t_wave: TWaveName = "normal"
    t_mv: float
    """Absolute amplitude of the largest T wave in the chest leads."""

    qtc_s: float
    """QT corrected by Bazett's formula."""


def plan_healthy(patient: Patient, rng: np.random.Generator) -> Plan:
    """Plan a normal ECG of this patient, with small differences from record to record."""
    return Plan(
        rate_per_min=float(np.clip(patient.rate_per_min + rng.normal(0, 4), 62, 98)),
        pr_s=patient.pr_s + rng.uniform(-0.008, 0.008),
        qrs_s=patient.qrs_s + rng.uniform(-0.002, 0.002),
        axis_deg=patient.axis_deg + rng.uniform(-3, 3),
        t_mv=patient.t_mv * rng.uniform(0.85, 1.15),
        qtc_s=patient.qtc_s + rng.uniform(-0.006, 0.006),
    )
