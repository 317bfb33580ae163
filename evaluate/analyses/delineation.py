"""Quantities that a cardiologist measures on an ECG: rate, intervals, axis, voltages.

Owns their definitions. Wave boundaries come from NeuroKit2 (its `prominence` method), which
test_delineation.py compares with LUDB's hand-drawn ones; QRS duration is left out because it fails
there. L = leads, S = samples, B = beats. Knows nothing of findings or models.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

QUANTITIES = (
    "rate_per_min",
    "rr_irregularity",
    "pr_ms",
    "qt_ms",
    "qtc_ms",
    "axis_degrees",
    "sokolow_lyon_mv",
    "cornell_mv",
    "limb_voltage_mv",
)

_RHYTHM_LEADS = ("II", "V5", "I", "V2", "V1")
_LIMB_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF")
_LEAST_BEATS = 3
_LONGEST_PR_S, _LONGEST_QT_S = 0.4, 0.7
_QRS_FROM_S, _QRS_TO_S = -0.06, 0.09
_BASELINE_FROM_S, _BASELINE_TO_S = -0.09, -0.06


def measure(
    signal_mv_LS: npt.NDArray[np.float32], leads: Sequence[str], rate_hz: float
) -> dict[str, float]:
    """All of QUANTITIES; NaN where one cannot be measured.

    Args:
        signal_mv_LS: an absent lead is 0 or NaN throughout.
        leads: the names of its rows.
        rate_hz: sampling rate.

    Returns:
        rate_per_min: from the median RR interval. rr_irregularity: the median absolute difference
        of neighbouring RR intervals over their median. pr_ms, qt_ms: medians over beats, onset to
        onset and onset to end. qtc_ms: Fridericia's, QT / (RR / 1 s)^(1/3). axis_degrees: of the
        net QRS in I and aVF, -180 to 180. sokolow_lyon_mv: S in V1 plus the greater R of V5 and V6
        (Sokolow and Lyon 1949). cornell_mv: R in aVL plus S in V3 (Casale 1985). limb_voltage_mv:
        the greatest QRS of a limb lead, peak to peak.
    """
    found = dict.fromkeys(QUANTITIES, float("nan"))
    signal = np.nan_to_num(np.asarray(signal_mv_LS, np.float64))
    row_of = {name: row for row, name in enumerate(leads) if np.ptp(signal[row]) > 0}
    rhythm = next((name for name in _RHYTHM_LEADS if name in row_of), None)
    if rhythm is None:
        return found
    beats_B, intervals = _beats_and_intervals(signal[row_of[rhythm]], rate_hz)
    if len(beats_B) < _LEAST_BEATS:
        return found
    rr_s = np.diff(beats_B) / rate_hz
    median_rr_s = float(np.median(rr_s))
    found["rate_per_min"] = 60 / median_rr_s
    found["rr_irregularity"] = (
        float(np.median(np.abs(np.diff(rr_s)))) / median_rr_s if len(rr_s) > 1 else float("nan")
    )
    found |= intervals
    found["qtc_ms"] = intervals["qt_ms"] / median_rr_s ** (1 / 3)
    return found | _voltages(*_qrs_heights(signal, beats_B, rate_hz), row_of)


def _beats_and_intervals(
    signal_S: Floats, rate_hz: float
) -> tuple[npt.NDArray[np.int64], dict[str, float]]:
    """Samples of the R peaks, and the median PR and QT; nothing if the library fails."""
    import neurokit2

    none = np.empty(0, np.int64)
    unknown = {"pr_ms": float("nan"), "qt_ms": float("nan")}
    rate = round(rate_hz)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of every beat that it cannot read
        try:
            cleaned = neurokit2.ecg_clean(signal_S, sampling_rate=rate)
            _, peaks = neurokit2.ecg_peaks(cleaned, sampling_rate=rate)
            beats_B = np.asarray(peaks["ECG_R_Peaks"], np.int64)
            if len(beats_B) < _LEAST_BEATS:
                return none, unknown
            _, waves = neurokit2.ecg_delineate(
                cleaned, beats_B, sampling_rate=rate, method="prominence"
            )
        except Exception:
            # Its heuristics raise many kinds of error on a signal that is not an ECG; such a
            # signal has no measurements, and the others go on.
            return none, unknown
    qrs_on, p_on, t_off = (
        np.asarray(waves[name], np.float64)
        for name in ("ECG_R_Onsets", "ECG_P_Onsets", "ECG_T_Offsets")
    )
    return beats_B, {
        "pr_ms": _median_ms(_distances(qrs_on, p_on, -_LONGEST_PR_S * rate_hz), rate_hz),
        "qt_ms": _median_ms(_distances(qrs_on, t_off, _LONGEST_QT_S * rate_hz), rate_hz),
    }


def _distances(from_B: Floats, to_W: Floats, farthest: float) -> list[float]:
    """From each place to the nearest of `to_W` on one side, up to `farthest` (negative: before).

    The library leaves out unreadable waves one by one, so places are paired by time, not number.
    """
    found = []
    for place in from_B[np.isfinite(from_B)]:
        away = (to_W - place) * np.sign(farthest)
        near = away[(away > 0) & (away <= abs(farthest))]
        if len(near):
            found.append(float(near.min()))
    return found


def _median_ms(samples: Sequence[float], rate_hz: float) -> float:
    return float(np.median(samples)) / rate_hz * 1000 if samples else float("nan")


def _qrs_heights(
    signal_LS: Floats, beats_B: npt.NDArray[np.int64], rate_hz: float
) -> tuple[Floats, Floats]:
    """The highest (L,) and lowest (L,) point of the median beat's QRS over the baseline before it.

    At least and at most 0; NaN for an absent lead, or where no beat is whole.
    """
    around = np.arange(round(_BASELINE_FROM_S * rate_hz), round(_QRS_TO_S * rate_hz) + 1)
    whole = beats_B[(beats_B + around[0] >= 0) & (beats_B + around[-1] < signal_LS.shape[1])]
    if not len(whole):
        nothing = np.full(len(signal_LS), np.nan)
        return nothing, nothing
    beat = np.median(signal_LS[:, whole[:, None] + around], axis=1)
    before = around < round(_BASELINE_TO_S * rate_hz) + 1
    within = around >= round(_QRS_FROM_S * rate_hz)
    qrs = beat[:, within] - np.median(beat[:, before], axis=1, keepdims=True)
    up, down = np.maximum(qrs.max(axis=1), 0), np.minimum(qrs.min(axis=1), 0)
    absent = np.ptp(signal_LS, axis=1) == 0
    return np.where(absent, np.nan, up), np.where(absent, np.nan, down)


def _voltages(up_L: Floats, down_L: Floats, row_of: dict[str, int]) -> dict[str, float]:
    found: dict[str, float] = {}
    if {"I", "aVF"} <= row_of.keys():
        net_i, net_avf = (up_L[row_of[name]] + down_L[row_of[name]] for name in ("I", "aVF"))
        # aVF is sqrt(3)/2 of a bipolar lead in Einthoven's triangle.
        found["axis_degrees"] = float(np.degrees(np.arctan2(net_avf * 2 / np.sqrt(3), net_i)))
    if {"V1", "V5", "V6"} <= row_of.keys():
        greatest_r = max(up_L[row_of["V5"]], up_L[row_of["V6"]])
        found["sokolow_lyon_mv"] = float(greatest_r - down_L[row_of["V1"]])
    if {"aVL", "V3"} <= row_of.keys():
        found["cornell_mv"] = float(up_L[row_of["aVL"]] - down_L[row_of["V3"]])
    if set(_LIMB_LEADS) <= row_of.keys():
        limb = [row_of[name] for name in _LIMB_LEADS]
        found["limb_voltage_mv"] = float(np.max(up_L[limb] - down_L[limb]))
    return found
