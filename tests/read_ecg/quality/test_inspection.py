"""The facts of a recording, worked out by hand, and what is suspected from them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from synthetic_ecg import Signal, ecg

from ecgpipe.config.data import DataConfig, TableSource
from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.formats.recording import read_recording
from ecgpipe.read_ecg.quality.inspection import Facts, heart_rate, inspect, window_digest
from ecgpipe.read_ecg.quality.suspicion import Suspicion, duplicates, suspicions
from ecgpipe.read_ecg.signal.record import LEADS, EcgRecord

CONFIG = DataConfig(sources=(TableSource(kind="table", table=Path("x.csv")),))


def facts(signal_mv: Signal, rate_hz: float = 500) -> Facts:
    return inspect(EcgRecord(signal_mv, rate_hz))


def suspected(signals: Sequence[Signal], rates_hz: Sequence[float] = ()) -> dict[str, Suspicion]:
    rates_hz = rates_hz or [500] * len(signals)
    found = [facts(signal, rate) for signal, rate in zip(signals, rates_hz, strict=True)]
    return {suspicion.kind: suspicion for suspicion in suspicions(found, CONFIG)}


def numbers(suspicion: Suspicion) -> list[int]:
    return [case.number for case in suspicion.cases]


def test_a_clean_recording_raises_no_suspicion() -> None:
    assert suspected([ecg(bpm) for bpm in range(50, 110, 5)]) == {}
    clean = facts(ecg())
    assert (clean.absent, clean.flat, clean.clipped, clean.arms_reversed) == ((), (), (), False)
    assert clean.limb is not None
    assert clean.limb.residual < 1e-5
    assert clean.duration_s == 10
    assert clean.mains_share < 0.01


@pytest.mark.parametrize("bpm", [40, 60, 75, 110, 180])
@pytest.mark.parametrize("rate_hz", [100, 360, 500])
def test_the_heart_rate_is_that_of_the_beats(bpm: float, rate_hz: float) -> None:
    found = facts(ecg(bpm, rate_hz), rate_hz).heart_rate_bpm
    assert found == pytest.approx(bpm, rel=0.03)


def test_irregular_beats_are_counted() -> None:
    times = np.cumsum([0.5, 0.7, 1.1, 0.6, 0.9, 1.2, 0.55, 0.8, 1.0, 0.65, 0.75])
    time = np.arange(5000) / 500
    wave = np.exp(-(((time[:, None] - times) / 0.02) ** 2)).sum(axis=1).astype(np.float32)
    expected = 60 * (len(times) - 1) / (times[-1] - times[0])
    found = facts(np.tile(wave, (12, 1))).heart_rate_bpm
    assert found == pytest.approx(expected, rel=0.03)


def test_numbers_beyond_any_voltage_have_no_heart_rate_and_raise_no_warning() -> None:
    huge = np.random.default_rng(0).normal(size=(12, 5000)).clip(-3, 3) * 1e38
    assert heart_rate(huge, 500) is None


def test_noise_has_no_heart_rate() -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, (12, 5000)).astype(np.float32)
    assert facts(noise).heart_rate_bpm is None


@pytest.mark.parametrize("lead", LEADS[:6])
def test_an_inverted_limb_lead_is_named(lead: str) -> None:
    signal = ecg()
    signal[LEADS.index(lead)] *= -1
    limb = facts(signal).limb
    assert limb is not None
    assert limb.explanation == f"{lead} inverted"
    assert limb.mended_residual < 1e-5
    assert numbers(suspected([signal])["limb leads"]) == [0]


@pytest.mark.parametrize(
    ("one", "other"),
    [("I", "II"), ("I", "III"), ("II", "III"), ("aVL", "aVF"), ("aVR", "aVL"), ("II", "V2")],
)
def test_swapped_lead_names_are_named(one: str, other: str) -> None:
    signal = ecg()
    places = [LEADS.index(one), LEADS.index(other)]
    signal[places] = signal[places[::-1]]
    limb = facts(signal).limb
    assert limb is not None
    assert limb.explanation == f"{one} and {other} swapped"
    assert suspected([signal])["limb leads"].grave


def test_with_three_limb_leads_all_that_explains_is_named() -> None:
    signal = ecg()
    signal[3:6] = np.nan
    signal[[0, 1]] = signal[[1, 0]]
    limb = facts(signal).limb
    assert limb is not None
    assert set(limb.explanation.split(" or ")) == {"III inverted", "I and II swapped"}


def test_leads_of_different_gain_are_named() -> None:
    signal = ecg() * np.linspace(0.6, 1.8, 12, dtype=np.float32)[:, None]
    limb = facts(signal).limb
    assert limb is not None
    assert limb.explanation == "limb leads scaled one by one"


def test_two_leads_allow_no_test_of_limb_leads() -> None:
    signal = ecg()
    signal[[0, *range(2, 12)]] = np.nan
    found = facts(signal)
    assert found.limb is None
    assert found.absent == tuple(lead for lead in LEADS if lead != "II")


def test_exchanged_arm_electrodes_may_be_seen() -> None:
    signal = ecg()
    signal[0] *= -1  # what LA and RA exchanged do to the limb leads
    signal[[1, 2]] = signal[[2, 1]]
    signal[[3, 4]] = signal[[4, 3]]
    reversed_arms = facts(signal)
    assert reversed_arms.limb is not None
    assert reversed_arms.limb.residual < 1e-5
    assert reversed_arms.arms_reversed
    assert not suspected([signal])["arm electrodes"].grave


def test_upright_arms_are_not_suspected_because_most_of_a_lead_is_missing() -> None:
    signal = ecg()
    signal[0, 100:4800] = np.nan
    signal[3, 100:4900] = np.nan
    assert not facts(signal).arms_reversed


@pytest.mark.parametrize("mains_hz", [50.0, 60.0])
def test_mains_noise_is_measured(mains_hz: float) -> None:
    """A sine of 0.2 mV has the power 0.02 mV²; its share follows from the signal's own power."""
    clean = ecg()
    time = np.arange(5000) / 500
    hum = (0.2 * np.sin(2 * np.pi * mains_hz * time)).astype(np.float32)
    found = facts(clean + hum)
    own = float(np.mean([np.var(lead) for lead in clean]))
    assert found.mains_hz == mains_hz
    assert found.mains_share == pytest.approx(0.02 / (0.02 + own), rel=0.15)
    assert "mains" in suspected([clean + hum])


def test_clipping_is_seen_and_a_tall_beat_is_not() -> None:
    tall = ecg() * 2
    assert facts(tall).clipped == ()
    cut = np.minimum(tall, 1.2)
    assert "II" in facts(cut).clipped


def test_flat_and_absent_leads_and_gaps_are_suspected() -> None:
    signal = ecg()
    signal[6] = 0.4
    signal[7] = np.nan
    signal[8, :500] = np.nan
    found = facts(signal)
    assert found.flat == ("V1",)
    assert found.absent == ("V2",)
    assert found.missing_share == pytest.approx(500 / (11 * 5000))
    assert np.isnan(found.span_mv[7])
    found = suspected([signal, *(ecg(bpm) for bpm in (60, 70, 80))])
    assert {"flat lead", "absent lead"} == set(found)
    assert found["absent lead"].cases[0].detail == "V2"


def test_the_span_is_that_of_the_middle_of_the_samples() -> None:
    ramp = np.tile(np.linspace(-1, 1, 5001, dtype=np.float32), (12, 1))
    assert facts(ramp).span_mv == pytest.approx([1.98] * 12)


def test_a_recording_without_any_reading_is_survived() -> None:
    found = facts(np.full((12, 5000), np.nan, np.float32))
    assert found.absent == LEADS
    assert found.heart_rate_bpm is None
    assert np.isnan(found.typical_span_mv)
    assert facts(np.zeros((12, 3), np.float32)).flat == LEADS


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (1000, "1,000 times too large (µV read as mV?)"),
        (100, "100 times too large"),
        (10, "10 times too large"),
        (0.1, "10 times too small"),
        (0.001, "1,000 times too small (V read as mV?)"),
    ],
)
def test_wrong_units_of_one_recording_are_named_by_their_power_of_ten(
    factor: float, words: str
) -> None:
    signals = [ecg(bpm) for bpm in range(60, 100, 5)]
    signals[3] = signals[3] * np.float32(factor)
    units = suspected(signals)["units"]
    assert numbers(units) == [3]
    assert words in units.cases[0].detail


def test_a_whole_table_in_wrong_units_is_suspected() -> None:
    units = suspected([ecg(bpm) * np.float32(10) for bpm in range(60, 100, 5)])["units"]
    assert len(units.cases) == 8
    assert "10 times too large" in units.cases[0].detail


def test_a_different_rate_with_the_usual_number_of_samples_is_suspected() -> None:
    signals = [ecg(bpm) for bpm in (60, 65, 70, 75, 80, 85)]
    rate = suspected(signals, [500, 500, 250, 500, 500, 500])["rate"]
    assert numbers(rate) == [2]
    assert "the heart rate is 35 bpm, but would be 70 at 500 Hz" in rate.cases[0].detail


def test_correct_recordings_of_a_different_rate_are_not_suspected() -> None:
    signals = [ecg(60), ecg(65), ecg(70), ecg(75), ecg(80), ecg(70, 250)]
    assert suspected(signals, [500, 500, 500, 500, 500, 250]) == {}


@pytest.mark.parametrize("stated_hz", [250.0, 1000.0])
def test_a_whole_table_at_a_wrong_rate_is_suspected(stated_hz: float) -> None:
    signals = [ecg(bpm, seconds=20) for bpm in range(66, 90, 2)]
    found = suspected(signals, [stated_hz] * len(signals))
    assert "rate of all" in found


def test_short_recordings_are_suspected() -> None:
    short = suspected([ecg(seconds=7)])["short"]
    assert short.cases[0].detail == "7.0 s"


def test_equal_windows_are_grouped() -> None:
    one = np.zeros((12, 50), np.int16)
    other = one.copy()
    other[3, 4] = 1
    digests = [window_digest(window) for window in (one, other, one.copy())]
    assert duplicates([None, *digests, None]) == [[1, 3]]


@pytest.mark.slow
def test_real_hearts_beat_within_reason(real_data: Path) -> None:
    """Against the labels of 1,324 PTB-XL records: bradycardia below 66, tachycardia above 90."""
    import csv

    wrong, n_known = [], 0
    with (real_data / "ptbxl" / "ptbxl_database.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            slow, fast = "SBRAD" in row["scp_codes"], "STACH" in row["scp_codes"]
            if not (slow or fast):
                continue
            try:
                record = read_recording(real_data / "ptbxl" / row["filename_hr"])
            except RecordError:
                continue
            bpm = inspect(record).heart_rate_bpm
            n_known += 1
            if bpm is None or (slow and bpm > 66) or (fast and bpm < 90):
                wrong.append((row["ecg_id"], bpm))
    assert n_known > 50
    assert len(wrong) <= 0.05 * n_known, wrong
