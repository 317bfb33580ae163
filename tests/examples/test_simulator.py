"""The simulator: every named finding is in the signal, and the files hold what was simulated.

The findings are measured on the noise-free signal by the rules below, which read voltages and times
as a cardiologist would. Only the QRS onsets are taken from the truth; one test shows that the beats
found in the signal are the same.
"""

import csv
import dataclasses
import importlib
import math
import warnings
from collections import Counter
from collections.abc import Callable
from datetime import date
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import make_ecgs
import numpy as np
import numpy.typing as npt
import pytest
from simulator import (
    JAPANESE,
    LEADS,
    SimulatedEcg,
    find_patient,
    find_ventricle,
    measure_echo,
    simulate_record,
)
from simulator import findings as f
from simulator.plan import plan_healthy
from simulator.recipes import draw_causes, list_findings, list_possible_findings
from simulator.ventricle import VOLTAGE_LIMIT_MV, Ventricle, with_mass

Array = npt.NDArray[np.float64]

RATE_HZ = 500
PATIENTS_PER_CAUSE = 8
LIMB, CHEST = LEADS[:6], LEADS[6:]
INDEPENDENT = ("I", "II", *CHEST)
WALLS = {
    f.ANTERIOR_INFARCTION: ("V2", "V3", "V4"),
    f.LATERAL_INFARCTION: ("I", "aVL", "V5", "V6"),
    f.INFERIOR_INFARCTION: ("II", "III", "aVF"),
}
BEFORE_S, AFTER_S = 0.40, 0.62
"""The part of a beat that is measured, relative to the onset of its QRS."""


def _at(time_s: float) -> int:
    """The sample of a beat at a time relative to the onset of its QRS."""
    return round((BEFORE_S + time_s) * RATE_HZ)


def _find_peaks(wave: Array) -> npt.NDArray[np.intp]:
    """Samples that are higher than both neighbours."""
    return np.flatnonzero((wave[1:-1] > wave[:-2]) & (wave[1:-1] >= wave[2:])) + 1


@dataclasses.dataclass
class Reading:
    """The measurements of one noise-free ECG. Times in s, voltages in mV."""

    ecg: SimulatedEcg

    @cached_property
    def mv(self) -> dict[str, Array]:
        return dict(zip(LEADS, self.ecg.signal_uv / 1000, strict=True))

    @cached_property
    def velocity(self) -> Array:
        """(samples,) in mV/s, over all leads."""
        independent = self.ecg.signal_uv[[0, 1, 6, 7, 8, 9, 10, 11]] / 1000
        speed: Array = np.linalg.norm(np.gradient(independent, axis=1), axis=0) * RATE_HZ
        return speed

    @cached_property
    def beats(self) -> Array:
        """(beats, 12, samples): each conducted beat, from BEFORE_S before its onset."""
        signal_mv = self.ecg.signal_uv / 1000
        starts = np.rint((self.ecg.truth.qrs_onsets_s - BEFORE_S) * RATE_HZ).astype(int)
        length = round((BEFORE_S + AFTER_S) * RATE_HZ)
        return np.stack([signal_mv[:, s : s + length] for s in starts if 0 <= s <= 5000 - length])

    @cached_property
    def beat(self) -> dict[str, Array]:
        """The median beat, each lead relative to its isoelectric level before the QRS."""
        beat = np.median(self.beats, axis=0)
        speed = np.abs(np.gradient(beat[:, _at(-0.26) : _at(-0.006)], axis=1)).max(axis=0)
        resting = int(np.argmin(np.convolve(speed, np.ones(5), "valid"))) + 2 + _at(-0.26)
        return dict(zip(LEADS, beat - beat[:, resting : resting + 1], strict=True))

    @cached_property
    def beat_size(self) -> Array:
        """(samples,) in mV, over all leads."""
        size: Array = np.linalg.norm([self.beat[lead] for lead in INDEPENDENT], axis=0)
        return size

    @cached_property
    def beat_speed(self) -> Array:
        """(samples,) in mV/s, over all leads."""
        leads = [np.gradient(self.beat[lead]) for lead in INDEPENDENT]
        speed: Array = np.linalg.norm(leads, axis=0) * RATE_HZ
        return speed

    @cached_property
    def has_spike(self) -> bool:
        """Whether there is a pacing spike: a deflection of a few ms, large compared to the QRS."""
        spike = np.abs(np.diff(self.ecg.signal_uv / 1000, n=2, axis=1)).max()
        return bool(spike > 0.12 * self.beat_size[_at(0.02) : _at(0.2)].max())

    @cached_property
    def qrs(self) -> slice:
        """Samples of the QRS in the median beat, until it is at rest or back at its level."""
        first, last = _at(0.004 if self.has_spike else -0.03), _at(0.2)
        speed, size = self.beat_speed[first:last], self.beat_size[first:last]
        moving = np.flatnonzero(speed > 0.08 * speed[12:].max())
        rests = np.flatnonzero(np.diff(moving) > 10)
        top = int(np.argmax(speed[12:])) + 12
        start = moving[rests[moving[rests] < top] + 1].max(initial=moving[0])
        end = moving[rests[moving[rests] >= top]].min(initial=moving[-1])
        large = np.flatnonzero(size > 0.35 * size.max())[-1]
        back = np.flatnonzero(size[large:] < 0.06 * size.max()).min(initial=last) + large
        return slice(first + int(start), first + min(int(end), int(back)) + 1)

    @property
    def qrs_s(self) -> float:
        return float(self.qrs.stop - self.qrs.start) / RATE_HZ

    @cached_property
    def rr_s(self) -> Array:
        return np.diff(self.qrs_times)

    @cached_property
    def p_onset(self) -> int:
        """Sample at which the last peak before the QRS of the median beat starts."""
        before = self.beat_size[: self.qrs.start - 4]
        peaks = _find_peaks(before)
        peak = int(peaks[before[peaks] > 0.04].max(initial=0))
        foot = before[:peak]
        low = (foot < 0.06 * before[peak]) | (
            (np.diff(before[: peak + 1]) <= 0) & (foot < 0.5 * before[peak])
        )
        return int(np.flatnonzero(low).max(initial=-1)) + 1

    @property
    def pr_s(self) -> float:
        return float(self.qrs.start - self.p_onset) / RATE_HZ

    @cached_property
    def p_is_conducted(self) -> bool:
        """Whether the signal before the QRS is the same in most beats."""
        rows = [LEADS.index("II"), LEADS.index("V1")]
        before = self.beats[:, rows, self.p_onset : self.qrs.start]
        before = before - before[:, :, -1:]
        away = np.abs(before - np.median(before, axis=0)).max(axis=(1, 2))
        return bool(np.mean(away < 0.04) > 0.7)

    @property
    def has_p(self) -> bool:
        return self.p_is_conducted and self.p_onset > 0 and self.pr_s > 0.08

    @cached_property
    def restlessness(self) -> float:
        """In mV/s: the speed in the calmest 30 ms of a beat, median over all beats."""
        fastest = np.lib.stride_tricks.sliding_window_view(self.velocity, 15).max(axis=1)
        starts = np.rint(self.qrs_times * RATE_HZ).astype(int)
        return float(np.median([fastest[a:b].min() for a, b in pairwise(starts)]))

    @cached_property
    def qt_s(self) -> float:
        """Until the tangent at the steepest fall of T meets the isoelectric level."""
        start = self.qrs.stop + 30
        t = self.beat_size[start : _at(float(np.median(self.rr_s)) - self.pr_s - 0.02)]
        if t.size < 10:
            return 0.0
        peaks = _find_peaks(t)
        last = int(peaks[t[peaks] > t.max() / 2].max(initial=0))
        steepest = int(np.argmin(np.gradient(t)[last:])) + last
        end = steepest - t[steepest] / np.gradient(t)[steepest]
        return float(end + start - self.qrs.start) / RATE_HZ

    @cached_property
    def axis_deg(self) -> float:
        """From the net voltage (R minus Q or S) of I and aVF."""
        i, avf = (self.beat[lead][self.qrs] for lead in ("I", "aVF"))
        left, down = i.max() + i.min(), avf.max() + avf.min()
        return math.degrees(math.atan2(down * 2 / math.sqrt(3), left))

    @cached_property
    def qrs_times(self) -> Array:
        """Times of fast movement, one per QRS.

        Like in QRS detectors, a slower peak within 0.43 s of a QRS counts as its P or T wave.
        """
        speed = np.convolve(self.velocity, np.ones(12) / 12, "same")
        peaks = _find_peaks(speed)
        peaks = peaks[speed[peaks] > 0.22 * speed.max()]
        found: list[int] = []
        for at in peaks[np.argsort(-speed[peaks])]:
            near = [other for other in found if abs(at - other) < 0.43 * RATE_HZ]
            if all(abs(at - o) > 0.25 * RATE_HZ and speed[at] > 0.8 * speed[o] for o in near):
                found.append(int(at))
        # The first may be the T wave of a QRS before the record, the last may be cut off.
        whole = [at for at in sorted(found) if 0.45 * RATE_HZ < at < speed.size - 0.16 * RATE_HZ]
        return np.array([self._middle(speed, at) for at in whole])

    @staticmethod
    def _middle(speed: Array, at: int) -> float:
        """Middle of the part at least half as fast as the peak, which may be one of two waves."""
        first = max(at - 40, 0)
        fast = first + np.flatnonzero(speed[first : at + 40] > 0.5 * speed[at])
        return float(fast[0] + fast[-1]) / 2 / RATE_HZ

    @cached_property
    def qrs_widths_s(self) -> Array:
        """Width of each QRS at 30 % of its maximum speed."""
        middles = np.rint(self.qrs_times * RATE_HZ).astype(int)
        speeds = [self.velocity[max(middle - 60, 0) : middle + 60] for middle in middles]
        return np.array([np.ptp(np.flatnonzero(v > 0.3 * v.max())) for v in speeds]) / RATE_HZ

    @cached_property
    def premature(self) -> npt.NDArray[np.intp]:
        """Indices of QRS that come early in an otherwise regular rhythm, before a pause."""
        usual_s = np.median(self.rr_s)
        if np.median(np.abs(self.rr_s - usual_s)) > 0.055:
            return np.empty(0, dtype=int)
        early, pause = self.rr_s[:-1] < 0.8 * usual_s, self.rr_s[1:] > 1.02 * usual_s
        return np.flatnonzero(early & pause) + 1

    @property
    def rate_per_min(self) -> float:
        return 60 / float(np.mean(self.rr_s))

    @property
    def is_flutter(self) -> bool:
        """Whether it is never at rest, with RR intervals that are multiples of 0.18 to 0.22 s."""
        wave_s = np.linspace(0.18, 0.222, 85)[:, None]
        off_s = np.abs(self.rr_s - wave_s * np.rint(self.rr_s / wave_s)).max(axis=1)
        return bool(off_s.min() < 0.016 and self.restlessness > 1.15)

    @property
    def is_sinus(self) -> bool:
        return self.has_p and not self.is_flutter and not self.has_spike

    def voltage_mv(self, lead: str) -> float:
        """Peak-to-peak amplitude of the QRS."""
        return float(np.ptp(self.beat[lead][self.qrs]))

    def st_mv(self, lead: str) -> float:
        """60 ms after the QRS, or 20 ms if T comes early (wide QRS, fast heart)."""
        t_is_early = self.qrs_s > 0.11 or np.median(self.rr_s) < 0.7
        after_s = 0.02 if t_is_early else 0.06
        return float(self.beat[lead][self.qrs.stop + round(after_s * RATE_HZ)])

    def t_mv(self, lead: str) -> float:
        """The T wave's largest deflection, with its sign, in the last third of QT."""
        root_s = math.sqrt(np.median(self.rr_s))
        qt_s = self.qt_s if 0.3 * root_s < self.qt_s < 0.65 * root_s else 0.42 * root_s
        first, last = (self.qrs.start + round(share * qt_s * RATE_HZ) for share in (0.68, 1.0))
        t = self.beat[lead][first:last]
        return float(t[np.argmax(np.abs(t))])

    def q_s(self, lead: str) -> float:
        """How long the QRS is negative before it turns positive; 0 if it starts positive."""
        wave = self.beat[lead][self.qrs]
        first = int(np.flatnonzero(np.abs(wave) > 0.03 * np.ptp(wave)).min(initial=wave.size - 1))
        positive = np.flatnonzero(wave[first:] > 0).min(initial=wave.size - first)
        return float(positive) / RATE_HZ


def _is_fibrillation(ecg: Reading) -> bool:
    irregular = np.std(ecg.rr_s) > 0.08 * np.mean(ecg.rr_s)
    return bool(irregular and not ecg.has_p and not ecg.is_flutter and ecg.restlessness > 0.5)


def _is_arrhythmia(ecg: Reading) -> bool:
    drifts = np.median(np.abs(ecg.rr_s - np.median(ecg.rr_s))) > 0.055
    return bool(ecg.is_sinus and drifts and np.ptp(ecg.rr_s) > 0.16)


def _has_premature(ecg: Reading, wide: bool) -> bool:
    widths_s = ecg.qrs_widths_s
    is_wide = widths_s[ecg.premature] > 1.4 * np.median(widths_s)
    return bool(ecg.has_p and np.any(is_wide == wide))


def _is_dissociated(ecg: Reading) -> bool:
    """P waves at no fixed distance from the QRS, and regular ventricles."""
    before = ecg.beats[:, LEADS.index("II"), : _at(-0.02)]
    p_varies = np.ptp(before - before[:, -1:], axis=0).max() > 0.05
    regular = np.ptp(ecg.rr_s) < 0.1
    return bool(p_varies and regular and ecg.restlessness < 0.5 and not ecg.has_p)


def _is_rbbb(ecg: Reading) -> bool:
    """A late R' in V1, a late S in I and V6."""
    late = slice(ecg.qrs.stop - round(0.05 * RATE_HZ), ecg.qrs.stop)
    r, s = ecg.beat["V1"][late].max(), max(ecg.beat[lead][late].min() for lead in ("I", "V6"))
    return bool(ecg.qrs_s >= 0.12 and r > 0.1 and s < -0.05)


def _is_lbbb(ecg: Reading) -> bool:
    """R without S in I and V6, almost none in V1, and T opposite to it."""
    r = all(ecg.beat[lead][ecg.qrs].min() > -0.1 for lead in ("I", "V6"))
    v1 = ecg.beat["V1"][ecg.qrs]
    against = ecg.t_mv("V6") < 0 < ecg.t_mv("V1")
    return bool(ecg.qrs_s >= 0.12 and r and v1.max() < 0.3 * -v1.min() and against)


def _has_low_voltage(ecg: Reading) -> bool:
    limb = max(ecg.voltage_mv(lead) for lead in LIMB)
    return limb < 0.5 and max(ecg.voltage_mv(lead) for lead in CHEST) < 1.0


def _sokolow_mv(ecg: Reading) -> float:
    s, r = ecg.beat["V1"][ecg.qrs].min(), max(ecg.beat[v][ecg.qrs].max() for v in ("V5", "V6"))
    return float(r - s)


def _has_q(ecg: Reading, wall: int) -> bool:
    return sum(ecg.q_s(lead) >= 0.04 for lead in WALLS[wall]) >= 2


def _st_depressed(ecg: Reading) -> bool:
    return sum(ecg.st_mv(lead) <= -0.1 for lead in ("I", "II", "V4", "V5", "V6")) >= 2


def _st_elevated(ecg: Reading) -> bool:
    """In two leads except aVR: 0.1 mV, or 0.15 mV in V2 and V3."""
    limit_mv = {"V2": 0.15, "V3": 0.15}
    leads = [lead for lead in LEADS if lead != "aVR"]
    return sum(ecg.st_mv(lead) >= limit_mv.get(lead, 0.1) for lead in leads) >= 2


def _t_inverted(ecg: Reading) -> bool:
    return sum(ecg.t_mv(lead) < -0.05 for lead in ("I", "II", "V4", "V5", "V6")) >= 2


def _qtc_s(ecg: Reading) -> float:
    return ecg.qt_s / math.sqrt(60 / ecg.rate_per_min)


RULES: dict[int, Callable[[Reading], bool]] = {
    f.SINUS_TACHYCARDIA: lambda ecg: ecg.is_sinus and ecg.rate_per_min > 100,
    f.SINUS_BRADYCARDIA: lambda ecg: ecg.is_sinus and ecg.rate_per_min < 60,
    f.SINUS_ARRHYTHMIA: _is_arrhythmia,
    f.ATRIAL_FIBRILLATION: _is_fibrillation,
    f.ATRIAL_FLUTTER: lambda ecg: ecg.is_flutter,
    f.ATRIAL_PREMATURE: lambda ecg: _has_premature(ecg, wide=False),
    f.VENTRICULAR_PREMATURE: lambda ecg: _has_premature(ecg, wide=True),
    f.PACEMAKER: lambda ecg: ecg.has_spike,
    f.FIRST_DEGREE_BLOCK: lambda ecg: ecg.is_sinus and ecg.pr_s > 0.20,
    f.COMPLETE_AV_BLOCK: _is_dissociated,
    f.WPW: lambda ecg: ecg.is_sinus and ecg.pr_s < 0.12 and ecg.qrs_s > 0.105,
    f.COMPLETE_RBBB: _is_rbbb,
    f.COMPLETE_LBBB: _is_lbbb,
    f.LEFT_AXIS: lambda ecg: -90 <= ecg.axis_deg <= -30,
    f.RIGHT_AXIS: lambda ecg: 90 <= ecg.axis_deg <= 180,
    f.LOW_VOLTAGE: _has_low_voltage,
    f.LEFT_HYPERTROPHY: lambda ecg: _sokolow_mv(ecg) > 3.5,
    f.ANTERIOR_INFARCTION: lambda ecg: _has_q(ecg, f.ANTERIOR_INFARCTION),
    f.LATERAL_INFARCTION: lambda ecg: _has_q(ecg, f.LATERAL_INFARCTION),
    f.INFERIOR_INFARCTION: lambda ecg: _has_q(ecg, f.INFERIOR_INFARCTION),
    f.ST_DEPRESSION: _st_depressed,
    f.ST_ELEVATION: _st_elevated,
    f.T_INVERSION: _t_inverted,
    f.TALL_T: lambda ecg: max(ecg.t_mv(lead) for lead in CHEST) > 1.0,
    f.LONG_QT: lambda ecg: _qtc_s(ecg) > 0.48,
}
"""The diagnostic rules. An ECG that meets none of them is a normal ECG in sinus rhythm."""

BLOCK = {f.PACEMAKER, f.COMPLETE_LBBB}
FLUTTERING = {f.ATRIAL_FIBRILLATION, f.ATRIAL_FLUTTER}
NO_Q = BLOCK | {f.WPW, f.ATRIAL_FLUTTER}

NOT_APPLICABLE: dict[int, set[int]] = {
    f.COMPLETE_LBBB: {f.PACEMAKER},
    f.LEFT_AXIS: {f.ATRIAL_FLUTTER},
    f.RIGHT_AXIS: {f.ATRIAL_FLUTTER},
    f.ANTERIOR_INFARCTION: NO_Q,
    f.INFERIOR_INFARCTION: NO_Q,
    f.LATERAL_INFARCTION: NO_Q,
    f.ST_DEPRESSION: BLOCK | {f.ST_ELEVATION, f.ATRIAL_FLUTTER},
    f.ST_ELEVATION: BLOCK | {f.ATRIAL_FLUTTER},
    f.T_INVERSION: BLOCK | FLUTTERING,
    f.TALL_T: {f.ST_ELEVATION, f.ATRIAL_FLUTTER},
    f.LONG_QT: FLUTTERING,
}
"""A rule is not applied to an ECG with one of these findings: the sign is secondary to it (see the
README), or flutter waves hide it."""


@pytest.fixture(scope="module")
def readings() -> list[Reading]:
    """Every possible set of findings, in several patients each, without noise."""
    return [
        Reading(simulate_record(1, patient, 0, wanted, noise=False))
        for wanted in list_possible_findings()
        for patient in range(PATIENTS_PER_CAUSE)
    ]


@pytest.fixture(scope="module")
def wfdb() -> ModuleType:
    """The reference reader. Importing it raises an unrelated warning in pandas."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("wfdb")


def _names(reading: Reading) -> str:
    return "、".join(JAPANESE[finding] for finding in reading.ecg.findings)


def test_the_qrs_in_the_signal_match_the_truth(readings: list[Reading]) -> None:
    for reading in readings:
        truth = reading.ecg.truth
        onsets_s = np.sort(np.concatenate([truth.qrs_onsets_s, truth.premature_qrs_onsets_s]))
        whole = (onsets_s > 0.45) & (onsets_s < 9.6)
        after_s = reading.qrs_times[:, None] - onsets_s
        same = (after_s > -0.01) & (after_s < 0.12)
        assert same.any(axis=1).all(), _names(reading)
        assert same.any(axis=0)[whole].all(), _names(reading)


@pytest.mark.parametrize("finding", RULES, ids=lambda finding: f"finding-{finding}")
def test_a_finding_is_named_if_and_only_if_it_can_be_measured(
    finding: int, readings: list[Reading]
) -> None:
    excluded = NOT_APPLICABLE.get(finding, set())
    tested = [r for r in readings if not excluded & set(r.ecg.findings)]
    missed = [_names(r) for r in tested if finding in r.ecg.findings and not RULES[finding](r)]
    unnamed = [_names(r) for r in tested if finding not in r.ecg.findings and RULES[finding](r)]
    assert (missed, unnamed) == ([], [])


def test_a_normal_ecg_is_within_every_limit(readings: list[Reading]) -> None:
    normal = [r for r in readings if f.NORMAL_ECG in r.ecg.findings]
    assert len(normal) == PATIENTS_PER_CAUSE
    for reading in normal:
        assert set(reading.ecg.findings) == {f.NORMAL_ECG, f.SINUS_RHYTHM}
        assert reading.is_sinus
        assert 60 <= reading.rate_per_min <= 100
        assert 0.12 <= reading.pr_s <= 0.20
        assert 0.06 <= reading.qrs_s < 0.11
        assert -20 <= reading.axis_deg <= 80
        assert 0.36 <= _qtc_s(reading) < 0.45
        assert min(reading.t_mv(lead) for lead in ("I", "II", "V4", "V5", "V6")) > 0.03


def test_the_truth_matches_the_measurements(readings: list[Reading]) -> None:
    clear = [r for r in readings if not FLUTTERING & set(r.ecg.findings)]
    for reading in clear:
        truth = reading.ecg.truth
        assert reading.qrs_s == pytest.approx(truth.qrs_s, abs=0.02), _names(reading)
        assert reading.rate_per_min == pytest.approx(truth.rate_per_min, rel=0.06)
        if not BLOCK & set(reading.ecg.findings):
            assert reading.qt_s == pytest.approx(truth.qt_s, abs=0.02), _names(reading)
        if truth.pr_s is not None and not reading.has_spike:
            assert reading.pr_s == pytest.approx(truth.pr_s, abs=0.015), _names(reading)


@pytest.mark.parametrize("patient", range(6))
def test_flutter_waves_have_a_rate_of_about_300_a_minute(patient: int) -> None:
    """Measured between the QRS complexes."""
    reading = Reading(simulate_record(1, patient, 0, (f.ATRIAL_FLUTTER,), noise=False))
    avf = reading.mv["aVF"].copy()
    for onset_s in reading.ecg.truth.qrs_onsets_s:
        avf[max(round((onset_s - 0.02) * RATE_HZ), 0) : round((onset_s + 0.11) * RATE_HZ)] = np.nan
    wave_hz = np.arange(4.0, 6.01, 0.02)
    turn = np.exp(-2j * np.pi * wave_hz[:, None] * np.arange(avf.size) / RATE_HZ)
    power = np.abs(np.nansum(turn * (avf - np.nanmean(avf)), axis=1))
    assert 270 <= 60 * wave_hz[np.argmax(power)] <= 330


@pytest.mark.parametrize("patient", range(40))
def test_einthoven_and_goldberger_hold_to_the_microvolt_with_noise(patient: int) -> None:
    signal_uv = simulate_record(0, patient, 0).signal_uv.astype(np.int64)
    i, ii, iii, avr, avl, avf = signal_uv[:6]
    np.testing.assert_array_equal(i + iii, ii)
    np.testing.assert_array_equal(avr + avl + avf, 0)
    np.testing.assert_array_equal(2 * avr, -(i + ii))
    np.testing.assert_array_equal(2 * avl, i - iii)
    np.testing.assert_array_equal(2 * avf, ii + iii)


def test_noise_is_moderate_and_does_not_change_the_heart() -> None:
    sizes_mv = []
    for patient in range(60):
        noisy, still = simulate_record(0, patient, 0), simulate_record(0, patient, 0, noise=False)
        assert noisy.findings == still.findings
        np.testing.assert_array_equal(noisy.truth.qrs_onsets_s, still.truth.qrs_onsets_s)
        noise_mv = (noisy.signal_uv.astype(float) - still.signal_uv) / 1000
        sizes_mv.append(noise_mv.std(axis=1).max())
    assert 0.005 < min(sizes_mv)
    assert max(sizes_mv) < 0.25


def test_requesting_the_findings_that_would_be_drawn_changes_nothing() -> None:
    for patient in range(10):
        drawn = simulate_record(0, patient, 0)
        requested = simulate_record(0, patient, 0, findings=drawn.findings)
        np.testing.assert_array_equal(drawn.signal_uv, requested.signal_uv)


def test_findings_that_cannot_occur_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"findings \[6, 37\] cannot occur together"):
        simulate_record(0, 0, 0, findings=(f.ATRIAL_FIBRILLATION, f.FIRST_DEGREE_BLOCK))


def test_a_patients_records_share_an_anatomy_that_differs_between_patients() -> None:
    normal = {f.NORMAL_ECG, f.SINUS_RHYTHM}
    first = np.array([simulate_record(0, p, 0, normal).truth.axis_deg for p in range(30)])
    second = np.array([simulate_record(0, p, 1, normal).truth.axis_deg for p in range(30)])
    assert np.abs(first - second).max() < 7
    assert first.std() > 10


def test_every_finding_is_in_at_least_one_record_of_forty_and_most_have_one_cause() -> None:
    rng = np.random.default_rng(0)
    draws = [draw_causes(rng) for _ in range(8000)]
    counts = Counter(finding for causes in draws for finding in list_findings(causes))
    assert set(counts) == set(JAPANESE)
    assert min(counts.values()) / len(draws) > 0.025
    assert 0.76 < np.mean([len(causes) == 1 for causes in draws]) < 0.82


def test_wfdb_reads_back_the_simulated_record_and_its_checksum(
    tmp_path: Path, wfdb: ModuleType
) -> None:
    make_ecgs.make_ecgs(tmp_path, n_patients=8, seed=3)
    rows = _rows(tmp_path)
    for row in rows:
        record = wfdb.rdrecord(str(tmp_path / row["path"]), physical=False)
        patient, number = int(row["patient_id"][1:]), int(row["record_id"].rpartition("r")[2])
        ecg = simulate_record(3, patient, number - 1)
        np.testing.assert_array_equal(record.d_signal.T, ecg.signal_uv)
        # The checksum is signed in header(5), but wfdb computes an unsigned one.
        assert [checksum % 65536 for checksum in record.checksum] == record.calc_checksum()
        assert record.init_value == ecg.signal_uv[:, 0].tolist()
        assert (record.fs, record.sig_len) == (500, 5000)
        assert record.sig_name == list(LEADS)
        assert (set(record.adc_gain), set(record.baseline)) == ({1000.0}, {0})
        assert (set(record.units), set(record.fmt)) == ({"mV"}, {"16"})
        assert "imulated" in record.comments[0]
        assert row["findings"].split("、") == [JAPANESE[finding] for finding in ecg.findings]
        assert (int(row["age"]), row["sex"]) == (ecg.age, ecg.sex)


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    make_ecgs.main([str(tmp_path / "one"), "--patients", "6", "--seed", "5"])
    make_ecgs.main([str(tmp_path / "two"), "--patients", "6", "--seed", "5"])
    make_ecgs.main([str(tmp_path / "other"), "--patients", "6", "--seed", "6"])
    assert _contents(tmp_path / "one") == _contents(tmp_path / "two")
    assert _contents(tmp_path / "one") != _contents(tmp_path / "other")


def test_more_patients_do_not_change_the_first_ones(tmp_path: Path) -> None:
    make_ecgs.make_ecgs(tmp_path / "few", n_patients=5, seed=0)
    make_ecgs.make_ecgs(tmp_path / "many", n_patients=9, seed=0)
    few, many = _contents(tmp_path / "few"), _contents(tmp_path / "many")
    table, longer_table = few.pop("records.csv"), many.pop("records.csv")
    assert longer_table.startswith(table)
    assert few.items() < many.items()


def test_an_incomplete_set_has_no_records_csv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_ecgs.make_ecgs(tmp_path, n_patients=2, seed=0)

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(make_ecgs, "write_wfdb", full_disk)
    assert make_ecgs.main([str(tmp_path), "--patients", "2"]) == 1
    assert not (tmp_path / "records.csv").exists()


def test_an_output_folder_that_cannot_be_written_is_reported_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert make_ecgs.main([str(tmp_path / "file" / "out"), "--patients", "1"]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(f"make_ecgs: cannot write to {tmp_path / 'file' / 'out'}: ")
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_the_mass_is_loosely_in_the_voltage_and_with_an_error_in_the_echocardiogram(
    tmp_path: Path,
) -> None:
    make_ecgs.make_ecgs(tmp_path, n_patients=12, seed=0, echo_days=90)
    records = _rows(tmp_path)
    with (tmp_path / "echo.csv").open(encoding="utf-8", newline="") as file:
        echos = list(csv.DictReader(file))
    assert len(echos) == len(records)
    for record, echo in zip(records, echos, strict=True):
        assert record["patient_id"] == echo["patient_id"]
        days = (
            date.fromisoformat(echo["echo_at"]) - date.fromisoformat(record["recorded_at"])
        ).days
        assert 0 <= days <= 90
    plain = make_ecgs.make_ecgs(tmp_path / "plain", n_patients=12, seed=0)
    assert plain == len(records)
    assert "recorded_at" not in _rows(tmp_path / "plain")[0]
    assert not (tmp_path / "plain" / "echo.csv").exists()

    masses, measured, voltages, named = [], [], [], []
    rng = np.random.default_rng(0)
    for patient in range(600):
        person, ventricle = find_patient(0, patient), find_ventricle(0, patient)
        plan = with_mass(plan_healthy(person, rng), ventricle, person.age)
        masses.append(ventricle.mass_g_m2)
        measured.append(measure_echo(0, patient, 0, days=0)["lvmi"])
        voltages.append(plan.sokolow_mv)
        named.append((plan.sokolow_mv or 0) > VOLTAGE_LIMIT_MV)
    assert np.corrcoef(np.log(masses), np.log(measured))[0, 1] > 0.85
    assert 0.2 < np.corrcoef(np.log(masses), np.array(voltages, float))[0, 1] < 0.6
    assert 0.05 < np.mean(named) < 0.15


def test_the_reader_calls_hypertrophy_by_voltage_alone() -> None:
    heavy = Ventricle(mass_g_m2=200, excess=2.5, habitus=0.3)
    thick_skinned = dataclasses.replace(heavy, habitus=-0.5)
    called, missed, healthy = (
        simulate_record(0, 3, 0, {f.SINUS_RHYTHM, f.NORMAL_ECG}, noise=False, ventricle=each)
        for each in (heavy, thick_skinned, None)
    )
    assert called.findings == (f.LEFT_HYPERTROPHY,)
    assert missed.findings == healthy.findings
    assert called.truth.qrs_s == missed.truth.qrs_s > healthy.truth.qrs_s
    hidden = simulate_record(0, 3, 0, {f.COMPLETE_LBBB}, ventricle=heavy)
    assert hidden.findings == (f.COMPLETE_LBBB,)


def _rows(out: Path) -> list[dict[str, str]]:
    with (out / "records.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _contents(out: Path) -> dict[str, bytes]:
    files = (path for path in out.rglob("*") if path.is_file())
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}
