"""Evaluation: a perfect model, a useless one, and the baselines."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from simulated_evaluation import (
    CHOICES,
    SCORED,
    TASKS,
    TAXONOMY,
    TRAINED_ON,
    Noise,
    Oracle,
    inputs,
)

from ecgpipe.cache.records_table import Record, RecordsTable
from ecgpipe.errors import StoppedEarly
from ecgpipe.evaluate import evaluation
from ecgpipe.evaluate.evaluation import evaluate, validation_metrics
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.report.markdown import render_report
from ecgpipe.evaluate.results import read_results, write_results
from ecgpipe.evaluate.scoring import scores_from_members
from ecgpipe.evaluate.table import area, percent
from ecgpipe.evaluate.tasks.task import load_task
from ecgpipe.stopping import Stop


def run(model: object) -> dict:
    return evaluate(inputs(model, untrained=[Noise(seed) for seed in range(3)])).tasks


def test_a_model_that_knows_everything_scores_everything() -> None:
    results = run(Oracle(SCORED))
    summary = results["findings"]["summary"]
    assert summary["hit@1_any"]["value"] == 1
    assert summary["macro_auroc"]["value"] == 1
    assert results["superclass"]["summary"]["hit@1_micro"]["value"] == 1
    assert results["rhythm"]["summary"]["hit@1_macro"]["value"] == 1


def test_a_model_that_looks_at_nothing_is_at_its_baselines() -> None:
    results = run(Noise(77))
    for task in results.values():
        value = task["summary"]["macro_auroc"]
        assert abs(value["value"] - 0.5) < value["high"] - value["low"]
        random = task["baselines"]["random_encoder"]["summary"]["macro_auroc"]
        assert random["low"] < value["value"] < random["high"]


def test_with_the_ecgs_of_other_patients_even_an_oracle_is_at_chance() -> None:
    summary = run(Oracle(SCORED))["findings"]["baselines"]["shuffled_ecg"]["summary"]
    assert summary["macro_auroc"]["low"] < 0.5 < summary["macro_auroc"]["high"]
    # A hit is then as likely as two patients sharing a first finding.
    assert summary["hit@1_any"]["value"] < 0.5


def test_a_blank_recording_has_one_answer_which_is_right_as_often_as_it_occurs() -> None:
    class ToBlankNormal(Oracle):
        def encode_blank(self) -> npt.NDArray[np.float32]:
            return self.encode_text(["正常心電図"])[0]

    blank = run(ToBlankNormal(SCORED))["findings"]["baselines"]["blank_ecg"]
    normal = TAXONOMY.resolve("正常心電図").id
    assert blank["answer"] == normal
    share = np.mean([normal in record.findings for record in SCORED.records])
    assert blank["summary"]["hit@1_any"]["value"] == pytest.approx(share)
    assert blank["summary"]["macro_auroc"]["value"] == pytest.approx(0.5)


def test_the_class_prior_is_the_share_of_the_commonest_class() -> None:
    prior = run(Noise(0))["findings"]["baselines"]["class_prior"]["summary"]
    counts = {c: sum(c in r.findings for r in TRAINED_ON.records) for c in CHOICES}
    commonest = max(counts, key=counts.__getitem__)
    share = np.mean([commonest in record.findings for record in SCORED.records])
    assert prior["hit@1_any"]["value"] == pytest.approx(share)
    assert prior["macro_auroc"]["value"] == pytest.approx(0.5)


def test_every_class_has_its_n_and_intervals() -> None:
    findings = run(Noise(3))["findings"]
    for class_id, entry in findings["classes"].items():
        assert entry["n"] == sum(class_id in record.findings for record in SCORED.records)
        for name in ("hit@1", "hit@5", "auroc"):
            assert entry[name]["low"] <= entry[name]["value"] <= entry[name]["high"]


def test_single_label_tasks_leave_out_ecgs_with_several_classes() -> None:
    superclass = run(Noise(3))["superclass"]
    shown = TASKS[1].truth([record.findings for record in SCORED.records]).sum(axis=1)
    assert superclass["n"] == int((shown == 1).sum())
    assert superclass["n_left_out"] == int((shown != 1).sum())


def test_permuted_labels_bring_a_perfect_model_down_to_its_baselines() -> None:
    order = np.random.default_rng(0).permutation(len(SCORED))
    results = run(Oracle(RecordsTable(tuple(SCORED.records[place] for place in order), {})))
    for task in results.values():
        assert task["summary"]["macro_auroc"]["value"] == pytest.approx(0.5, abs=0.06)


def test_validation_figures_fall_back_to_all_classes_where_none_has_enough() -> None:
    few = RecordsTable(SCORED.records[:6], {})
    got = validation_metrics(Oracle(SCORED), TASKS[0], few, 100, "ja")
    assert got["hit@1_macro"] > 0
    assert not any(name.endswith("_all") for name in got)
    nothing = validation_metrics(Oracle(SCORED), TASKS[0], RecordsTable((), {}), 5, "ja")
    assert np.isnan(nothing["macro_auroc"])


def results_file() -> Any:
    return {
        "run": "toy",
        "notice": "simulated ECGs",
        "key": "0" * 64,
        "tasks": run(Oracle(SCORED)),
        "analyses": {},
        "analyses_left_out": {},
        "training_log": [],
        "config": {"text": {"language": "ja"}},
        "tasks_left_out": {"form": "the taxonomy lacks its grouping"},
        "data": {
            "planned": 1201,
            "prepared": 1200,
            "rejected": 1,
            "rejected_by_reason": {"flat": 1},
            "patients": 600,
            "splits": {"train": 800, "val": 0, "test": 400},
            "notes": {"resampled": 3},
        },
        "text": {
            "distinct": 40,
            "distinct_of_records": 30,
            "width": 8,
            "model": "m",
            "prompt": "{text}",
            "fingerprint": "f" * 64,
        },
        "training": {"epochs": 3, "best_epoch": 2, "best_by": "macro_auroc"},
        "provenance": {
            "ecgpipe": "0",
            "git_commit": None,
            "created": "now",
            "python": "3.11",
            "packages": {"torch": "2"},
        },
    }


def test_the_report_says_what_was_scored_and_against_what() -> None:
    report = render_report(results_file())
    assert "**simulated ECGs**" in report
    assert "| Records prepared | 1,200 |\n| Patients | 600 |" in report
    assert "| Records rejected | 1 (flat 1) |" in report
    assert "| Distinct texts embedded | 40 |" in report
    assert "| NORM | 正常心電図 |" in report
    assert "random encoder (3 untrained models)" in report
    assert "class prior" in report
    assert "Not a medical device" in report
    for line in report.splitlines():  # every table row has the cells of its header
        if line.startswith("|"):
            assert line.count("|") >= 3


def test_results_read_back_and_render_the_same(tmp_path: Path) -> None:
    results = results_file()
    write_results(tmp_path / "results.json", results)
    assert render_report(read_results(tmp_path / "results.json")) == render_report(results)


def test_figures_are_written_as_a_paper_writes_them() -> None:
    entry = {"value": 0.8125, "low": 0.77, "high": 0.8512}
    assert percent(entry) == "81.2 % (77.0–85.1)"
    assert area(entry) == ".812 (.770–.851)"
    assert area({"value": 1.0, "low": 1.0, "high": 1.0}, interval=False) == "1.000"
    assert percent(None) == area({"value": None, "low": None, "high": None}) == "–"


def test_a_stop_is_heard_between_models() -> None:
    stop = Stop()

    class Stopping(Noise):
        def encode_ecg(self, slots: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
            stop.request("SIGTERM")
            return super().encode_ecg(slots)

    with pytest.raises(StoppedEarly, match="Stopped by SIGTERM while scoring"):
        evaluate(inputs(Stopping(0), stop=stop))


def test_left_out_ecgs_take_their_weights_with_them() -> None:
    # Of patients a and b only b's ECG shows exactly one superclass. Whenever a draw holds b, the
    # metric is b's: 1. With a's weights it would not exist in half of those draws.
    rows = [("a", ("IMI", "LVH")), ("a", ("SR",)), ("b", ("LVH",))]
    table = RecordsTable(
        tuple(
            Record(slot=n, record_id=str(n), patient_id=p, source="t", split="test", findings=ids)
            for n, (p, ids) in enumerate(rows)
        )
    )
    weights = PatientDraws.of(table.patients, 200, seed=0).weights(0, 200)
    seen: list[npt.NDArray[np.float32]] = []
    real = evaluation.bootstrap_metrics

    def spy(scores: object, truth: object, draws: PatientDraws, *rest: object) -> object:
        seen.append(draws.weights(0, 200))
        return real(scores, truth, draws, *rest)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(evaluation, "bootstrap_metrics", spy)
        evaluate(inputs(Noise(0), tasks=TASKS[1:2], scored=table))
    assert np.array_equal(seen[0][0], weights[2])


def test_the_prior_of_a_single_label_task_counts_only_ecgs_it_would_score() -> None:
    # IMI stands on most training ECGs, but always beside LVH; alone there is only LVH.
    def record(slot: int, *ids: str) -> Record:
        findings = TAXONOMY.resolve_all(ids)
        return Record(
            slot=slot, record_id=str(slot), patient_id=str(slot), source="t", split="x",
            findings=findings,
        )  # fmt: skip

    trained = RecordsTable((*(record(n, "IMI", "NORM") for n in range(5)), record(9, "LVH")))
    scored = RecordsTable((record(0, "LVH"), record(1, "IMI")))
    found = evaluate(inputs(Noise(0), tasks=TASKS[1:2], scored=scored, trained_on=trained))
    prior = found.tasks["superclass"]["baselines"]["class_prior"]["summary"]["hit@1_micro"]
    assert prior["value"] == 0.5  # LVH for everybody
    hypertrophy_first = found.tasks["superclass"]["baselines"]["class_prior"]["summary"]
    assert hypertrophy_first["hit@1_macro_all"]["value"] == 0.5


def test_a_task_that_no_record_shows_has_no_figures_and_no_error() -> None:
    rows = [dataclasses.replace(r, findings=("SR",)) for r in SCORED.records[:20]]
    table = RecordsTable(tuple(rows), {})
    found = evaluate(inputs(Noise(0), scored=table))
    assert found.tasks["rhythm"]["n"] == 20
    assert found.tasks["superclass"]["n"] == 0
    assert found.tasks["superclass"]["summary"]["macro_auroc"]["value"] is None


def test_classes_are_scored_by_their_members_as_worked_by_hand() -> None:
    scores_NM = np.array([[0.1, 0.5, 0.3], [0.2, 0.2, 0.9]], np.float32)
    class_of_M = np.array([0, 0, 1])
    by_hand = {
        "max": [[0.5, 0.3], [0.2, 0.9]],
        "mean": [[0.3, 0.3], [0.2, 0.9]],
        # 0.07 log(e^(s1/0.07) + e^(s2/0.07)): of two equal ones 0.07 log 2 above them.
        "logsumexp": [[0.500230, 0.3], [0.2 + 0.07 * np.log(2), 0.9]],
    }
    for how, expected in by_hand.items():
        found = scores_from_members(scores_NM, class_of_M, how)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_coarse_class_is_scored_by_its_own_prompt_and_by_its_members() -> None:
    # The whole taxonomy may compete: of the choices above, no finding belongs to STTC.
    tasks = [load_task(name, TAXONOMY, None) for name in ("findings", "superclass")]
    found = evaluate(inputs(Oracle(SCORED), untrained=[Noise(0)], tasks=tasks))
    assert found.tasks["findings"]["from_members"] == {}  # a finding has no members
    by_members = found.tasks["superclass"]["from_members"]
    assert set(by_members) == {"max", "mean", "logsumexp"}
    for entry in by_members.values():
        assert set(entry["members"]) == set(found.tasks["superclass"]["classes"])
        assert entry["members"]["NORM"] == 1
        assert entry["members"]["MI"] == 14
        assert "macro_auroc" in entry["random_encoder"]["summary"]
    # It knows every finding by its prompt, so the best of a class's members is right.
    assert by_members["max"]["summary"]["hit@1_micro"]["value"] > 0.9
    random = by_members["max"]["random_encoder"]["summary"]["hit@1_micro"]["value"]
    assert random < 0.5


def test_a_class_without_a_member_that_may_compete_has_its_own_prompt_alone() -> None:
    assert run(Oracle(SCORED))["superclass"]["from_members"] == {}
