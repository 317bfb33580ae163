"""The ladder: its controls, and what is said of a rung that does not beat them."""

import dataclasses
import io
from typing import Any

import pytest
from rich.console import Console

from ecgpipe.evaluate.statements.report_parser import ReportParser
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy
from ecgpipe.write_report.ladder import References, Written, score_rungs
from ecgpipe.write_report.ladder_report import (
    csv_rows,
    print_ladder,
    render_ladder,
    rung_verdict,
    verdict_lines,
)

TAXONOMY = load_taxonomy("findings98")
PARSER = ReportParser(TAXONOMY)
KINDS = ("Sinus rhythm.", "AF. LVH.", "Sinus rhythm. No LVH.", "Atrial flutter.")


def references(n: int = 40) -> References:
    return References(
        texts=[KINDS[place % 4] for place in range(n)],
        patients=[f"p{place}" for place in range(n)],
        findings=[finding.id for finding in TAXONOMY.findings],
        parser=PARSER,
        commonest="Sinus rhythm.",
        min_positives=2,
        draws=50,
        seed=0,
    )


def results(**rungs: Written) -> dict[str, Any]:
    scores, has_overlap = score_rungs(rungs, references())
    return {
        "run": "toy", "notice": "SIMULATED", "n": 40, "patients": 40, "n_unread": 3,
        "split": "test", "min_positives": 2, "rungs": scores, "has_overlap": has_overlap,
        "left_out": {"written": "the language model has no head."},
    }  # fmt: skip


ALL_RIGHT = Written(references().texts, "Atrial flutter.")
BLIND = Written(["Sinus rhythm."] * 40, "Sinus rhythm.")


@pytest.fixture(scope="module")
def ladder() -> dict[str, Any]:
    return results(template=ALL_RIGHT, nearest=BLIND)


def test_where_all_ecgs_are_one_patients_there_is_still_a_ladder() -> None:
    alone = dataclasses.replace(references(), patients=["p"] * 40)
    scores, _ = score_rungs({"template": ALL_RIGHT}, alone)
    assert scores["template"]["controls"]["shuffled_ecg"]["summary"]["micro_f1"]["value"] == 1


def test_the_controls_are_what_their_names_say(ladder: dict[str, Any]) -> None:
    # By hand: of 40 ECGs 20 show sinus rhythm, 10 AF and LVH, 10 flutter: 50 true pairs.
    controls = ladder["rungs"]["template"]["controls"]
    assert ladder["rungs"]["template"]["summary"]["micro_f1"]["value"] == 1
    commonest = controls["commonest_report"]["summary"]
    assert commonest["micro_f1"]["value"] == pytest.approx(2 * 20 / (40 + 50))
    assert commonest["recall"]["value"] == pytest.approx(20 / 50)
    assert controls["blank_ecg"]["summary"]["micro_f1"]["value"] == pytest.approx(20 / 90)
    assert controls["shuffled_ecg"]["summary"]["micro_f1"]["value"] < 0.6
    assert controls["shuffled_ecg"]["findings"]["2"]["n"] == 20


def test_a_rung_that_does_not_beat_its_controls_says_so_in_red(ladder: dict[str, Any]) -> None:
    assert rung_verdict(ladder["rungs"]["template"], "micro_f1").light == "green"
    assert rung_verdict(ladder["rungs"]["nearest"], "micro_f1").light == "red"
    assert [line for light, line in verdict_lines(ladder, "en") if light == "red"] == [
        "○ nearest does not beat its controls: F1, micro .444 against .444 (shuffled ECGs).",
        "○ nearest does not beat its controls: F1, macro .167 against .167 (shuffled ECGs).",
    ]
    screen = io.StringIO()
    print_ladder(ladder, Console(file=screen, force_terminal=True, width=140), "en")
    assert "\x1b[1;31m○ nearest does not beat its controls" in screen.getvalue()
    assert "○ nearest does not beat its controls" in render_ladder(ladder, "en")


def test_the_report_names_what_was_left_out_and_is_in_japanese_too(ladder: dict[str, Any]) -> None:
    english, japanese = render_ladder(ladder, "en"), render_ladder(ladder, "ja")
    assert "Rung written was left out: the language model has no head." in english
    assert "3 ECGs are left out" in english
    assert "**SIMULATED**" in english
    assert "最も多い判読文" in japanese
    assert "対照を上回りません" in japanese


def test_the_rows_of_the_csv_file_are_exact(ladder: dict[str, Any]) -> None:
    rows = {row[:3]: row[3] for row in csv_rows(ladder)}
    assert rows[("nearest", "commonest_report", "micro_f1")] == 2 * 20 / (40 + 50)
    assert len(rows) == 2 * 4 * 6


def test_the_terminal_names_the_extra_that_is_missing(ladder: dict[str, Any]) -> None:
    """Brackets are markup to the terminal's library, which would print `pip install '.'`."""
    screen = io.StringIO()
    print_ladder({**ladder, "has_overlap": False}, Console(file=screen, width=140), "en")
    assert "pip install '.[reports]'" in screen.getvalue()
