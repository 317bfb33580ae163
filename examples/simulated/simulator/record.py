"""Simulate one ECG from three numbers: seed, patient, record.

Owns the order of the steps and the random generators. Each record has its own generator, so adding
patients or switching off the noise does not change other records.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from simulator.heart import N_SAMPLES, RATE_HZ, HeartRecord, draw_heart
from simulator.leads import ELECTRODE_DIFFERENCES, twelve_leads_uv
from simulator.noise import electrode_noise
from simulator.patient import Patient, draw_patient
from simulator.plan import Plan, plan_healthy
from simulator.recipes import (
    Cause,
    draw_causes,
    list_findings,
    list_possible_findings,
    name_hypertrophy,
    without_hypertrophy,
)
from simulator.rhythms import RECORD_S, Rhythm, make_rhythm
from simulator.ventricle import (
    VOLTAGE_LIMIT_MV,
    Ventricle,
    draw_ventricle,
    measure_ventricle,
    with_mass,
)
from simulator.waves import FloatArray

_VENTRICLE = 1_000_000  # more records than a patient has


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The values that the ECG was drawn with. Onsets are (n,) in seconds, inside the record."""

    qrs_onsets_s: FloatArray
    """Conducted or paced beats."""

    premature_qrs_onsets_s: FloatArray
    """Ventricular premature beats."""

    p_onsets_s: FloatArray
    premature_p_onsets_s: FloatArray

    rate_per_min: float
    """Ventricular rate from the mean RR interval of all beats."""

    pr_s: float | None
    """None if no P wave is conducted."""

    qrs_s: float
    qt_s: float
    qtc_s: float
    axis_deg: float
    """From the area of the QRS in I and aVF."""


@dataclass(frozen=True, kw_only=True)
class SimulatedEcg:
    """A ten-second ECG of a simulated patient."""

    signal_uv: npt.NDArray[np.int16]
    """(12, 5000), in the order of leads.LEADS, 500 Hz."""

    findings: tuple[int, ...]
    """Ids of findings98.csv."""

    age: int
    sex: str
    """"M" or "F"."""

    truth: Truth


def simulate_record(
    seed: int,
    patient: int,
    record: int,
    findings: Collection[int] | None = None,
    noise: bool = True,
    ventricle: Ventricle | None = None,
) -> SimulatedEcg:
    """Simulate one ECG.

    Args:
        seed: the seed of the whole set.
        patient, record: numbers from 0. In a set a patient has
            `find_patient(seed, patient).n_records` records, but any number may be given here.
        findings: the ids to simulate; None to draw them at random.
        noise: whether to add electrode noise; the heart is the same either way.
        ventricle: its mass decides on voltage, and voltage on whether hypertrophy is among the
            findings; None: a voltage clear of the limit unless it is the cause.

    Raises:
        ValueError: the findings cannot occur together.
    """
    person = find_patient(seed, patient)
    rng = _make_rng(seed, patient, record + 1)
    drawn = draw_causes(rng)  # drawn in any case, to advance the generator equally
    causes = drawn if findings is None else _find_causes(findings)
    if ventricle is not None:
        causes = without_hypertrophy(causes)
    plan = plan_healthy(person, rng)
    for cause in causes:
        plan = cause.apply(plan, rng)
    named = list_findings(causes)
    if ventricle is not None:
        plan = with_mass(plan, ventricle, person.age + record)
        if plan.sokolow_mv is not None and plan.sokolow_mv > VOLTAGE_LIMIT_MV:
            named = name_hypertrophy(named)
    rhythm = make_rhythm(plan, rng)
    heart = draw_heart(plan, person, rhythm, rng)
    leads_mv = person.field @ heart.vector_mv
    if noise:
        leads_mv += ELECTRODE_DIFFERENCES @ electrode_noise(N_SAMPLES, RATE_HZ, rng)
    return SimulatedEcg(
        signal_uv=twelve_leads_uv(leads_mv),
        findings=named,
        age=person.age + record,
        sex=person.sex,
        truth=_truth(plan, rhythm, heart),
    )


@lru_cache(maxsize=16)
def find_patient(seed: int, patient: int) -> Patient:
    """Return the patient with this number."""
    return draw_patient(_make_rng(seed, patient, 0))


@lru_cache(maxsize=16)
def find_ventricle(seed: int, patient: int) -> Ventricle:
    """Return the ventricle of the patient with this number."""
    return draw_ventricle(find_patient(seed, patient), _make_rng(seed, patient, _VENTRICLE))


def measure_echo(seed: int, patient: int, record: int, days: int) -> dict[str, float]:
    """Measure the ventricle some days after a record, by the columns of data.echo."""
    rng = _make_rng(seed, patient, _VENTRICLE + 1 + record)
    return measure_ventricle(find_ventricle(seed, patient), days, rng)


def _make_rng(seed: int, patient: int, part: int) -> np.random.Generator:
    """Part 0 is the patient, part n + 1 is record n; ventricles begin at `_VENTRICLE`."""
    return np.random.Generator(
        np.random.SFC64(np.random.SeedSequence(seed, spawn_key=(patient, part)))
    )


def _find_causes(findings: Collection[int]) -> tuple[Cause, ...]:
    causes = list_possible_findings().get(frozenset(findings))
    if causes is None:
        raise ValueError(
            f"findings {sorted(findings)} cannot occur together; "
            "see CAUSES and PARTNERS in simulator/recipes.py"
        )
    return causes


def _truth(plan: Plan, rhythm: Rhythm, heart: HeartRecord) -> Truth:
    beats_s = np.sort(np.concatenate([rhythm.qrs_s, rhythm.premature_qrs_s]))
    conducted = rhythm.p_s.size > 0 and plan.rhythm != "complete_block"
    return Truth(
        qrs_onsets_s=_inside(rhythm.qrs_s),
        premature_qrs_onsets_s=_inside(rhythm.premature_qrs_s),
        p_onsets_s=_inside(rhythm.p_s),
        premature_p_onsets_s=_inside(rhythm.premature_p_s),
        rate_per_min=60 / float(np.diff(_inside(beats_s)).mean()),
        pr_s=plan.pr_s if conducted else None,
        qrs_s=heart.qrs.duration_s,
        qt_s=heart.qt_s,
        qtc_s=plan.qtc_s,
        axis_deg=heart.qrs.axis_deg,
    )


def _inside(times_s: FloatArray) -> FloatArray:
    return times_s[(times_s >= 0) & (times_s < RECORD_S)]
