"""A task's thresholds and probabilities are those that validation can support."""

from typing import Any

import numpy as np
import pytest
from results_example import example_results
from scipy.special import expit, softmax

from ecgpipe.apply_model.applied_task import AppliedTask, task_from_results

RESULTS: Any = example_results()["tasks"]
SCORES = np.random.default_rng(0).uniform(-1, 1, (7, 10)).astype(np.float32)


def applied(name: str, **changes: Any) -> AppliedTask:
    block = RESULTS[name] | changes
    wordings = {c: {"ja": ("所見",), "en": ("finding",)} for c in block["classes"]}
    return task_from_results(name, block, wordings, dict.fromkeys(block["classes"], ()))


def test_classes_that_too_few_validation_ecgs_show_have_neither_threshold_nor_probability() -> None:
    task = applied("findings")
    n_val = {c.id: c.n_val for c in task.classes}
    enough = {c for c, n in n_val.items() if n >= 5}
    assert 0 < len(enough) < len(n_val)
    assert {c.id for c in task.classes if c.threshold is not None} == enough
    chances = task.probabilities(SCORES)
    calibrated = {c.id for c, p in zip(task.classes, chances.T, strict=True) if p[0] == p[0]}
    assert calibrated == enough & set(RESULTS["findings"]["calibration"]["sigmoids"])


def test_probabilities_are_the_sigmoids_and_the_softmax_of_scipy() -> None:
    chances = applied("findings").probabilities(SCORES)
    known = ~np.isnan(chances)
    expected = expit(9.5 * SCORES.astype(np.float64) - 3.25)
    np.testing.assert_allclose(chances[known], expected[known], atol=1e-15)
    scores = SCORES[:, :5]
    chances = applied("superclass").probabilities(scores)
    np.testing.assert_allclose(chances, softmax(12.5 * scores.astype(np.float64), axis=1))


def test_a_sigmoid_stays_finite_however_steep_it_is() -> None:
    block = dict(RESULTS["findings"]["calibration"])
    block["sigmoids"] = {c: {"slope": 1e5, "offset": 0.0} for c in block["sigmoids"]}
    chances = applied("findings", calibration=block).probabilities(SCORES)
    assert np.nanmin(chances) == 0
    assert np.nanmax(chances) == 1


@pytest.mark.parametrize("name", ["findings", "superclass"])
def test_without_validation_there_is_no_probability(name: str) -> None:
    task = applied(name, calibration=None)
    assert np.isnan(task.probabilities(SCORES[:, : len(task.classes)])).all()
    assert task.n_val == 0


def test_too_few_validation_ecgs_give_no_temperature() -> None:
    block = RESULTS["superclass"]["calibration"] | {"n_val": 4}
    assert applied("superclass", calibration=block).scale is None


def test_what_is_said_of_a_task_names_no_record_and_keeps_the_reports_figures() -> None:
    said = applied("findings").evaluation
    assert said["calibration"] == RESULTS["findings"]["calibration"]
    assert said["summary"] == RESULTS["findings"]["summary"]
    assert not {"curves", "confusion"} & set(said)
    assert said["classes"]["1"]["auroc"] == RESULTS["findings"]["classes"]["1"]["auroc"]
