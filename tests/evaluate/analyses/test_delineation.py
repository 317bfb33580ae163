"""Rate, intervals, axis and voltages against what cardiologists drew, and against drawn signals."""

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import wfdb
from scipy.stats import spearmanr

from ecgpipe.evaluate.analyses.delineation import QUANTITIES, measure

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
RATE_HZ = 500


def drawn_ecg(
    heights_mv: dict[str, tuple[float, float]], rr_s: float = 0.8, pr_s: float = 0.18
) -> npt.NDArray[np.float32]:
    """Ten seconds of P, R, S and T as Gauss curves; R and S height per lead."""
    t = np.arange(10 * RATE_HZ) / RATE_HZ
    signal = np.zeros((12, len(t)))
    for beat in np.arange(0.5, 9.8, rr_s):
        for row, lead in enumerate(LEADS):
            r_mv, s_mv = heights_mv.get(lead, (0.5, -0.1))
            for centre, width, height in (
                (beat - pr_s + 0.04, 0.02, 0.1),
                (beat, 0.01, r_mv),
                (beat + 0.03, 0.01, s_mv),
                (beat + 0.28, 0.04, 0.25),
            ):
                signal[row] += height * np.exp(-(((t - centre) / width) ** 2) / 2)
    return signal.astype(np.float32)


def test_rate_axis_and_voltages_of_a_drawn_ecg() -> None:
    heights = {
        "I": (1.0, 0.0),
        "aVF": (0.0, -1.0),
        "V1": (0.1, -1.5),
        "V5": (2.0, 0.0),
        "aVL": (0.9, 0.0),
        "V3": (0.4, -1.3),
    }
    found = measure(drawn_ecg(heights, rr_s=0.75), LEADS, RATE_HZ)
    assert found["rate_per_min"] == pytest.approx(80, abs=0.5)
    assert found["rr_irregularity"] == pytest.approx(0, abs=0.01)
    # Net QRS +1 in I and -1 in aVF: atan2(-2/sqrt(3), 1) = -49.1 degrees.
    assert found["axis_degrees"] == pytest.approx(-49.1, abs=2)
    assert found["sokolow_lyon_mv"] == pytest.approx(3.5, abs=0.1)
    assert found["cornell_mv"] == pytest.approx(2.2, abs=0.1)
    assert found["limb_voltage_mv"] == pytest.approx(1.0, abs=0.1)
    assert set(found) == set(QUANTITIES)


def test_a_longer_pr_is_measured_longer() -> None:
    short, long = (measure(drawn_ecg({}, pr_s=pr), LEADS, RATE_HZ)["pr_ms"] for pr in (0.14, 0.24))
    assert long - short == pytest.approx(100, abs=15)


def test_waves_are_paired_by_time_where_the_library_leaves_some_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import neurokit2

    def partial(*_: object, **__: object) -> tuple[None, dict[str, list[float]]]:
        # Four beats, a second apart; the second P and the last T were not read, one is unknown.
        return None, {
            "ECG_R_Onsets": [500, 1000, 1500, float("nan"), 2000],
            "ECG_P_Onsets": [420, 1400, 1920],  # 160, -, 200 and 160 ms before
            "ECG_T_Offsets": [700, 1210, 1690],  # 400, 420 and 380 ms behind
        }

    monkeypatch.setattr(neurokit2, "ecg_delineate", partial)
    found = measure(drawn_ecg({}), LEADS, RATE_HZ)
    assert found["pr_ms"] == pytest.approx(160)
    assert found["qt_ms"] == pytest.approx(400)

    def broken(*_: object, **__: object) -> None:
        raise AttributeError("of a kind that nobody foresaw")

    monkeypatch.setattr(neurokit2, "ecg_delineate", broken)
    assert np.isnan(measure(drawn_ecg({}), LEADS, RATE_HZ)["pr_ms"])


def test_an_irregular_rhythm_is_irregular() -> None:
    rng = np.random.default_rng(0)
    t = np.arange(10 * RATE_HZ) / RATE_HZ
    beats = np.cumsum(rng.uniform(0.45, 1.1, size=14))
    trace = sum(np.exp(-(((t - beat) / 0.012) ** 2) / 2) for beat in beats[beats < 9.7])
    signal = np.tile(np.asarray(trace, np.float32), (12, 1))
    assert measure(signal, LEADS, RATE_HZ)["rr_irregularity"] > 0.1


def test_without_a_lead_what_needs_it_is_unknown_and_the_rest_is_measured() -> None:
    signal = drawn_ecg({})
    signal[0] = 0  # I
    signal[6] = np.nan  # V1
    found = measure(signal, LEADS, RATE_HZ)
    assert np.isnan(found["axis_degrees"])
    assert np.isnan(found["sokolow_lyon_mv"])
    assert np.isnan(found["limb_voltage_mv"])
    assert found["rate_per_min"] == pytest.approx(75, abs=0.5)


@pytest.mark.parametrize("kind", ["flat", "noise", "one beat", "short", "missing"])
def test_what_is_no_ecg_is_unknown_and_no_error(kind: str) -> None:
    rng = np.random.default_rng(1)
    signal = np.zeros((12, 10 * RATE_HZ), np.float32)
    if kind == "noise":
        signal = rng.normal(0, 1e-3, signal.shape).astype(np.float32)
    elif kind == "one beat":
        signal[:, 2500:2510] = 1
    elif kind == "short":
        signal = rng.normal(0, 1, (12, 40)).astype(np.float32)
    elif kind == "missing":
        signal[:] = np.nan
    found = measure(signal, LEADS, RATE_HZ)
    assert set(found) == set(QUANTITIES)
    if kind in ("flat", "missing", "one beat", "short"):
        assert np.isnan(found["pr_ms"])


def ludb_signal(root: Path, number: int) -> npt.NDArray[np.float32]:
    """(12, S) in millivolts: about 1 uV a unit, the header's gain being none."""
    record = wfdb.rdrecord(str(root / "data" / str(number)), physical=False)
    order = [record.sig_name.index(lead.lower()) for lead in LEADS]
    return (record.d_signal[:, order].T / 1000).astype(np.float32)


def hand_drawn(root: Path, number: int) -> dict[str, float]:
    """PR, QT and rate out of the boundaries that cardiologists drew on lead II."""
    notes = wfdb.rdann(str(root / "data" / str(number)), "ii")
    waves: dict[str, list[tuple[int, int, int]]] = {"p": [], "N": [], "t": []}
    symbols, samples = notes.symbol, notes.sample
    for k in range(1, len(symbols) - 1):
        if symbols[k] in waves and symbols[k - 1] == "(" and symbols[k + 1] == ")":
            waves[symbols[k]].append((samples[k - 1], samples[k], samples[k + 1]))
    pr, qt = [], []
    for onset, _, _ in waves["N"]:
        before = [p[0] for p in waves["p"] if 0 < onset - p[0] < 0.4 * RATE_HZ]
        after = [t[2] for t in waves["t"] if 0 < t[2] - onset < 0.7 * RATE_HZ]
        pr += [(onset - before[-1]) / RATE_HZ * 1000] if before else []
        qt += [(after[0] - onset) / RATE_HZ * 1000] if after else []
    peaks = [peak for _, peak, _ in waves["N"]]
    rate = 60 * RATE_HZ / np.median(np.diff(peaks)) if len(peaks) > 2 else np.nan
    return {
        "pr_ms": float(np.median(pr)) if pr else np.nan,
        "qt_ms": float(np.median(qt)) if qt else np.nan,
        "rate_per_min": float(rate),
    }


def test_intervals_agree_with_the_boundaries_that_cardiologists_drew(real_data: Path) -> None:
    root = real_data / "ludb"
    numbers = range(1, 201, 2)
    ours = [measure(ludb_signal(root, number), LEADS, RATE_HZ) for number in numbers]
    theirs = [hand_drawn(root, number) for number in numbers]
    limits = {
        # least share measured, greatest median error, greatest median absolute error, least rho
        "rate_per_min": (0.95, 0.5, 0.5, 0.9),
        "pr_ms": (0.95, 8, 12, 0.80),
        "qt_ms": (0.95, 15, 18, 0.75),
    }
    for name, (share, bias, spread, rho) in limits.items():
        pairs = np.array(
            [
                (own[name], drawn[name])
                for own, drawn in zip(ours, theirs, strict=True)
                if np.isfinite(drawn[name])
            ]
        )
        known = np.isfinite(pairs[:, 0])
        error = pairs[known, 0] - pairs[known, 1]
        assert known.mean() >= share, name
        assert abs(np.median(error)) <= bias, name
        assert np.median(np.abs(error)) <= spread, name
        assert spearmanr(*pairs[known].T).statistic >= rho, name


def test_the_axis_agrees_with_what_cardiologists_wrote(real_data: Path) -> None:
    root = real_data / "ludb"
    with (root / "ludb.csv").open(encoding="utf-8") as file:
        rows = {int(row["ID"]): row for row in csv.DictReader(file)}
    order = ("left axis deviation", "horizontal", "normal", "vertical")
    pairs = []
    for number in range(2, 201, 2):
        written = rows[number]["Electric axis of the heart"].strip().rpartition(": ")[2]
        if written in order:
            axis = measure(ludb_signal(root, number), LEADS, RATE_HZ)["axis_degrees"]
            pairs.append((order.index(written), axis))
    kinds, axes = np.array(pairs).T
    assert len(pairs) >= 90
    assert np.isfinite(axes).mean() >= 0.98
    known = np.isfinite(axes)
    assert spearmanr(kinds[known], axes[known]).statistic >= 0.85
    medians = [np.median(axes[known & (kinds == kind)]) for kind in range(4)]
    assert medians == sorted(medians)
