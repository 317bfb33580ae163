"""What is done to an ECG under each condition, by hand and against the physics."""

import numpy as np
import pytest
from scipy.signal import welch

from ecgpipe.evaluate.analyses.conditions import (
    add_noise,
    add_sine,
    conditions,
    keep_first,
    keep_leads,
    lower_rate,
    mains_hz,
    swap_arms,
    to_millivolts,
    to_stored,
    wander_hz,
)
from ecgpipe.read_ecg.signal.resampling import resample

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
NUMBERS = np.array([11, 12], np.uint64)


def from_electrodes(right: np.ndarray, left: np.ndarray, foot: np.ndarray, chest: np.ndarray):
    """The twelve leads as an electrocardiograph makes them from nine electrodes."""
    wilson = (right + left + foot) / 3
    limb = [
        left - right, foot - right, foot - left,
        right - (left + foot) / 2, left - (right + foot) / 2, foot - (right + left) / 2,
    ]  # fmt: skip
    return np.concatenate([np.stack(limb), chest - wilson]).astype(np.float32)[None]


def test_swapped_arms_are_what_swapped_electrodes_record() -> None:
    rng = np.random.default_rng(0)
    right, left, foot, chest = *rng.normal(size=(3, 50)), rng.normal(size=(6, 50))
    proper = from_electrodes(right, left, foot, chest)
    expected = from_electrodes(left, right, foot, chest)
    np.testing.assert_allclose(swap_arms(proper, LEADS), expected, atol=1e-6)
    np.testing.assert_array_equal(proper, from_electrodes(right, left, foot, chest))


def test_only_the_named_leads_stay() -> None:
    signal = np.ones((2, 12, 5), np.float32)
    kept = keep_leads(signal, LEADS, ("II", "V1"))
    assert [LEADS[n] for n in np.flatnonzero(np.isfinite(kept[0, :, 0]))] == ["II", "V1"]
    assert np.isfinite(signal).all()


def test_stored_signals_come_back_to_the_bit() -> None:
    every = np.arange(-32768, 32768, dtype=np.int16).reshape(1, 1, -1)
    assert np.array_equal(to_stored(to_millivolts(every)), every)
    assert np.isnan(to_millivolts(every)[0, 0, 0])
    beyond = np.array([[[40.0, -40.0, np.nan]]], np.float32)
    assert to_stored(beyond).tolist() == [[[32767, -32767, -32768]]]


def generators(n: int) -> list[np.random.Generator]:
    return [np.random.default_rng(number) for number in range(n)]


def test_noise_has_the_strength_it_says_and_is_white() -> None:
    noise = add_noise(np.zeros((3, 12, 5000), np.float32), generators(3), 0.05)
    assert noise.std() == pytest.approx(0.05, rel=0.01)
    _, power = welch(noise, fs=500, nperseg=256)
    halves = power[..., 1:64].mean(), power[..., 65:128].mean()
    assert halves[0] == pytest.approx(halves[1], rel=0.03)


def test_wander_is_slow_and_mains_is_50_or_60_hz() -> None:
    still = np.zeros((12, 12, 30_000), np.float32)
    hertz = np.fft.rfftfreq(30_000, 1 / 500)
    slow = np.abs(np.fft.rfft(add_sine(still, generators(12), 0.5, 500, wander_hz))).argmax(axis=2)
    assert hertz[slow].max() <= 0.51
    assert (slow == slow[:, :1]).all()  # one frequency in all leads
    hum = add_sine(still, generators(12), 0.1, 500, mains_hz)
    found = hertz[np.abs(np.fft.rfft(hum)).argmax(axis=2)]
    assert set(np.unique(found.round(1))) == {50.0, 60.0}
    assert np.abs(hum).max() <= 0.1


def test_a_lower_rate_keeps_what_it_can_hold_and_loses_the_rest() -> None:
    seconds = np.arange(5000) / 500
    slow, fast = np.sin(2 * np.pi * 7 * seconds), np.sin(2 * np.pi * 40 * seconds)
    signal = np.stack([slow, slow + fast, np.full(5000, np.nan)])[None].astype(np.float32)
    signal[0, 0, -100:] = np.nan
    changed = lower_rate(signal, 500, 50, resample)
    inside = slice(300, 4500)
    np.testing.assert_allclose(changed[0, 0, inside], slow[inside], atol=2e-3)
    np.testing.assert_allclose(changed[0, 1, inside], slow[inside], atol=2e-3)
    assert np.array_equal(np.isnan(changed), np.isnan(signal))


def test_what_comes_later_has_no_reading() -> None:
    kept = keep_first(np.ones((1, 2, 10), np.float32), 4)
    assert np.isfinite(kept).sum(axis=2).tolist() == [[4, 4]]


def twelve(rate_hz: int = 500, leads: tuple[str, ...] = LEADS, samples: int = 5000) -> dict:
    return {c.name: c for c in conditions(leads, samples, rate_hz, 0, resample)}


def test_no_condition_makes_up_a_reading_or_writes_to_its_input() -> None:
    signal = np.random.default_rng(0).normal(size=(2, 12, 5000)).astype(np.float32)
    signal[0, 3] = np.nan
    signal[1, :, 4000:] = np.nan
    signal[1, [4, 3]] = np.nan  # aVR and aVL alike, so that swapping them moves no gap
    signal[0, 4] = np.nan
    before = signal.copy()
    for condition in twelve().values():
        assert not condition.cannot
        changed = condition.change(signal, NUMBERS)
        assert changed.shape == signal.shape, condition.name
        assert changed.dtype == np.float32, condition.name
        assert not np.isfinite(changed[np.isnan(signal)]).any(), condition.name
        np.testing.assert_array_equal(signal, before)
        if condition.name != "as recorded":
            assert not np.array_equal(changed, signal, equal_nan=True), condition.name


def test_what_is_drawn_depends_on_the_record_and_not_on_its_batch() -> None:
    signal = np.zeros((2, 12, 2000), np.float32)
    for name in ("noise 0.05 mV", "noise 0.1 mV", "wander 0.5 mV", "mains 0.1 mV"):
        change = twelve(samples=2000)[name].change
        both, alone = change(signal, NUMBERS), change(signal[:1], NUMBERS[1:])
        np.testing.assert_array_equal(both[1], alone[0])
        assert not np.array_equal(both[0], both[1])


def test_conditions_that_say_nothing_about_the_signals_say_why() -> None:
    slow = {name: c.cannot for name, c in twelve(100, samples=500).items() if c.cannot}
    assert set(slow) == {"mains 0.1 mV", "100 Hz", "5 s"}
    two = {name: c.cannot for name, c in twelve(leads=("II", "V1")).items() if c.cannot}
    assert set(two) == {"lead I", "no anterior", "no lateral", "arms swapped"}
    assert "aVL" in two["arms swapped"]
