"""What the preparation counts of every recording, by hand, and that `check` counts the same."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hospital import Hospital
from synthetic_ecg import ecg
from threadpoolctl import threadpool_info, threadpool_limits
from wfdb_files import write_wfdb

from ecgpipe.cache.signals.reader import SignalStore
from ecgpipe.config.data import DataConfig, TableSource
from ecgpipe.read_ecg.formats.recording import read_recording
from ecgpipe.read_ecg.quality import measures
from ecgpipe.read_ecg.quality.inspection import inspect
from ecgpipe.read_ecg.quality.measures import (
    extremes,
    mains,
    move,
    moving_leads,
    quality_notes,
    spans,
)
from ecgpipe.read_ecg.quality.suspicion import suspicions
from ecgpipe.read_ecg.signal.record import LEADS, EcgRecord

CONFIG = DataConfig(sources=(TableSource(kind="table", table=Path("x.csv")),))
TIME = np.arange(5000) / 500


# What a hum on the left arm's electrode does to each lead.
LEFT_ARM = np.array([1, 0, -1, -0.5, 1, -0.5, *[-1 / 3] * 6])[:, None]


def hum(frequency_hz: float, size_mv: float = 0.8) -> np.ndarray:
    sine = size_mv * np.sin(2 * np.pi * frequency_hz * TIME + 0.4)
    return (LEFT_ARM * sine).astype(np.float32)


def notes(signal_mv: np.ndarray, rate_hz: float = 500) -> tuple[str, ...]:
    return quality_notes(EcgRecord(signal_mv.astype(np.float32), rate_hz))


def test_a_clean_recording_has_no_note() -> None:
    assert notes(ecg()) == ()
    assert notes(np.full((12, 5000), np.nan)) == ()
    assert notes(np.zeros((12, 3))) == ()


@pytest.mark.parametrize("frequency_hz", [49.8, 50.0, 50.2, 59.9, 60.0])
def test_mains_noise_is_noted(frequency_hz: float) -> None:
    assert notes(ecg() + hum(frequency_hz)) == ("mains noise",)


@pytest.mark.parametrize("frequency_hz", [0.3, 8.0, 35.0, 44.0, 55.0, 70.0])
def test_other_frequencies_are_no_mains(frequency_hz: float) -> None:
    assert notes(ecg() + hum(frequency_hz)) == ()


def test_a_muscles_noise_is_no_mains() -> None:
    noise = np.random.default_rng(0).normal(0, 0.3, (12, 5000)).astype(np.float32)
    assert mains(noise, 500)[1] < 0.02


@pytest.mark.parametrize("rate_hz", [250, 257, 360, 500, 1000])
def test_the_share_of_a_known_hum_is_measured_at_any_rate(rate_hz: float) -> None:
    """White noise of variance 0.01 and a sine of power 0.02: two thirds, less what is below 1.5 Hz
    or beyond half the rate."""
    time = np.arange(round(10 * rate_hz)) / rate_hz
    noise = np.random.default_rng(1).normal(0, 0.1, (12, len(time)))
    sine = 0.2 * np.sin(2 * np.pi * 60 * time)
    hertz, share = mains((noise + sine).astype(np.float32), rate_hz)
    assert hertz == 60
    assert share == pytest.approx(2 / 3, abs=0.03)


def test_a_rate_too_low_for_mains_tells_nothing() -> None:
    assert mains(np.ones((12, 1000), np.float32), 100) == (50.0, 0.0)


def test_clipping_is_noted_with_and_without_gaps() -> None:
    cut = np.minimum(ecg() * 2, 1.2)
    limb = tuple(note for note in notes(cut) if note.startswith("limb"))
    assert notes(cut) == ("clipping", *limb)
    cut[:, 100:110] = np.nan
    assert "clipping" in notes(cut)
    assert notes(ecg() * 2) == ()


def test_a_mistake_of_the_limb_leads_is_named() -> None:
    inverted, swapped, unexplained = ecg(), ecg(), ecg()
    inverted[1] *= -1
    swapped[[0, 2]] = swapped[[2, 0]]
    unexplained[:6] += np.random.default_rng(0).normal(0, 0.3, (6, 5000)).astype(np.float32)
    assert notes(inverted) == ("limb leads disagree (II inverted)",)
    assert notes(swapped) == ("limb leads disagree (I and III swapped)",)
    assert notes(unexplained) == ("limb leads disagree",)


def test_gaps_and_offsets_do_not_make_limb_leads_disagree() -> None:
    signal = ecg() + np.arange(12, dtype=np.float32)[:, None] * 30
    assert notes(signal) == ()
    signal[2, 500:900] = np.nan
    assert notes(signal) == ()


@pytest.mark.parametrize("samples", [1, 2, 3, 200, 201, 5000])
@pytest.mark.parametrize("gap", [False, True])
def test_extremes_are_what_numpys_percentiles_say(samples: int, gap: bool) -> None:
    signal = np.random.default_rng(samples).normal(0, 1, (12, samples)).astype(np.float32)
    signal[3] = np.nan
    if gap:
        signal[5, samples // 2 :] = np.nan
    there = np.isfinite(signal).any(axis=1)
    expected = np.nanpercentile(signal[there].astype(np.float64), [0.5, 50, 99.5], axis=1)
    found = extremes(signal, there)
    np.testing.assert_allclose(found[:, there], expected, atol=1e-6)
    assert np.isnan(found[:, ~there]).all()


@pytest.mark.parametrize("seed", range(30))
def test_the_short_way_to_moving_leads_gives_what_the_long_one_does(seed: int) -> None:
    """Flat leads with rare spikes, steps and noise around the limit of 5 µV."""
    rng = np.random.default_rng(seed)
    sizes = 10 ** rng.uniform(-3.5, 0, (12, 1))
    signal = rng.normal(0, 1, (12, int(rng.integers(1, 6000)))) * sizes
    spikes = rng.random(signal.shape) < rng.choice([0, 0.005, 0.02])
    signal[spikes] += rng.choice([-5, 5])
    if seed % 3 == 0:
        signal[rng.integers(12), rng.integers(signal.shape[1]) :] = np.nan
    few = signal.astype(np.float32)
    there = np.isfinite(few).any(axis=1)
    assert (moving_leads(few) == move(spans(extremes(few, there)), there)).all()


def test_spikes_on_every_twentieth_sample_do_not_fool_the_short_way() -> None:
    signal = np.random.default_rng(0).normal(0, 1, (12, 5000)).astype(np.float32)
    signal[3] = 0
    signal[3, :400:20] = 4.0
    assert not moving_leads(signal)[3]


def test_notes_are_counted_in_the_report_and_the_samples_are_the_same(tmp_path: Path) -> None:
    hospital = Hospital(tmp_path)
    clean = np.rint(ecg() * 1000).astype(np.int16)
    loud = np.rint((ecg() + hum(50)) * 1000).astype(np.int16)
    turned = clean.copy()
    turned[1] *= -1
    for number, adc in enumerate((clean, loud, loud, turned)):
        write_wfdb(tmp_path / "ecg", f"r{number:02}", adc)
    hospital.rows = hospital.rows[:4]
    done = hospital.prepare()
    assert done.counts["notes"] == {"limb leads disagree (II inverted)": 1, "mains noise": 2}
    store = SignalStore.open(hospital.workspace.signals(done.signals_digest))
    stored = store.read(hospital.records(done).slots)
    np.testing.assert_array_equal(stored, np.stack([clean, loud, loud, turned]))


def test_check_suspects_what_the_preparation_notes() -> None:
    """One truth: over recordings on both sides of each limit."""
    rng = np.random.default_rng(5)
    signals = []
    for number in range(60):
        signal = ecg(50 + number) + hum(50, rng.uniform(0, 0.3))
        signal[rng.integers(6)] *= rng.choice([1, 1, 0.9, 0.7, -1])
        signals.append(np.minimum(signal * rng.uniform(1, 2.5), 1.5))
    records = [EcgRecord(signal.astype(np.float32), 500) for signal in signals]
    found = suspicions(list(map(inspect, records)), CONFIG)
    suspected = {s.kind: {c.number for c in s.cases} for s in found}
    for kind, note in (("mains", "mains"), ("clipping", "clipping"), ("limb leads", "limb")):
        noted = {n for n, record in enumerate(records)
                 if any(said.startswith(note) for said in quality_notes(record))}  # fmt: skip
        assert 0 < len(noted) < len(records)
        assert noted == suspected[kind]


def test_ludb_as_its_header_says_is_caught_by_einthoven(real_data: Path) -> None:
    """Each lead is stretched to 1 mV: what is read is what the header says, and wrong."""
    headers = sorted((real_data / "ludb" / "data").glob("*.hea"))
    n_noted = 0
    for header in headers:
        record = read_recording(header)
        n_noted += any("limb leads" in note for note in quality_notes(record))
        whole = np.stack([row * gain for row, gain in zip(record.signal_mv, gains_of(header),
                                                          strict=True)])  # fmt: skip
        raw = dataclasses.replace(record, signal_mv=(whole / 1000).astype(np.float32))
        assert not any("limb leads" in note for note in quality_notes(raw)), header
    assert n_noted >= 0.95 * len(headers)


def gains_of(header: Path) -> list[float]:
    """Units a millivolt, in the order of LEADS."""
    import wfdb

    said = wfdb.rdheader(str(header.with_suffix("")))
    by_name = dict(zip(map(str.casefold, said.sig_name), said.adc_gain, strict=True))
    return [by_name[lead.casefold()] for lead in LEADS]


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_no_recording_waits_for_threads_that_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []

    def counting(*_: object) -> None:
        used.append(blas_threads())

    monkeypatch.setattr(measures, "check_limb_leads", counting)
    with threadpool_limits(2, user_api="blas"):
        quality_notes(EcgRecord(ecg(), 500))
        assert blas_threads() == {2}
    assert used == [{1}]
