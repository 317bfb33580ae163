"""Runs side by side: what differs by luck is not told as a difference, what differs is."""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from ecgpipe.errors import ComparisonError
from ecgpipe.evaluate.compare.comparison import (
    Contender,
    KeptScores,
    adjust_over_tasks,
    compare_task,
    difference,
    holm,
)
from ecgpipe.evaluate.compare.published import publications

N = 300
CLASSES = ("1", "22", "73")


def kept(seed: int, signal: float) -> KeptScores:
    """Scores of simulated ECGs, two of each patient; the larger the signal, the better."""
    truth_rng, rng = np.random.default_rng(7), np.random.default_rng([8, seed])
    truth = truth_rng.random((N, len(CLASSES))) < 0.3
    scores = (signal * truth + rng.normal(size=truth.shape)).astype(np.float32)
    return KeptScores(CLASSES, tuple(f"r{n}" for n in range(N)), np.arange(N) // 2, scores, truth)


def alone(name: str, run: KeptScores) -> Contender:
    return Contender(name, {name: run})


def test_a_better_run_is_told_from_a_worse_one_and_by_how_much() -> None:
    found = compare_task([alone("a", kept(0, 0.5)), alone("b", kept(1, 2.0))], 5, 400, 0)
    change = found["summary"]["macro_auroc"]["differences"][0]
    values = [entry["value"] for entry in found["summary"]["macro_auroc"]["values"]]
    assert change["value"] == pytest.approx(values[1] - values[0], abs=1e-12)
    assert change["low"] > 0.15
    assert change["p"] < 1e-6
    assert (found["n"], found["patients"]) == (N, N // 2)


def test_a_run_does_not_differ_from_itself() -> None:
    run = kept(0, 1.0)
    found = compare_task([alone("a", run), alone("b", run)], 5, 200, 0)
    change = found["classes"]["22"]["auroc"]["differences"][0]
    assert (change["value"], change["low"], change["high"], change["p"]) == (0, 0, 0, 1.0)


def test_runs_whose_records_and_classes_are_in_another_order_compare_alike() -> None:
    a, b = kept(0, 1.0), kept(1, 1.0)
    rows, columns = np.random.default_rng(0).permutation(N), [2, 0, 1]
    shuffled = KeptScores(
        tuple(b.class_ids[c] for c in columns),
        tuple(b.record_ids[r] for r in rows),
        b.patients[rows] + 1000,
        b.scores_NC[np.ix_(rows, columns)],
        b.truth_NC[np.ix_(rows, columns)],
    )
    straight = compare_task([alone("a", a), alone("b", b)], 5, 200, 0)
    assert compare_task([alone("a", a), alone("b", shuffled)], 5, 200, 0) == straight


def test_what_is_unknown_moves_no_difference_and_must_be_the_same_in_both_runs() -> None:
    known = np.random.default_rng(5).random((N, len(CLASSES))) < 0.7
    a, b = (
        replace(run, truth_NC=run.truth_NC & known, known_NC=known)
        for run in (kept(0, 1.0), kept(1, 1.5))
    )
    found = compare_task([alone("a", a), alone("b", b)], 5, 100, 0)
    moved = replace(b, scores_NC=np.where(known, b.scores_NC, 99).astype(np.float32))
    assert compare_task([alone("a", a), alone("b", moved)], 5, 100, 0) == found
    assert found["classes"]["22"]["n_known"] == known[:, 1].sum()
    assert found["classes"]["22"]["auroc"]["differences"][0]["p_holm"] is not None
    other = replace(b, known_NC=b.truth_NC)
    with pytest.raises(ComparisonError, match="with different findings"):
        compare_task([alone("a", a), alone("b", other)], 5, 100, 0)


def test_pairing_makes_the_interval_of_two_like_runs_narrow() -> None:
    a = kept(0, 1.0)
    noise = np.random.default_rng(3).normal(0, 0.05, a.scores_NC.shape).astype(np.float32)
    b = replace(a, scores_NC=a.scores_NC + noise)
    entry = compare_task([alone("a", a), alone("b", b)], 5, 400, 0)["summary"]["macro_auroc"]
    width = entry["differences"][0]["high"] - entry["differences"][0]["low"]
    assert width < 0.2 * (entry["values"][0]["high"] - entry["values"][0]["low"])


def delong_p(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], truth: npt.NDArray[np.bool_]):
    """The two-sided p-value of DeLong, DeLong and Clarke-Pearson 1988, by its definition."""
    places = []
    for scores in (a, b):
        over = (scores[truth][:, None] > scores[~truth][None]).astype(float)
        over += 0.5 * (scores[truth][:, None] == scores[~truth][None])
        places.append((over.mean(axis=1), over.mean(axis=0), over.mean()))
    by_positive = np.cov(places[0][0], places[1][0])
    by_negative = np.cov(places[0][1], places[1][1])
    total = by_positive / truth.sum() + by_negative / (~truth).sum()
    error = math.sqrt(total[0, 0] + total[1, 1] - 2 * total[0, 1])
    return math.erfc(abs(places[1][2] - places[0][2]) / error / math.sqrt(2))


@pytest.mark.parametrize("signal", [1.0, 1.1, 1.25])
def test_the_p_value_of_an_auroc_agrees_with_delong(signal: float) -> None:
    a, b = kept(0, 1.0), kept(5, signal)
    single = [replace(run, patients=np.arange(N)) for run in (a, b)]  # DeLong knows no patients
    found = compare_task([alone("a", single[0]), alone("b", single[1])], 5, 4000, 0)
    ours = found["classes"]["1"]["auroc"]["differences"][0]["p"]
    assert ours == pytest.approx(
        delong_p(a.scores_NC[:, 0], b.scores_NC[:, 0], a.truth_NC[:, 0]), rel=0.15, abs=0.01
    )


def test_of_runs_that_differ_by_luck_alone_one_in_twenty_is_told_apart() -> None:
    told = [
        compare_task([alone("a", kept(2 * n, 1.0)), alone("b", kept(2 * n + 1, 1.0))], 5, 200, n)[
            "summary"
        ]["macro_auroc"]["differences"][0]["p"]
        < 0.05
        for n in range(10, 210)
    ]
    assert 0.01 <= np.mean(told) <= 0.10  # 200 repetitions: 5 % +- 3 standard errors


def test_holm_by_hand() -> None:
    # Sorted .005 .01 .03 .04 times 4 3 2 1: .02 .03 .06 .04, never falling: .02 .03 .06 .06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_classes_are_adjusted_together_and_too_small_ones_not_at_all() -> None:
    rare = kept(0, 1.0)
    truth = rare.truth_NC.copy()
    truth[:, 2] = False
    truth[:3, 2] = True
    a, b = replace(rare, truth_NC=truth), replace(kept(1, 2.0), truth_NC=truth)
    classes = compare_task([alone("a", a), alone("b", b)], 5, 200, 0)["classes"]
    ps = [classes[name]["auroc"]["differences"][0]["p"] for name in ("1", "22")]
    holms = [classes[name]["auroc"]["differences"][0]["p_holm"] for name in ("1", "22")]
    assert holms == pytest.approx(holm(ps))
    assert "p_holm" not in classes["73"]["auroc"]["differences"][0]
    assert classes["73"]["auroc"]["differences"][0]["p"] is None
    assert classes["73"]["auroc"]["differences"][0]["value"] is not None


def test_tasks_are_adjusted_together_by_their_headline() -> None:
    tasks = {
        name: compare_task([alone("a", kept(0, 1.0)), alone("b", kept(seed, 1.3))], 5, 200, 0)
        for name, seed in (("findings", 1), ("rhythm", 2))
    }
    adjust_over_tasks(tasks)
    changes = [task["summary"]["macro_auroc"]["differences"][0] for task in tasks.values()]
    assert [c["p_holm"] for c in changes] == pytest.approx(holm([c["p"] for c in changes]))


def test_seeds_of_one_setting_count_as_their_mean_and_say_how_far_apart_they_are() -> None:
    runs = {f"b+seed={n}": kept(n, 1.0) for n in range(3)}
    found = compare_task([alone("a", kept(9, 1.0)), Contender("b", runs)], 5, 200, 0)
    singles = [
        compare_task([alone("x", run), alone("y", run)], 5, 200, 0)["summary"]["hit@1_micro"][
            "values"
        ][0]["value"]
        for run in runs.values()
    ]
    entry = found["summary"]["hit@1_micro"]
    assert entry["values"][1]["value"] == pytest.approx(np.mean(singles), abs=1e-12)
    assert entry["between_runs"] == [None, pytest.approx(np.std(singles, ddof=1))]


def test_runs_on_other_ecgs_or_with_other_classes_are_refused() -> None:
    a, b = kept(0, 1.0), kept(1, 1.0)
    fewer = replace(
        b,
        record_ids=b.record_ids[:-1],
        patients=b.patients[:-1],
        scores_NC=b.scores_NC[:-1],
        truth_NC=b.truth_NC[:-1],
    )
    with pytest.raises(ComparisonError, match="b on 299; 299 are in both"):
        compare_task([alone("a", a), alone("b", fewer)], 5, 200, 0)
    renamed = replace(b, class_ids=("1", "22", "99"))
    with pytest.raises(ComparisonError, match="2 are in only one of them: 73, 99"):
        compare_task([alone("a", a), alone("b", renamed)], 5, 200, 0)
    mended = replace(b, truth_NC=~b.truth_NC)
    with pytest.raises(ComparisonError, match="with different findings"):
        compare_task([alone("a", a), alone("b", mended)], 5, 200, 0)


def test_a_metric_that_does_not_exist_has_no_difference() -> None:
    nothing = np.full(101, np.nan)
    assert difference(nothing, nothing)["p"] is None
    assert difference(nothing, nothing)["value"] is None


def test_published_metrics_are_shares_with_a_source_and_other_data() -> None:
    papers = {paper.name: paper for paper in publications()}
    assert papers["Takahashi et al. 2025"].value("findings", "hit@1", "93") == 0.1262
    assert papers["Takahashi et al. 2025"].value("rhythm", "hit@1_micro") == 0.7888
    assert papers["METS"].value("rhythm", "hit@1_micro") is None  # its "accuracy" is none
    for paper in papers.values():
        assert paper.source
        assert paper.data
        assert all(0 < metric.value < 1 for metric in paper.metrics)
