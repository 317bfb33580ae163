"""What a score hangs on: parts are hidden as stated, and the right ones are found."""

import numpy as np
import numpy.typing as npt
import pytest

from ecgpipe.apply_model.explain.occlusion import Occlusion, bridged, occlude, tenths
from ecgpipe.read_ecg.signal.window import NO_READING

RATE_HZ = 100.0


def _ecg(samples: int = 300) -> npt.NDArray[np.int16]:
    rng = np.random.default_rng(0)
    return rng.integers(-200, 200, (12, samples)).astype(np.int16)


def _occlude_power(
    signal_uv: npt.NDArray[np.int16], lead: int, start: int, end: int
) -> tuple[Occlusion, list[int]]:
    """Occlusion of a model that looks only at a lead's power from start to end, in score 1."""
    sizes = []

    def score(windows: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
        sizes.append(len(windows))
        part = windows[:, lead, start:end].astype(np.float32)
        power = np.where(part == NO_READING, 0, part / 1000) ** 2
        return np.stack([np.zeros(len(windows)), power.sum(axis=1)], axis=1).astype(np.float32)

    return occlude(score, signal_uv, RATE_HZ), sizes


def test_the_lead_and_the_tenths_that_a_score_is_made_of_are_found() -> None:
    signal = _ecg()
    signal[3, 100:120] = 1000
    found, _ = _occlude_power(signal, lead=3, start=100, end=120)
    assert found.lead_share_LC[:, 1].argmax() == 3
    assert not np.delete(found.lead_share_LC[:, 1], 3).any()
    best = np.argsort(found.tenth_drop_TC[:, 1])[-2:]
    assert sorted(best) == [10, 11]
    assert (found.tenth_drop_TC[:6, 1] == 0).all()
    assert not found.lead_share_LC[:, 0].any()
    assert not found.tenth_drop_TC[:, 0].any()


def test_two_leads_that_show_the_same_share_what_neither_would_lose_alone() -> None:
    signal = _ecg()
    signal[7] = signal[2] = 1000

    def score(windows: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
        return windows[:, [2, 7]].max(axis=(1, 2), initial=0)[:, None] / np.float32(1000)

    shares = occlude(score, signal, RATE_HZ).lead_share_LC[:, 0]
    assert shares[[2, 7]].tolist() == [0.5, 0.5]
    assert not np.delete(shares, [2, 7]).any()


def test_shares_sum_to_the_score_above_that_of_an_ecg_without_any_reading() -> None:
    signal, rng = _ecg(), np.random.default_rng(1)
    weights = rng.normal(size=(12, 12)) * 1e-3

    def score(windows: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
        known = (windows != NO_READING).any(axis=2).astype(np.float32)
        return np.einsum("nl,lm,nm->n", known, weights, known)[:, None] + np.float32(0.3)

    found = occlude(score, signal, RATE_HZ)
    np.testing.assert_allclose(found.lead_share_LC.sum(), found.score_C[0] - 0.3, atol=1e-6)
    # Of a quadratic form the exact value is known: half of each pair.
    exact = (weights.sum(axis=0) + weights.sum(axis=1)) / 2
    np.testing.assert_allclose(found.lead_share_LC[:, 0], exact, atol=1e-6)


def test_a_part_that_speaks_against_a_finding_has_a_negative_drop() -> None:
    signal = np.zeros((12, 300), np.int16)
    signal[0, 150:160] = 500

    def score(windows: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
        return -np.abs(windows[:, 0, 100:200].clip(0)).mean(axis=1, keepdims=True) / np.float32(1e3)

    assert occlude(score, signal, RATE_HZ).tenth_drop_TC[15, 0] < 0


def test_each_tenth_is_hidden_equally_often_also_at_the_edges() -> None:
    hidden = np.zeros(30)

    def score(windows: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
        for window in windows[(windows != NO_READING).any(axis=2).all(axis=1)]:
            hidden[:] += (window[0].reshape(30, 10) != signal[0].reshape(30, 10)).any(axis=1)
        return np.zeros((len(windows), 1), np.float32)

    signal = _ecg()
    occlude(score, signal, RATE_HZ)
    assert set(hidden) == {4}


def test_models_are_asked_in_batches_of_a_bounded_size() -> None:
    _, sizes = _occlude_power(_ecg(1000), 0, 0, 10)
    assert max(sizes) <= 64
    assert sum(sizes) == 1 + 16 * 13 + 1 + 100 + 3


@pytest.mark.parametrize(("samples", "rate_hz"), [(1000, 100.0), (5000, 500.0), (1285, 128.0)])
def test_tenths_cover_the_whole_window(samples: int, rate_hz: float) -> None:
    edges = tenths(_ecg(samples), rate_hz)
    assert edges[0] == 0
    assert edges[-1] == samples
    assert np.abs(np.diff(edges)[:-1] - rate_hz / 10).max() < 1
    assert 0 < edges[-1] - edges[-2] < rate_hz / 10 + 1


def test_a_bridge_is_a_straight_line_between_its_neighbours() -> None:
    signal = np.zeros((2, 10), np.int16)
    signal[0] = [0, 10, 500, 500, 500, 50, 0, 0, 0, 0]
    hidden = bridged(signal, 2, 5)
    assert hidden[0].tolist() == [0, 10, 20, 30, 40, 50, 0, 0, 0, 0]
    assert signal[0, 2] == 500, "the ECG itself was changed"


def test_a_bridge_at_an_edge_is_level() -> None:
    signal = np.arange(20, dtype=np.int16).reshape(1, 20) * 10
    assert bridged(signal, 0, 4)[0, :5].tolist() == [40] * 5
    assert bridged(signal, 16, 20)[0, 15:].tolist() == [150] * 5


def test_a_bridge_between_extremes_does_not_overflow() -> None:
    signal = np.array([[-32767, 0, 0, 0, 32767]], np.int16)
    assert bridged(signal, 1, 4)[0].tolist() == [-32767, -16384, 0, 16384, 32767]


def test_what_has_no_reading_is_left_so_and_counts_for_nothing() -> None:
    signal = _ecg()
    signal[5] = NO_READING
    signal[:, 250:] = NO_READING
    hidden = bridged(signal, 240, 280)
    assert ((hidden == NO_READING) == (signal == NO_READING)).all()
    assert (hidden[0, 240:250] == signal[0, 239]).all()
    found, _ = _occlude_power(signal, lead=0, start=0, end=300)
    assert found.lead_share_LC[5, 1] == 0
    assert not found.tenth_drop_TC[29].any()
