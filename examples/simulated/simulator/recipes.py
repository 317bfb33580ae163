"""Which findings a record has, and how each of them changes the plan.

Owns the list of causes, their frequencies, and which may occur together. A cause turns a healthy
plan into one with the finding and does not know how a plan is drawn. The diagnostic limits are in
the README's table; a recipe keeps a distance from its limit, so that the finding is never in doubt.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from simulator import findings
from simulator.plan import Plan, Territory
from simulator.waves import Vector, vector_along

Recipe = Callable[[Plan, np.random.Generator], Plan]


@dataclass(frozen=True)
class Cause:
    """A disorder of the heart, or none ("normal")."""

    name: str
    findings: tuple[int, ...]
    """Ids of the findings that it causes."""

    weight: float
    """Relative frequency as the first cause."""

    apply: Recipe


def _normal(plan: Plan, rng: np.random.Generator) -> Plan:
    return plan


def _tachycardia(plan: Plan, rng: np.random.Generator) -> Plan:
    # AV conduction is faster at a high rate, and P must not merge with T.
    return replace(plan, rate_per_min=rng.uniform(106, 132), pr_s=min(plan.pr_s, 0.150))


def _bradycardia(plan: Plan, rng: np.random.Generator) -> Plan:
    return replace(plan, rate_per_min=rng.uniform(41, 56))


def _sinus_arrhythmia(plan: Plan, rng: np.random.Generator) -> Plan:
    return replace(plan, rhythm="sinus_arrhythmia", rate_per_min=rng.uniform(67, 82))


def _fibrillation(plan: Plan, rng: np.random.Generator) -> Plan:
    return replace(plan, rhythm="fibrillation", rate_per_min=rng.uniform(66, 98))


def _flutter(plan: Plan, rng: np.random.Generator) -> Plan:
    return replace(plan, rhythm="flutter")


def _atrial_premature(plan: Plan, rng: np.random.Generator) -> Plan:
    return replace(plan, rhythm="atrial_premature", rate_per_min=min(plan.rate_per_min, 88))


_PREMATURE_ORIGINS: tuple[Vector, ...] = (
    (0.25, 0.75, 0.62),  # right outflow tract: negative in V1, down the limb leads
    (-0.30, -0.55, -0.78),  # left ventricle, inferior wall: positive in V1, up the limb leads
    (0.55, -0.70, 0.45),  # right ventricle, apex: negative in V1, up the limb leads
)


def _ventricular_premature(plan: Plan, rng: np.random.Generator) -> Plan:
    origin = _PREMATURE_ORIGINS[rng.integers(len(_PREMATURE_ORIGINS))]
    return replace(
        plan,
        rhythm="ventricular_premature",
        rate_per_min=min(plan.rate_per_min, 88),
        premature_mv=vector_along(origin, rng.uniform(1.1, 1.7)),
        premature_qrs_s=rng.uniform(0.140, 0.170),
    )


def _paced(plan: Plan, rng: np.random.Generator) -> Plan:
    return replace(
        plan,
        rhythm="ventricular_paced",
        activation="paced",
        rate_per_min=rng.uniform(62, 82),
        qrs_s=rng.uniform(0.140, 0.170),
        axis_deg=rng.uniform(0, 68),
        t_mv=rng.uniform(0.35, 0.60),
    )


def _first_degree_block(plan: Plan, rng: np.random.Generator) -> Plan:
    # Slow enough for the P wave not to merge with the preceding T wave.
    return replace(plan, pr_s=rng.uniform(0.230, 0.320), rate_per_min=min(plan.rate_per_min, 82))


def _complete_block(plan: Plan, rng: np.random.Generator) -> Plan:
    return replace(plan, rhythm="complete_block", rate_per_min=rng.uniform(40, 51))


def _preexcitation(plan: Plan, rng: np.random.Generator) -> Plan:
    left_sided = rng.random() < 0.4
    depth = rng.uniform(-0.7, -0.4) if left_sided else rng.uniform(-0.1, 0.3)
    return replace(
        plan,
        activation="preexcited",
        pr_s=rng.uniform(0.094, 0.105),
        qrs_s=rng.uniform(0.122, 0.138),
        axis_deg=rng.uniform(5, 65),
        t_mv=0.8 * plan.t_mv,
        delta=(0.75, rng.uniform(0.25, 0.6), depth),
    )


def _rbbb(plan: Plan, rng: np.random.Generator) -> Plan:
    return replace(
        plan,
        activation="rbbb",
        qrs_s=rng.uniform(0.135, 0.160),
        axis_deg=rng.uniform(18, 68),
        t_mv=0.65 * plan.t_mv,
    )


def _lbbb(plan: Plan, rng: np.random.Generator) -> Plan:
    return replace(
        plan,
        activation="lbbb",
        qrs_s=rng.uniform(0.130, 0.164),
        axis_deg=rng.uniform(-10, 60),
        t_mv=rng.uniform(0.28, 0.50),
    )


def _left_axis(plan: Plan, rng: np.random.Generator) -> Plan:
    return replace(plan, axis_deg=rng.uniform(-75, -54))


def _right_axis(plan: Plan, rng: np.random.Generator) -> Plan:
    return replace(plan, axis_deg=rng.uniform(102, 142))


def _low_voltage(plan: Plan, rng: np.random.Generator) -> Plan:
    return replace(plan, limb_voltage_mv=rng.uniform(0.26, 0.43), t_mv=0.5 * plan.t_mv)


def _hypertrophy(plan: Plan, rng: np.random.Generator) -> Plan:
    return replace(plan, sokolow_mv=rng.uniform(3.8, 5.0), axis_deg=rng.uniform(-8, 40))


_INFARCT_AXES_DEG: dict[Territory, tuple[float, float]] = {
    "anterior": (15, 65),
    "lateral": (20, 68),
    "inferior": (-20, 2),
}
"""Within the normal range, on the side to which the infarct shifts the axis."""


def _old(wall: Territory) -> Recipe:
    def recipe(plan: Plan, rng: np.random.Generator) -> Plan:
        axis_deg = rng.uniform(*_INFARCT_AXES_DEG[wall])
        return replace(plan, infarct=wall, qrs_s=rng.uniform(0.102, 0.108), axis_deg=axis_deg)

    return recipe


def _acute(wall: Territory) -> Recipe:
    def recipe(plan: Plan, rng: np.random.Generator) -> Plan:
        return replace(_old(wall)(plan, rng), injury_mv=rng.uniform(0.20, 0.36))

    return recipe


def _st_depression(plan: Plan, rng: np.random.Generator) -> Plan:
    return replace(plan, st_depression_mv=rng.uniform(0.20, 0.32))


def _t_inversion(plan: Plan, rng: np.random.Generator) -> Plan:
    return replace(plan, t_wave="inverted", t_mv=rng.uniform(0.30, 0.65))


def _tall_t(plan: Plan, rng: np.random.Generator) -> Plan:
    return replace(plan, t_wave="tall", t_mv=rng.uniform(1.20, 1.70))


def _long_qt(plan: Plan, rng: np.random.Generator) -> Plan:
    return replace(plan, qtc_s=rng.uniform(0.510, 0.580), rate_per_min=min(plan.rate_per_min, 80))


_ANTERIOR = findings.ANTERIOR_INFARCTION
_LATERAL = findings.LATERAL_INFARCTION
_INFERIOR = findings.INFERIOR_INFARCTION

CAUSES = (
    Cause("normal", (findings.SINUS_RHYTHM, findings.NORMAL_ECG), 9.0, _normal),
    Cause("tachycardia", (findings.SINUS_TACHYCARDIA,), 4.0, _tachycardia),
    Cause("bradycardia", (findings.SINUS_BRADYCARDIA,), 4.0, _bradycardia),
    Cause("sinus arrhythmia", (findings.SINUS_ARRHYTHMIA,), 4.5, _sinus_arrhythmia),
    Cause("atrial fibrillation", (findings.ATRIAL_FIBRILLATION,), 4.5, _fibrillation),
    Cause("atrial flutter", (findings.ATRIAL_FLUTTER,), 3.5, _flutter),
    Cause("atrial premature", (findings.ATRIAL_PREMATURE,), 4.0, _atrial_premature),
    Cause("ventricular premature", (findings.VENTRICULAR_PREMATURE,), 4.0, _ventricular_premature),
    Cause("paced", (findings.PACEMAKER,), 4.0, _paced),
    Cause("first-degree block", (findings.FIRST_DEGREE_BLOCK,), 3.5, _first_degree_block),
    Cause("complete block", (findings.COMPLETE_AV_BLOCK,), 3.5, _complete_block),
    Cause("WPW", (findings.WPW,), 3.5, _preexcitation),
    Cause("RBBB", (findings.COMPLETE_RBBB,), 3.5, _rbbb),
    Cause("LBBB", (findings.COMPLETE_LBBB,), 3.5, _lbbb),
    Cause("left axis", (findings.LEFT_AXIS,), 3.5, _left_axis),
    Cause("right axis", (findings.RIGHT_AXIS,), 3.5, _right_axis),
    Cause("low voltage", (findings.LOW_VOLTAGE,), 3.5, _low_voltage),
    Cause("hypertrophy", (findings.LEFT_HYPERTROPHY,), 3.5, _hypertrophy),
    Cause("acute anterior", (_ANTERIOR, findings.ST_ELEVATION), 1.7, _acute("anterior")),
    Cause("old anterior", (_ANTERIOR,), 2.0, _old("anterior")),
    Cause("acute lateral", (_LATERAL, findings.ST_ELEVATION), 1.7, _acute("lateral")),
    Cause("old lateral", (_LATERAL,), 2.0, _old("lateral")),
    Cause("acute inferior", (_INFERIOR, findings.ST_ELEVATION), 1.7, _acute("inferior")),
    Cause("old inferior", (_INFERIOR,), 2.0, _old("inferior")),
    Cause("ST depression", (findings.ST_DEPRESSION,), 3.5, _st_depression),
    Cause("T inversion", (findings.T_INVERSION,), 3.5, _t_inversion),
    Cause("tall T", (findings.TALL_T,), 4.0, _tall_t),
    Cause("long QT", (findings.LONG_QT,), 3.5, _long_qt),
)

PAIR_SHARE = 0.27
"""How often a second cause is drawn. Some causes have no partner, so fewer records get one."""

PARTNERS: dict[str, tuple[str, ...]] = {
    "tachycardia": ("low voltage", "hypertrophy", "acute anterior", "ST depression"),
    "bradycardia": ("first-degree block", "low voltage", "acute inferior", "long QT"),
    "sinus arrhythmia": ("left axis", "right axis", "RBBB"),
    "atrial fibrillation": ("RBBB", "LBBB", "right axis", "hypertrophy", "ST depression"),
    "atrial flutter": ("RBBB", "hypertrophy"),
    "atrial premature": ("RBBB", "left axis", "low voltage", "hypertrophy", "old anterior"),
    "ventricular premature": ("old anterior", "old inferior", "ST depression", "long QT"),
    "first-degree block": ("RBBB", "LBBB", "left axis", "old inferior", "tall T"),
    "complete block": ("hypertrophy", "long QT"),
    "left axis": ("T inversion", "long QT"),
    "right axis": ("low voltage", "T inversion"),
    "low voltage": ("long QT",),
    "hypertrophy": ("long QT",),
    "T inversion": ("long QT",),
}
"""Causes that can occur together; each pair is listed once, under the one that is first in CAUSES.

Excluded are pairs that are a finding of their own in findings98.csv (right bundle branch block with
left axis deviation, hypertrophy with ST depression, atrial fibrillation with a fast rate), and
pairs in which one cause hides the other (bundle branch block with infarction, pacing with most).
"""

_BY_NAME = {cause.name: cause for cause in CAUSES}


def _list_partners() -> dict[str, tuple[str, ...]]:
    both: dict[str, list[str]] = {name: [] for name in _BY_NAME}
    for first, seconds in PARTNERS.items():
        for second in seconds:
            both[first].append(second)
            both[second].append(first)
    return {name: tuple(others) for name, others in both.items()}


_PARTNERS_OF = _list_partners()
_SHARES = np.array([cause.weight for cause in CAUSES]) / sum(cause.weight for cause in CAUSES)


def draw_causes(rng: np.random.Generator) -> tuple[Cause, ...]:
    """Draw one cause, or two that can occur together."""
    first = CAUSES[rng.choice(len(CAUSES), p=_SHARES)]
    wants_second, which = rng.random() < PAIR_SHARE, rng.random()
    partners = _PARTNERS_OF[first.name]
    if not (wants_second and partners):
        return (first,)
    second = _BY_NAME[partners[int(which * len(partners))]]
    return tuple(sorted((first, second), key=CAUSES.index))


@cache
def list_possible_findings() -> dict[frozenset[int], tuple[Cause, ...]]:
    """Return every set of findings that a record can have, with its causes."""
    alone: list[tuple[Cause, ...]] = [(cause,) for cause in CAUSES]
    pairs: list[tuple[Cause, ...]] = [
        (_BY_NAME[first], _BY_NAME[second])
        for first, seconds in PARTNERS.items()
        for second in seconds
    ]
    return {frozenset(list_findings(causes)): causes for causes in alone + pairs}


def list_findings(causes: tuple[Cause, ...]) -> tuple[int, ...]:
    """Return the finding ids in the order of the causes."""
    return tuple(finding for cause in causes for finding in cause.findings)


def without_hypertrophy(causes: tuple[Cause, ...]) -> tuple[Cause, ...]:
    """The causes without hypertrophy, for records whose voltage the mass of the heart decides."""
    others = tuple(cause for cause in causes if cause.name != "hypertrophy")
    return others or (_BY_NAME["normal"],)


def name_hypertrophy(named: tuple[int, ...]) -> tuple[int, ...]:
    """The findings with hypertrophy, which is not normal."""
    normal = (findings.SINUS_RHYTHM, findings.NORMAL_ECG)
    return (*(each for each in named if each not in normal), findings.LEFT_HYPERTROPHY)
