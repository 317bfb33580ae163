"""chrF and BLEU of characters, on reports worked by hand."""

import pytest

from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.write_report.overlap_scores import OverlapScores, overlap_scores


def scores(written: list[str], reference: list[str], patients: str = "") -> OverlapScores:
    names = list(patients) or [str(n) for n in range(len(written))]
    return overlap_scores(written, reference, PatientDraws.of(names, 100, seed=0))


def test_bleu_of_characters_worked_by_hand() -> None:
    # abcde and abcdf share 4 of 5 letters, 3 of 4 pairs, 2 of 3 triples and 1 of 2 quadruples.
    expected = (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** (1 / 4)
    assert scores(["心房細動a"], ["心房細動b"]).char_bleu["value"] == pytest.approx(expected)


def test_chrf_worked_by_hand() -> None:
    # abc and abd: 2 of 3 letters, 1 of 2 pairs, 0 of 1 triple, as precision and as recall.
    expected = (2 / 3 + 1 / 2 + 0) / 3
    assert scores(["心房細"], ["心房粗"]).chrf["value"] == pytest.approx(expected, abs=1e-4)


def test_width_and_line_breaks_make_no_difference() -> None:
    found = scores(["ＳＴ 低下\nあり"], ["ST 低下 あり"])
    assert found.chrf["value"] == pytest.approx(1)
    assert found.char_bleu["value"] == pytest.approx(1)


def test_an_empty_report_scores_nothing() -> None:
    found = scores(["", "洞調律"], ["洞調律", "洞調律"])
    assert found.chrf["value"] == pytest.approx(1 / 2)


def test_the_reports_of_one_patient_are_drawn_together() -> None:
    written, reference = ["洞調律"] * 5 + ["心房細動"] * 5, ["洞調律"] * 10
    one = scores(written, reference, "aaaaaaaaaa").chrf
    assert one["value"] == one["low"] == one["high"]
    ten = scores(written, reference, "abcdefghij").chrf
    assert ten["low"] is not None
    assert ten["high"] is not None
    assert ten["high"] - ten["low"] > 0.2


def test_no_reports_have_no_score_and_a_missing_one_is_a_mistake() -> None:
    assert scores([], []).chrf["value"] is None
    with pytest.raises(ValueError, match="1 written reports, 2 references, 1 ECGs"):
        scores(["a"], ["a", "b"])
