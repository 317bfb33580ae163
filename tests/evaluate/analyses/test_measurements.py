"""A finding that is a measurement: whether the model sees the quantity."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from ecgpipe.evaluate.analyses.delineation import QUANTITIES
from ecgpipe.evaluate.analyses.measurements import (
    MeasuredFinding,
    measured_findings,
    measurement_block,
    weighted_rank_correlation,
)
from ecgpipe.evaluate.scored_task import ScoredTask
from ecgpipe.evaluate.tasks.task import load_task
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy

TAXONOMY = load_taxonomy("findings98")
TASK = load_task("findings", TAXONOMY, frozenset({"1", "38"}))
N = 120


def scored(sees_pr: bool) -> tuple[ScoredTask, list[dict[str, float] | None]]:
    """ECGs of which the third with the longest PR are reported as prolonged."""
    rng = np.random.default_rng(0)
    pr_ms = rng.normal(180, 30, N)
    truth = np.stack([pr_ms < 195, pr_ms >= 195], axis=1)
    noise = rng.normal(size=(N, 2))
    scores = (0.05 * pr_ms[:, None] * [0, 1] if sees_pr else 0) + noise
    measures = [{**dict.fromkeys(QUANTITIES, float("nan")), "pr_ms": pr} for pr in pr_ms]
    chosen = np.ones(N, bool)
    return ScoredTask(TASK, chosen, np.asarray(scores, np.float32), truth), list(measures)


def block(sees_pr: bool, **changes):
    task, measures = scored(sees_pr)
    return measurement_block(task, measures, [f"p{n}" for n in range(N)], 5, 200, 0) | changes


def test_a_model_blind_to_pr_is_told_from_one_that_sees_it() -> None:
    seeing, blind = (block(sees)["findings"][0] for sees in (True, False))
    assert seeing["class"] == blind["class"] == "38"
    assert seeing["ruler_auroc"]["value"] == blind["ruler_auroc"]["value"] == 1.0
    assert seeing["model_auroc"]["low"] > 0.8
    assert blind["model_auroc"]["high"] < 0.7
    assert seeing["correlation"]["low"] > 0.5
    assert blind["correlation"]["low"] < 0 < blind["correlation"]["high"]
    assert seeing["median_positive"] > 195 > seeing["median_negative"]


def test_only_ecgs_that_were_measured_count() -> None:
    task, measures = scored(True)
    for row in range(0, N, 2):
        measures[row] = None
    for row in range(1, N, 4):
        measures[row] = dict.fromkeys(QUANTITIES, float("nan"))  # tried, and not measurable
    found = measurement_block(task, measures, [f"p{n}" for n in range(N)], 5, 200, 0)
    assert (found["n"], found["n_tried"], found["findings"][0]["n"]) == (N, N // 2, N // 4)
    assert found["quantities"]["pr_ms"]["n"] == N // 4


def test_a_finding_with_too_few_ecgs_is_left_out() -> None:
    task, measures = scored(True)
    found = measurement_block(task, measures, [f"p{n}" for n in range(N)], N, 200, 0)
    assert found["findings"] == []


def test_the_rank_correlation_is_scipys_and_a_weight_counts_a_record_twice() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 9, 80).astype(float), rng.normal(size=80)
    plain = weighted_rank_correlation(a, b, np.ones((1, 80)))[0]
    assert plain == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)
    assert np.isnan(weighted_rank_correlation(np.ones(80), b, np.ones((1, 80)))[0])


def test_nearness_to_an_axis_goes_round_the_circle() -> None:
    extreme = MeasuredFinding(("58",), "axis_degrees", "near", "", centre=-135)
    extents = extreme.extent(np.array([-135.0, 170.0, 45.0, np.nan]))
    assert extents[:3].tolist() == [0, -55, -180]
    assert np.isnan(extents[3])


def test_every_measured_finding_means_a_known_quantity_and_a_known_finding() -> None:
    names, findings = measured_findings()
    ids = {f.id for name in ("findings98", "ptbxl") for f in load_taxonomy(name).findings}
    for finding in findings:
        assert set(finding.classes) <= ids
        assert finding.quantity in names
        assert finding.side in ("high", "low", "near")
        assert finding.criterion
    assert set(names) <= set(QUANTITIES)
