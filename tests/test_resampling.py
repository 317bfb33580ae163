"""Resampling against analytic sines: the pass band is kept, what lies behind is removed."""

import numpy as np
import numpy.typing as npt
import pytest

from ecgpipe.read_ecg.resampling import resample


def sine(frequency_hz: float, rate_hz: float, duration_s: float = 10) -> npt.NDArray[np.float32]:
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    return np.sin(2 * np.pi * frequency_hz * time_s + 0.3)[None].astype(np.float32)


@pytest.mark.parametrize("from_hz", [100, 250, 257, 360, 400, 1000])
@pytest.mark.parametrize("frequency_hz", [0.05, 1, 10, 40])
def test_the_pass_band_is_kept(from_hz: float, frequency_hz: float) -> None:
    resampled = resample(sine(frequency_hz, from_hz), from_hz, 500)
    expected = sine(frequency_hz, 500)
    assert resampled.shape == expected.shape
    inner = slice(500, -500)
    assert np.abs(resampled - expected)[:, inner].max() <= 1e-4


@pytest.mark.parametrize("frequency_hz", [260, 300, 400, 499])
def test_what_the_new_rate_cannot_hold_is_removed(frequency_hz: float) -> None:
    resampled = resample(sine(frequency_hz, 1000), 1000, 500)
    assert np.abs(resampled)[:, 500:-500].max() <= 1e-4  # -80 dB


def test_an_offset_does_not_ring_at_the_ends() -> None:
    signal = np.full((2, 1000), 3.25, np.float32)
    np.testing.assert_allclose(resample(signal, 100, 500), 3.25, atol=1e-5)


def test_a_slope_is_kept_to_the_last_sample() -> None:
    slope = np.linspace(0, 1, 1000, endpoint=False, dtype=np.float32)[None]
    expected = np.linspace(0, 1, 5000, endpoint=False)[None]
    np.testing.assert_allclose(resample(slope, 100, 500), expected, atol=2e-3)


@pytest.mark.parametrize("samples", [1, 2, 7, 60])
def test_a_very_short_signal_has_the_right_length(samples: int) -> None:
    assert resample(np.ones((1, samples), np.float32), 360, 500).shape[1] == round(
        samples * 500 / 360
    )


def test_the_same_rate_changes_nothing() -> None:
    signal = sine(10, 500)
    assert resample(signal, 500, 500) is signal
