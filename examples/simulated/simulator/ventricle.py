"""The hidden mass of the left ventricle: an echocardiogram measures it, the ECG shows it loosely.

Owns how mass, habitus and age become voltage, and what an echocardiogram measures of the mass.
Numbers are chosen so that voltage tells hypertrophy as badly as it does in patients: at 95 % of
those without it, a sixth of those with it, if nothing hides the mass. Nothing is fitted.
"""

from dataclasses import dataclass, replace

import numpy as np

from simulator.patient import Patient
from simulator.plan import Plan

VOLTAGE_LIMIT_MV = 3.5
"""From here on the reader of the ECG calls left ventricular hypertrophy (Sokolow and Lyon 1949)."""

_NORMAL_G_M2 = {"M": 100.0, "F": 84.0}
_MASS_SPREAD = 0.25
_HABITUS_SPREAD = 0.2
_DRIFT_A_YEAR = 0.15
_MEASURING_ERROR = 0.1


@dataclass(frozen=True, kw_only=True)
class Ventricle:
    """What nobody sees on the paper."""

    mass_g_m2: float
    """Left ventricular mass index."""

    excess: float
    """How far the mass is from the usual one, in standard deviations of its logarithm."""

    habitus: float
    """What fat and lungs do to every voltage, as a logarithm."""


def draw_ventricle(person: Patient, rng: np.random.Generator) -> Ventricle:
    """Draw a patient's ventricle: heavier with age, above the guideline's limit in three of ten."""
    excess = rng.normal() + 0.02 * (person.age - 62)
    mass = _NORMAL_G_M2[person.sex] * float(np.exp(_MASS_SPREAD * excess))
    return Ventricle(mass_g_m2=mass, excess=excess, habitus=rng.normal(0, _HABITUS_SPREAD))


def with_mass(plan: Plan, ventricle: Ventricle, age: int) -> Plan:
    """A plan with the voltage, QRS, axis and T wave that the mass gives.

    A heavier ventricle has a larger and longer QRS, an axis further to the left and a flatter T
    wave. Habitus and age change voltages alone, so the voltage by itself says little. Other
    activations, infarcts and low voltage hide the mass.
    """
    if plan.activation != "normal" or plan.infarct or plan.limb_voltage_mv is not None:
        return plan
    voltage = 0.5 * _MASS_SPREAD * ventricle.excess + ventricle.habitus - 0.006 * (age - 50)
    flatter = ventricle.habitus - 0.12 * ventricle.excess
    return replace(
        plan,
        sokolow_mv=float(np.clip(2.7 * np.exp(voltage), 1.0, 6.0)),
        qrs_s=float(np.clip(plan.qrs_s + 0.003 * ventricle.excess, 0.078, 0.118)),
        axis_deg=max(plan.axis_deg - 4 * ventricle.excess, min(plan.axis_deg, -25.0)),
        t_mv=float(np.clip(plan.t_mv * np.exp(flatter), 0.08, 0.9)),
    )


def measure_ventricle(
    ventricle: Ventricle, days: float, rng: np.random.Generator
) -> dict[str, float]:
    """What an echocardiogram some days later measures, by its columns: with an error of a tenth,
    of a heart that has changed by 15 % within a year."""
    drift = rng.normal(0, _DRIFT_A_YEAR * np.sqrt(days / 365))
    mass = ventricle.mass_g_m2 * np.exp(drift)
    wall_mm = 9.6 * (mass / 92) ** 0.45
    return {
        "lvmi": round(float(mass * np.exp(rng.normal(0, _MEASURING_ERROR))), 1),
        "ivsd_mm": round(float(wall_mm * np.exp(rng.normal(0, 0.08))), 1),
        "lvpwd_mm": round(float(wall_mm * np.exp(rng.normal(0, 0.08))), 1),
    }
