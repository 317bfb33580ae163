"""F1 of written reports against references, on cases worked by hand and beside scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.statements.report_parser import ReportParser, Statements
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy
from ecgpipe.write_report.clinical_scores import ClinicalScores, clinical_scores


def said(asserted: str = "", uncertain: str = "", denied: str = "") -> Statements:
    return Statements(tuple(asserted), tuple(denied), tuple(uncertain))


def scores(
    written: list[Statements], reference: list[Statements], patients: str = "", draws: int = 200
) -> ClinicalScores:
    names = list(patients) or [str(n) for n in range(len(written))]
    return clinical_scores(written, reference, "ABCD", PatientDraws.of(names, draws, seed=0), 1)


# tp 3 (A, A, B), fp 1 (C), fn 1 (B); the C of the third is uncertain in the reference.
REFERENCE = [said("AB"), said("A"), said("B", uncertain="C"), said()]
WRITTEN = [said("A"), said("AC"), said("BC"), said(uncertain="D")]


def test_the_scores_of_four_ecgs_worked_by_hand() -> None:
    found = scores(WRITTEN, REFERENCE)
    assert found.n == 4
    assert found.precision["value"] == pytest.approx(3 / 4)
    assert found.recall["value"] == pytest.approx(3 / 4)
    assert found.micro_f1["value"] == pytest.approx(6 / 8)
    assert found.macro_f1["value"] == pytest.approx((1 + 2 / 3) / 2)  # A and B; no reference has C
    assert {i: (one.n, one.f1["value"]) for i, one in found.findings.items()} == {
        "A": (2, 1.0), "B": (2, pytest.approx(2 / 3)), "C": (0, 0.0),
    }  # fmt: skip


def test_what_the_reference_leaves_uncertain_is_neither_right_nor_wrong() -> None:
    for written in (said("A"), said("AB"), said("A", denied="B")):
        assert scores([written], [said("A", uncertain="B")]).micro_f1["value"] == 1


def test_a_finding_written_as_uncertain_or_denied_is_missed() -> None:
    for written in (said(uncertain="A"), said(denied="A"), said()):
        assert scores([written], [said("A")]).recall["value"] == 0


def test_micro_and_macro_f1_are_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    truth, found = rng.random((2, 300, 4)) < 0.4
    rows = [
        [said("".join(np.array(list("ABCD"))[row])) for row in table] for table in (truth, found)
    ]
    ours = scores(rows[1], rows[0])
    assert ours.micro_f1["value"] == pytest.approx(f1_score(truth, found, average="micro"))
    assert ours.macro_f1["value"] == pytest.approx(f1_score(truth, found, average="macro"))
    assert ours.micro_f1["low"] is not None
    assert ours.micro_f1["high"] is not None
    assert ours.micro_f1["low"] < f1_score(truth, found, average="micro") < ours.micro_f1["high"]


def test_the_ecgs_of_one_patient_are_drawn_together() -> None:
    reference, written = [said("A")] * 40, [said("A")] * 20 + [said()] * 20

    def width(patients: str) -> float:
        recall = scores(written, reference, patients).recall
        assert recall["low"] is not None
        assert recall["high"] is not None
        return recall["high"] - recall["low"]

    two_ecgs_each = "".join(2 * chr(ord("a") + n) for n in range(20))
    alone = "".join(chr(ord("あ") + n) for n in range(40))
    assert width(two_ecgs_each) > 1.2 * width(alone)


def test_reports_that_assert_nothing_have_no_score() -> None:
    found = scores([said(), said()], [said(), said(uncertain="A")])
    assert found.micro_f1 == {"value": None, "low": None, "high": None}
    assert found.macro_f1["value"] is None
    assert found.findings == {}


def test_a_missing_report_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="1 written reports, 2 references, 1 ECGs"):
        scores([said("A")], [said("A"), said("A")])


def test_a_denied_finding_of_a_japanese_report_counts_against_the_one_that_asserts_it() -> None:
    taxonomy = load_taxonomy("findings98")
    parser = ReportParser(taxonomy)
    reference = parser.read("洞調律。左室肥大を認めない。")
    written = parser.read("Sinus rhythm; Left ventricular hypertrophy.")
    draws = PatientDraws.of(["p"], 0, seed=0)
    ids = [finding.id for finding in taxonomy.findings]
    found = clinical_scores([written], [reference], ids, draws, 1)
    assert found.micro_f1["value"] == pytest.approx(2 / 3)
    assert found.findings["66"].n == 0
