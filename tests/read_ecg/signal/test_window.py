"""From a recording to the stored window: gaps, flat leads, length, amplitude."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from wfdb_files import ecg_like

from ecgpipe.config.data import DataConfig, PtbxlSource
from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.signal import window
from ecgpipe.read_ecg.signal.record import EcgRecord, Reason
from ecgpipe.read_ecg.signal.window import NO_READING, to_window

CONFIG = DataConfig(sources=(PtbxlSource(kind="ptbxl", root=Path("x")),))


def recording(samples: int = 5000, rate_hz: float = 500) -> EcgRecord:
    return EcgRecord(ecg_like(samples).astype(np.float32) / 1000, rate_hz)


def changed(record: EcgRecord, rows: slice | int, columns: slice, value: float) -> EcgRecord:
    signal = record.signal_mv.copy()
    signal[rows, columns] = value
    return dataclasses.replace(record, signal_mv=signal)


def reason_of(record: EcgRecord, **settings: object) -> tuple[str, str]:
    with pytest.raises(RecordError) as caught:
        to_window(record, dataclasses.replace(CONFIG, **settings))
    return caught.value.reason, str(caught.value)


def test_samples_are_stored_to_half_a_microvolt() -> None:
    record = recording()
    signal_uv, notes = to_window(record, CONFIG)
    assert signal_uv.dtype == np.int16
    assert np.abs(signal_uv - record.signal_mv * 1000).max() <= 0.5
    assert notes == ()


def test_a_small_gap_is_filled_along_time() -> None:
    ramp = np.tile(np.linspace(-1, 1, 5000, dtype=np.float32), (12, 1))
    record = changed(EcgRecord(ramp, 500), 4, slice(1000, 1200), np.nan)
    signal_uv, notes = to_window(record, CONFIG)
    assert np.abs(signal_uv - ramp * 1000).max() <= 0.5
    assert notes == ("gap filled",)


def test_a_lead_with_a_large_gap_counts_as_absent() -> None:
    record = changed(recording(), 8, slice(0, 2000), np.nan)
    reason, message = reason_of(record)
    assert reason == Reason.LEADS
    assert "11 of 12 leads are usable" in message
    assert "V3 has no reading for 40% of its samples" in message
    signal_uv, _ = to_window(record, dataclasses.replace(CONFIG, min_leads=11))
    assert (signal_uv[8] == NO_READING).all()
    assert (signal_uv[[7, 9]] != NO_READING).all()


def test_nan_never_reaches_the_store() -> None:
    rng = np.random.default_rng(0)
    signal = recording().signal_mv.copy()
    signal[rng.random(signal.shape) < 0.05] = np.nan
    signal[0, 3] = np.inf
    signal_uv, _ = to_window(EcgRecord(signal, 500), CONFIG)
    assert (signal_uv != NO_READING).all()
    assert np.abs(signal_uv).max() < 5000


def test_a_two_lead_record_is_rejected_unless_allowed() -> None:
    signal = np.full((12, 5000), np.nan, np.float32)
    signal[[1, 6]] = recording().signal_mv[[1, 6]]
    record = EcgRecord(signal, 500)
    reason, message = reason_of(record)
    assert reason == Reason.LEADS
    assert "2 of 12 leads are usable (II, V1); data.min_leads is 12" in message
    signal_uv, _ = to_window(record, dataclasses.replace(CONFIG, min_leads=2))
    assert (signal_uv == NO_READING).all(axis=1).sum() == 10


def test_a_record_of_three_seconds_is_too_short() -> None:
    reason, message = reason_of(recording(1500))
    assert reason == Reason.TOO_SHORT
    assert "lasts 3.0 s; data.min_duration_s is 5" in message


def test_a_shorter_record_is_padded_with_no_reading() -> None:
    signal_uv, notes = to_window(recording(3500), CONFIG)
    assert signal_uv.shape == (12, 5000)
    assert (signal_uv[:, 3500:] == NO_READING).all()
    assert (signal_uv[:, :3500] != NO_READING).all()
    assert notes == ("padded",)


@pytest.mark.parametrize(("crop", "start"), [("first", 0), ("centre", 1000)])
def test_a_longer_record_is_cropped_as_configured(crop: str, start: int) -> None:
    record = recording(7000)
    signal_uv, notes = to_window(record, dataclasses.replace(CONFIG, crop=crop))
    expected = record.signal_mv[:, start : start + 5000] * 1000
    assert np.abs(signal_uv - expected).max() <= 0.5
    assert notes == ("cropped",)


def test_a_gap_outside_the_window_does_not_matter() -> None:
    record = changed(recording(20000), slice(None), slice(6000, None), np.nan)
    assert to_window(record, CONFIG)[1] == ("cropped",)


@pytest.mark.parametrize("rate_hz", [100.0, 257.0, 360.0, 1000.0, 499.5])
def test_any_rate_gives_the_configured_length(rate_hz: float) -> None:
    signal_uv, notes = to_window(recording(round(10 * rate_hz), rate_hz), CONFIG)
    assert signal_uv.shape == (12, 5000)
    assert "resampled" in notes
    assert (signal_uv[:, :4990] != NO_READING).all()


def test_a_flat_lead_is_masked_and_noted() -> None:
    signal_uv, notes = to_window(changed(recording(), 5, slice(None), 0.125), CONFIG)
    assert (signal_uv[5] == NO_READING).all()
    assert notes == ("flat lead masked",)


def test_a_recording_without_any_movement_is_rejected() -> None:
    assert reason_of(changed(recording(), slice(None), slice(None), 1.0))[0] == Reason.FLAT


@pytest.mark.parametrize("factor", [1000, 0.001])
def test_wrong_units_show_in_the_amplitude(factor: float) -> None:
    record = recording()
    reason, message = reason_of(EcgRecord(record.signal_mv * np.float32(factor), 500))
    assert reason == Reason.AMPLITUDE
    assert "gain or the units" in message


def test_an_artefact_is_clipped_and_noted() -> None:
    signal_uv, notes = to_window(changed(recording(), 2, slice(10, 12), -60.0), CONFIG)
    assert signal_uv[2, 10] == -32767  # not -32768: that is 'no reading'
    assert notes == ("clipped at 32.8 mV",)


def test_a_glance_at_the_amplitude_never_accepts_what_percentiles_refuse() -> None:
    rng = np.random.default_rng(0)
    accepted = 0
    for number in range(400):
        size_mv = 10 ** rng.uniform(-2.5, 1.5) * rng.uniform(0.5, 2, (12, 1))
        kind = (rng.normal(0, 1, (12, 700)), rng.random((12, 700)) < rng.uniform(0, 0.02))
        signal_mv = (size_mv * kind[number % 2] + rng.normal(0, 1)).astype(np.float32)
        low, high = np.percentile(signal_mv, [0.5, 99.5], axis=1)
        plausible = 0.02 <= np.median(high - low) <= 20.0
        if window._is_plausible_at_a_glance(signal_mv):
            assert plausible, number
            accepted += 1
    assert accepted > 50
