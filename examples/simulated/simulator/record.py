"""One simulated ECG, from three numbers: seed, patient, record.

Owns the order of the steps and the streams of chance. Each record has a stream of its own, so that
asking for more patients, or leaving out the noise, changes nothing in the others.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from simulator.heart import N_SAMPLES, RATE_HZ, HeartRecord, beat_heart
from simulator.leads import ELECTRODE_DIFFERENCES, twelve_leads_uv
from simulator.noise import electrode_noise
from simulator.patient import Patient, draw_patient
from simulator.plan import Plan, healthy_plan
from simulator.recipes import Cause, carried_findings, draw_causes, possible_findings
from simulator.rhythms import RECORD_S, Rhythm, make_rhythm
from simulator.waves import FloatArray


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What was drawn. Onsets are those inside the record, each (n,), in seconds."""

    qrs_onsets_s: FloatArray
    """Of conducted or paced beats."""

    premature_qrs_onsets_s: FloatArray
    """Of beats that begin in a ventricle."""

    p_onsets_s: FloatArray
    premature_p_onsets_s: FloatArray

    rate_per_min: float
    """Of the ventricles, from the mean distance of all beats."""

    pr_s: float | None
    """None where no P wave belongs to a QRS."""

    qrs_s: float
    qt_s: float
    qtc_s: float
    axis_deg: float
    """From the area of the QRS in I and aVF."""


@dataclass(frozen=True, kw_only=True)
class SimulatedEcg:
    """Ten seconds of a simulated person."""

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
) -> SimulatedEcg:
    """Simulate one ECG.

    Args:
        seed: of the whole set.
        patient, record: numbers from 0. A patient has `patient_of(seed, patient).n_records` records
            in a set, but any number can be asked for.
        findings: ids to have instead of the ones that chance would give this record.
        noise: without it, only the heart is drawn; the heart is the same either way.

    Raises:
        ValueError: the findings cannot be had together.
    """
    person = patient_of(seed, patient)
    rng = _stream(seed, patient, record + 1)
    drawn = draw_causes(rng)
    causes = drawn if findings is None else _causes_of(findings)
    plan = healthy_plan(person, rng)
    for cause in causes:
        plan = cause.apply(plan, rng)
    rhythm = make_rhythm(plan, rng)
    heart = beat_heart(plan, person, rhythm, rng)
    leads_mv = person.field @ heart.vector_mv
    if noise:
        leads_mv += ELECTRODE_DIFFERENCES @ electrode_noise(N_SAMPLES, RATE_HZ, rng)
    return SimulatedEcg(
        signal_uv=twelve_leads_uv(leads_mv),
        findings=carried_findings(causes),
        age=person.age + record,
        sex=person.sex,
        truth=_truth(plan, rhythm, heart),
    )


@lru_cache(maxsize=16)
def patient_of(seed: int, patient: int) -> Patient:
    """The person with this number."""
    return draw_patient(_stream(seed, patient, 0))


def _stream(seed: int, patient: int, part: int) -> np.random.Generator:
    """Part 0 is the person, part n + 1 the record n."""
    return np.random.Generator(
        np.random.SFC64(np.random.SeedSequence(seed, spawn_key=(patient, part)))
    )


def _causes_of(findings: Collection[int]) -> tuple[Cause, ...]:
    causes = possible_findings().get(frozenset(findings))
    if causes is None:
        raise ValueError(
            f"findings {sorted(findings)} have no causes that can be had together; "
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
