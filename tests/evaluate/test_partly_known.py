"""Tasks whose truth is partly unknown: metrics only over what is known, worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from ecgpipe.cache.records_table import Record
from ecgpipe.errors import TaxonomyError
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.metrics.calibration import PairLogits, calibration
from ecgpipe.evaluate.metrics.thresholds import best_f1_thresholds
from ecgpipe.evaluate.results import has_enough
from ecgpipe.evaluate.scoring import bootstrap_metrics
from ecgpipe.evaluate.tasks.answers import Answers
from ecgpipe.evaluate.tasks.echo_definitions import EchoDefinitions, load_echo_definitions
from ecgpipe.evaluate.tasks.task import Task, load_task, misfit
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy

STANDARD = load_echo_definitions("standard")
FINDINGS = load_taxonomy("findings98")
# Shown, not shown, or unknown ("?"). Of the first class, 3 of 4 known pairs are right.
ANSWERS = np.array([list("+?-+-??"), list("?+--??-")]).T
SCORES = np.array(
    [[0.9, 1.0, 0.2, 0.5, 0.6, 0.0, 0.95], [0.1, 0.4, 0.5, 0.2, 1, -1, 0.3]], np.float32
).T
SHOWN, KNOWN = ANSWERS == "+", ANSWERS != "?"


def draws(n: int = len(SCORES)) -> PatientDraws:
    return PatientDraws.of([f"p{number}" for number in range(n)], 50, 0)


def record(shown: tuple[str, ...], known: tuple[str, ...]) -> Record:
    return Record(
        slot=0, record_id="r", patient_id="p", source="s", split="test", findings=(),
        echo_shown=shown, echo_known=known,
    )  # fmt: skip


def echo_task(name: str, echo: EchoDefinitions | None = STANDARD) -> Task:
    return load_task(name, FINDINGS, None, echo=echo)


# --- what is known


def test_the_shipped_tasks_are_the_shipped_definitions() -> None:
    classes = {c.id: c.names for c in echo_task("echo").classes + echo_task("echo-any").classes}
    assert classes == {each.id: each.names for each in STANDARD.definitions}


def test_an_ecg_counts_where_its_echocardiogram_says_something() -> None:
    task = echo_task("echo")
    records = [
        record(("LVEF_LE_45",), ("LVEF_LE_45", "LVH_MASS")), record((), ("ANY",)), record((), ()),
    ]  # fmt: skip
    answers = task.answers(records)
    assert answers.known_NC is not None
    place = {c.id: number for number, c in enumerate(task.classes)}
    assert answers.shown_NC[0].nonzero()[0].tolist() == [place["LVEF_LE_45"]]
    assert answers.absent_NC[0].nonzero()[0].tolist() == [place["LVH_MASS"]]
    assert answers.scored(task.kind).tolist() == [True, False, False]
    assert echo_task("echo-any").answers(records).scored("partly_known")[1]


OWN = "name: own\ntitle: {ja: x, en: x}\nsource: s\nkind: partly_known\nclasses:\n"
THICK = "  - {id: T, ja: 壁が厚い, en: thick, members: [LVH_MASS, WALL_GE_13]}\n"


def test_a_class_of_two_findings_is_absent_only_if_both_are(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN + THICK, encoding="utf-8")
    both = ("LVH_MASS", "WALL_GE_13")
    answers = echo_task(str(tmp_path / "own.yaml")).answers(
        [record(both[:1], both[:1]), record((), both[:1]), record((), both)]
    )
    assert answers.known_NC is not None
    assert answers.shown_NC[:, 0].tolist() == [True, False, False]
    assert answers.known_NC[:, 0].tolist() == [True, False, True]


def test_a_task_that_does_not_fit_the_echocardiograms_says_why(tmp_path: Path) -> None:
    assert misfit("echo", FINDINGS) == (
        "it is about echocardiograms, and data.echo names no table of them"
    )
    without_any = EchoDefinitions(STANDARD.definitions[:1])
    assert "it names ANY, which data.echo.definitions does not define (it defines LVEF_LE_40)" in (
        str(misfit("echo-any", FINDINGS, without_any))
    )
    for text, why in (
        (OWN + THICK.replace("LVH_MASS", "LVH"), "names LVH, which data.echo.definitions does not"),
        (OWN.replace("classes:", "taxonomy: ptbxl\nclasses:") + THICK, "drop `group` and `taxon"),
        (OWN.replace("classes:", "classes: taxonomy"), "needs `classes: definitions`, or a list"),
        (OWN + THICK.replace(", members: [LVH_MASS, WALL_GE_13]", ""), "without `members`"),
    ):
        (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(TaxonomyError, match=why):
            echo_task(str(tmp_path / "own.yaml"))


# --- what is measured


def test_metrics_are_over_what_is_known() -> None:
    found = bootstrap_metrics(SCORES, SHOWN, draws(), 1, known_NC=KNOWN)
    assert found.by_class["auroc"][0].tolist() == pytest.approx([3 / 4, 2 / 3])
    assert found.summary["macro_auroc"][0] == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert found.n_per_class.tolist() == [2, 1]
    assert not [name for name in found.summary if name.startswith("hit")]


def test_unknown_ecgs_move_no_metric() -> None:
    thresholds = np.array([0.55, 0.35], np.float32)
    beside = bootstrap_metrics(SCORES, SHOWN, draws(), 1, thresholds, KNOWN)
    for number, known in enumerate(KNOWN.T):
        alone = bootstrap_metrics(
            SCORES[known, number : number + 1],
            SHOWN[known, number : number + 1],
            draws().chosen(known),
            1,
            thresholds[number : number + 1],
        )
        for name in ("auroc", "auprc", "f1"):  # the metric and every draw
            assert beside.by_class[name][:, number] == pytest.approx(
                alone.by_class[name][:, 0], nan_ok=True
            )
            assert beside.class_n_effective[name][number] == alone.class_n_effective[name][0]


def test_a_mean_needs_as_many_without_a_finding_as_with_it() -> None:
    # Of the first class two ECGs show it and two do not; of the second one does and three do not.
    found = bootstrap_metrics(SCORES, SHOWN, draws(), 2, known_NC=KNOWN)
    assert found.summary["macro_auroc"][0] == pytest.approx(3 / 4)
    mostly_shown = Answers(
        np.array([[True]] * 5 + [[False]] * 2), np.array([[True]] * 6 + [[False]])
    )
    assert mostly_shown.enough(1).tolist() == [True]
    assert mostly_shown.enough(2).tolist() == [False]
    assert has_enough({"n": 5, "n_known": 7}, 2)
    assert not has_enough({"n": 5, "n_known": 6}, 2)
    assert has_enough({"n": 5}, 5)


def test_a_threshold_is_chosen_where_the_truth_is_known() -> None:
    # Unknown ECGs score highest: taken as not shown, they would move the threshold.
    scores = np.array([[0.9], [0.8], [0.6], [0.5], [0.1]], np.float32)
    shown = np.array([[False], [False], [True], [True], [False]])
    known = np.array([[False], [False], [True], [True], [True]])
    assert best_f1_thresholds(scores, shown, known).tolist() == pytest.approx([0.5])


def test_probabilities_are_fitted_and_judged_where_the_truth_is_known() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(200, 1)).astype(np.float32)
    shown = rng.random((200, 1)) < 1 / (1 + np.exp(-2 * scores))
    known = rng.random((200, 1)) < 0.6
    given = (scores, shown & known, known)
    of, plain = known[:, 0], (scores[known[:, 0]], shown[known[:, 0]], None)
    logits = PairLogits(1.0, 0.0)
    beside = calibration("partly_known", ["A"], given, given, logits, draws(200))
    alone = calibration("multi_label", ["A"], plain, plain, logits, draws(200).chosen(of))
    assert beside is not None
    assert alone is not None
    assert beside["method"] == "platt"
    assert beside["sigmoids"]["A"] == pytest.approx(alone["sigmoids"]["A"])
    assert beside["bins"] == alone["bins"]
    for name in ("ece", "ece_uncalibrated"):
        assert beside[name] == pytest.approx(alone[name])
