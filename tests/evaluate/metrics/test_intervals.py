"""Intervals: how often they cover a known truth, and what they say where draws say nothing."""

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from ecgpipe.evaluate.metrics.bootstrap import (
    PatientDraws,
    percentile_interval,
    share_interval,
    shifted_interval,
)
from ecgpipe.evaluate.metrics.metrics import wilson_interval
from ecgpipe.evaluate.scoring import bootstrap_metrics

PREVALENCE = np.array([0.3, 0.2, 0.2, 0.15, 0.15])
METRICS = ("hit@1_any", "macro_auroc")


@dataclass(frozen=True)
class Population:
    """Patients with one to four ECGs that agree: equal findings, scores that share most noise."""

    patients: int

    def sample(
        self, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], list[str]]:
        sizes = rng.integers(1, 5, self.patients)
        of = np.repeat(np.arange(self.patients), sizes)
        shown = rng.random((self.patients, len(PREVALENCE))) < PREVALENCE
        own = rng.normal(size=shown.shape)[of] * 0.8
        noise = own + 0.6 * rng.normal(size=(len(of), len(PREVALENCE)))
        truth = shown[of]
        scores = (noise + 1.0 * truth).astype(np.float32)
        counts = truth.any(axis=1)
        return scores[counts], truth[counts], [str(p) for p in of[counts]]


@functools.cache
def whole_population() -> dict[str, npt.NDArray[np.float64]]:
    """The metrics of 200,000 patients."""
    scores, truth, _ = Population(200_000).sample(np.random.default_rng(99))
    return bootstrap_metrics(
        scores, truth, PatientDraws.of([str(n) for n in range(len(scores))], 0, 0), 1
    ).summary


def coverage(repetitions: int, by_patient: bool) -> dict[str, float]:
    """How often the interval of 300 patients holds the metric of them all."""
    whole = whole_population()
    covered = dict.fromkeys(METRICS, 0)
    rng = np.random.default_rng(0)
    for repetition in range(repetitions):
        scores, truth, patients = Population(300).sample(rng)
        if not by_patient:
            patients = [str(record) for record in range(len(patients))]
        draws = PatientDraws.of(patients, 300, seed=repetition)
        found = bootstrap_metrics(scores, truth, draws, 5).summary_metrics()
        for name in METRICS:
            entry = found[name]
            assert entry["low"] is not None
            assert entry["high"] is not None
            covered[name] += entry["low"] <= whole[name][0] <= entry["high"]
    return {name: n / repetitions for name, n in covered.items()}


@pytest.mark.slow
def test_intervals_cover_the_truth_in_93_to_97_of_100_repetitions() -> None:
    for name, share in coverage(1000, by_patient=True).items():
        assert 0.93 <= share <= 0.97, name


def test_intervals_cover_the_truth_and_those_over_records_do_not() -> None:
    right = coverage(100, by_patient=True)
    wrong = coverage(100, by_patient=False)
    for name in METRICS:  # of 100, 0.95 less three standard errors is 0.885
        assert right[name] >= 0.89, name
        assert wrong[name] < 0.89, name


def test_a_share_of_independent_patients_has_wilsons_own_interval() -> None:
    for hits, n in ((0, 12), (12, 12), (7, 20), (199, 200)):
        share = hits / n
        deviation = np.sqrt(share * (1 - share) / n)
        draws = share + deviation * np.array([-1.0, 1.0])  # their variance is p(1-p)/n
        got = share_interval(share, draws, n)
        assert got == pytest.approx(wilson_interval(hits / n, n), abs=1e-12)


def test_the_rule_of_three_holds_for_a_metric_that_never_failed() -> None:
    # With no failure in n the upper limit of the share of failures is about 3.84/(n + 3.84).
    low, high = share_interval(1.0, np.ones(100), 300)
    assert high == 1
    assert low == pytest.approx(1 - 3.8415 / (300 + 3.8415), abs=1e-4)


def test_agreeing_ecgs_of_a_patient_widen_the_interval() -> None:
    hit = np.repeat([1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0], 10)
    widths = {}
    for name, patients in (
        ("patients", [str(n // 10) for n in range(80)]),
        ("records", [str(n) for n in range(80)]),
    ):
        weights = PatientDraws.of(patients, 2000, seed=0).weights(0, 2000).T
        draws = (weights @ hit) / weights.sum(axis=1)
        low, high = share_interval(hit.mean(), draws, len(set(patients)))
        widths[name] = high - low
    assert widths["patients"] > 2.5 * widths["records"]


def test_a_metric_that_is_constant_by_definition_has_no_width() -> None:
    assert share_interval(0.5, np.full(50, 0.5), 10) == (0.5, 0.5)


def test_nothing_known_gives_no_interval() -> None:
    for value, draws, units in (
        (np.nan, np.ones(3), 5),
        (0.5, np.array([np.nan]), 5),
        (0.5, np.ones(3), 0),
    ):
        assert np.isnan(share_interval(value, draws, units)).all()


def test_a_calibration_errors_interval_is_freed_of_the_noise_of_drawing() -> None:
    draws = np.random.default_rng(0).normal(0.08, 0.01, 5000)  # each draw adds 0.03
    low, high = shifted_interval(0.05, draws)
    assert (low, high) == pytest.approx((0.05 - 0.0196, 0.05 + 0.0196), abs=0.001)
    assert shifted_interval(0.001, draws)[0] == 0


def test_percentiles_leave_out_draws_without_the_metric() -> None:
    assert percentile_interval(np.array([np.nan, 0.2, 0.2])) == (0.2, 0.2)


def test_draws_follow_the_patients_not_the_order_of_their_records() -> None:
    patients = ["b", "a", "c", "a"]
    draws = PatientDraws.of(patients, 50, seed=1).weights(0, 50)
    order = [3, 2, 0, 1]
    again = PatientDraws.of([patients[place] for place in order], 50, seed=1).weights(0, 50)
    np.testing.assert_array_equal(again, draws[order])
    assert (draws[1] == draws[3]).all()


def test_parts_of_the_draws_are_all_of_them_once() -> None:
    draws = PatientDraws.of(list("abcde"), 11, seed=1)
    parts = [draws.part(number, 3) for number in range(3)]
    together = np.concatenate([part.weights(0, len(part)) for part in parts], axis=1)
    np.testing.assert_array_equal(together, draws.weights(0, 11))
