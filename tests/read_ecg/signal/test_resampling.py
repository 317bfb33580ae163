"""Resampling against analytic sines: the pass band is kept, higher frequencies are removed."""

import numpy as np
import numpy.typing as npt
import pytest

from ecgpipe.read_ecg.signal.resampling import resample


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


RATES = [(360, 500), (1000, 500), (500, 100), (257, 500), (125, 500)]
# Of half the lower rate: up to 126, 175, 35, 90 and 44 Hz the error is at most 1e-4; from there
# to 162, 225, 45, 116 and 56 Hz soxr's HQ rolls off by up to 0.01 dB, a thousandth.
PASS_BAND, ROLL_OFF = 0.7, 0.9


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
@pytest.mark.parametrize("share", [0.001, 0.1, 0.3, 0.5, 0.6, PASS_BAND, 0.8, ROLL_OFF])
def test_every_rate_keeps_its_pass_band(from_hz: float, to_hz: float, share: float) -> None:
    frequency_hz = share * min(from_hz, to_hz) / 2
    resampled = resample(sine(frequency_hz, from_hz, 20), from_hz, to_hz)
    expected = sine(frequency_hz, to_hz, 20)
    inner = slice(round(2 * to_hz), -round(2 * to_hz))
    most = 1e-4 if share <= PASS_BAND else 1.2e-3
    assert np.abs(resampled - expected)[:, inner].max() <= most


@pytest.mark.parametrize(("from_hz", "to_hz"), [(1000, 500), (500, 100)])
@pytest.mark.parametrize("share", [1.0, 1.05, 1.3, 1.8])
def test_nothing_is_folded_back_from_beyond_the_new_rate(
    from_hz: float, to_hz: float, share: float
) -> None:
    frequency_hz = share * to_hz / 2
    resampled = resample(sine(frequency_hz, from_hz, 20), from_hz, to_hz)
    inner = slice(round(2 * to_hz), -round(2 * to_hz))
    assert np.abs(resampled)[:, inner].max() <= 1e-4  # -80 dB


@pytest.mark.parametrize(("from_hz", "to_hz"), [(360, 500), (257, 500), (125, 500)])
@pytest.mark.parametrize("share", [0.1, 0.5, PASS_BAND, ROLL_OFF])
def test_a_higher_rate_adds_no_images(from_hz: float, to_hz: float, share: float) -> None:
    """Above half the old rate nothing appears: the image of a sine is below -80 dB."""
    frequency_hz = share * from_hz / 2
    resampled = resample(sine(frequency_hz, from_hz, 20), from_hz, to_hz)[0]
    window = np.blackman(len(resampled) - 2000)
    spectrum = np.abs(np.fft.rfft(resampled[1000:-1000] * window)) / (window.sum() / 2)
    hertz = np.fft.rfftfreq(len(window), 1 / to_hz)
    assert spectrum[hertz >= from_hz / 2].max() <= 1e-4


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
