"""Which finding is taken for which, worked by hand."""

import numpy as np
import pytest

from ecgpipe.evaluate.analyses.failures import by_coarse_class, overtaken, taken_for
from ecgpipe.evaluate.scored_task import ScoredTask
from ecgpipe.evaluate.tasks.task import load_task
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy

# 1 normal, 66 LVH (HYP), 73 anterior infarction (MI)
TASK = load_task("findings", load_taxonomy("findings98"), frozenset({"1", "66", "73"}))
TRUTH = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1]], bool)
SCORES = np.array([[0.9, 0.1, 0.2], [0.5, 0.4, 0.6], [0.1, 0.2, 0.3], [0.1, 0.8, 0.8]], np.float32)
SCORED = ScoredTask(TASK, np.ones(4, bool), SCORES, TRUTH)


def test_rates_of_confusion_by_hand() -> None:
    rates, counts = overtaken(SCORES, TRUTH, 1)
    # LVH is shown by ECGs 1 and 2. Normal, on neither, is ahead in ECG 1 only: 1 of 2. Infarction
    # is on ECG 2 as well, so ECG 1 alone counts, and there it is ahead: 1 of 1.
    assert rates[1, 0] == pytest.approx(0.5)
    assert rates[1, 2] == pytest.approx(1.0)
    assert (counts[1, 0], counts[1, 2]) == (2, 1)
    assert rates[2, 1] == pytest.approx(1.0)  # a tie counts: ECG 3
    assert rates[0, 1] == 0
    assert np.isnan(np.diag(rates)).all()


def test_pairs_with_too_few_ecgs_are_unknown() -> None:
    rates, _ = overtaken(SCORES, TRUTH, 2)
    assert np.isnan(rates[1, 2])
    assert rates[1, 0] == pytest.approx(0.5)


def test_the_worst_pair_comes_first_with_its_count_and_how_alike_the_texts_are() -> None:
    similarity = np.array([[1, 0.1, 0.2], [0.1, 1, 0.9], [0.2, 0.9, 1]])
    entries = taken_for(SCORED, similarity, 1)
    assert {(e["shown"], e["taken_for"]) for e in entries[:2]} == {("66", "73"), ("73", "66")}
    assert entries[0]["text_cosine"] == pytest.approx(0.9)
    assert entries[0]["rate"]["low"] < entries[0]["rate"]["value"]
    assert taken_for(SCORED, None, 1)[0]["text_cosine"] is None


def test_how_coarse_classes_fare() -> None:
    entries = {e["class"]: e for e in by_coarse_class(SCORED, [None, "HYP", "MI"], ["MI", "HYP"])}
    # HYP: ECGs 1 (first guess infarction, wrong) and 2 (first guess infarction, which it shows).
    assert entries["HYP"]["n"] == 2
    assert entries["HYP"]["any_hit"]["value"] == pytest.approx(0.5)
    assert entries["HYP"]["first_guess"] == {"MI": 2}
    assert entries["HYP"]["median_rank"] == pytest.approx((3 + 1) / 2)
    # MI: ECG 2 right; ECG 3 ties LVH with infarction, and the first of equals is LVH.
    assert entries["MI"]["first_guess"] == {"MI": 1, "HYP": 1}
    assert set(entries) == {"MI", "HYP"}


def test_no_ecgs_no_failures() -> None:
    empty = ScoredTask(TASK, np.zeros(4, bool), SCORES, TRUTH)
    assert taken_for(empty, None, 1) == []
    assert by_coarse_class(empty, [None, "HYP", "MI"], ["MI", "HYP"]) == []
