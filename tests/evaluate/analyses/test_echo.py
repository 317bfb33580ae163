"""Findings of echocardiography: metrics only over what is known, worked out by hand."""

from typing import Any

import numpy as np
import pytest

from ecgpipe.cache.records_table import Record
from ecgpipe.evaluate.analyses.echo import ANALYSIS, echo_entry
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.tasks.echo_definitions import load_echo_definitions

EF = load_echo_definitions("standard").definitions[0]
# Shown, not shown, or unknown ("?"). Of the known, 3 of 4 pairs are in the right order.
ANSWERS = "+?-+-??"
SCORES = np.array([0.9, 1.0, 0.2, 0.5, 0.6, 0.0, 0.95], np.float32)


def records(answers: str) -> list[Record]:
    return [
        Record(
            slot=number,
            record_id=f"r{number}",
            patient_id=f"p{number}",
            source="s",
            split="test",
            findings=(),
            echo_shown=(EF.id,) if answer == "+" else (),
            echo_known=() if answer == "?" else (EF.id,),
        )
        for number, answer in enumerate(answers)
    ]


def entry(answers: str, scores: np.ndarray, least: int = 2) -> dict[str, Any]:
    found = records(answers)
    draws = PatientDraws.of([record.patient_id for record in found], 50, 0)
    return echo_entry(EF, found, scores, [-scores, scores], draws, least)


def test_metrics_are_over_what_is_known() -> None:
    found = entry(ANSWERS, SCORES)
    assert (found["n_known"], found["n"]) == (4, 2)
    assert found["auroc"]["value"] == pytest.approx(3 / 4)
    assert found["random_encoder"]["value"] == pytest.approx((1 / 4 + 3 / 4) / 2)


def test_unknown_ecgs_move_no_metric() -> None:
    known = np.array([answer != "?" for answer in ANSWERS])
    alone = entry("".join(a for a in ANSWERS if a != "?"), SCORES[known])
    beside = entry(ANSWERS, SCORES)
    for metric in ("auroc", "auprc"):
        assert beside[metric]["value"] == pytest.approx(alone[metric]["value"])


@pytest.mark.parametrize("answers", ["+++-?", "---+?", "?????", "++++?"])
def test_too_few_with_or_without_a_finding_are_counted_and_not_scored(answers: str) -> None:
    found = entry(answers, SCORES[:5])
    assert found["n"] == answers.count("+")
    assert found["auroc"] is None


def test_the_table_has_a_row_for_each_finding() -> None:
    block = {"n": 4, "findings": [entry(ANSWERS, SCORES), entry("?????", SCORES[:5])]}
    (table,) = ANALYSIS.tables(block, {})
    assert [row[0]["en"] for row in table.rows] == [EF.en] * 2
    assert [row[1:3] for row in table.rows] == [(4, 2), (0, 0)]
    assert table.rows[1][3] is None
