"""The analyses beside the tasks, on a finished experiment and where something is missing."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from documents import run_example
from results_example import check_words
from toy_experiment import Experiment, worked

from ecgpipe.config.file import load_config
from ecgpipe.errors import StoppedEarly
from ecgpipe.evaluate.analyses.analysis import AnalysisContext, LeftOutError
from ecgpipe.evaluate.analyses.registry import ANALYSES
from ecgpipe.evaluate.evaluation import EvaluationInputs, evaluate
from ecgpipe.stages import experiment as stage
from ecgpipe.stages.evaluate.analyses import analysis_context, run_analyses
from ecgpipe.stages.model_bridge import load_models
from ecgpipe.stages.texts import with_sentence
from ecgpipe.stopping import Stop
from ecgpipe.train_ecg.trained_model import ModelEncoder
from ecgpipe.train_ecg.two_towers import ModelShape, initialised

METRIC = {"value", "low", "high"}
NEED_A_TASK = (
    "probe", "neighbours", "robustness", "subgroups", "measurements", "text_space", "failures",
    "map", "examples",
)  # fmt: skip


@pytest.fixture
def opened(experiment: Experiment) -> stage.Experiment:
    return stage.Experiment(load_config(experiment.path))


@pytest.fixture
def context(opened: stage.Experiment) -> AnalysisContext:
    """What the analyses of the toy experiment are given."""
    config = opened.config
    scored, train, validation = [
        with_sentence(opened.records.of_split(name), opened.taxonomy, config.text)[0]
        for name in ("test", "train", "val")
    ]
    model, untrained = load_models(opened, opened.workspace.model)
    inputs = EvaluationInputs(
        model=model, untrained=untrained, tasks=opened.tasks, scored=scored, trained_on=train,
        validation=validation, config=config.eval, language="ja", stop=Stop(),
    )  # fmt: skip
    return analysis_context(opened, model, untrained, inputs, evaluate(inputs))


def only(context: AnalysisContext, *names: str) -> AnalysisContext:
    """The same with other eval.analyses."""
    return dataclasses.replace(context, config=dataclasses.replace(context.config, analyses=names))


def replace_compute(
    monkeypatch: pytest.MonkeyPatch, name: str, compute: Callable[[AnalysisContext], Any]
) -> None:
    changed = dataclasses.replace(ANALYSES[name], compute=compute)
    monkeypatch.setitem(cast(dict, ANALYSES), name, changed)


def test_a_run_has_every_block(evaluated: Experiment) -> None:
    results = evaluated.results()
    assert results["analyses_left_out"] == {
        "echo": "data.echo names no table of echocardiograms",
        "unseen": "train.unseen_findings is empty: training named every finding",
    }
    analyses = results["analyses"]
    n = results["data"]["splits"]["test"]
    retrieval = analyses["retrieval"]
    assert retrieval["n"] == n
    for side in (retrieval, retrieval["random_encoder"]):
        for direction in ("ecg_to_text", "text_to_ecg"):
            assert set(side[direction]) == {"R@1", "R@5", "R@10", "median_rank"}
            assert set(side[direction]["R@5"]) == METRIC
    tasks = set(results["tasks"])
    assert set(analyses["probe"]["tasks"]) == set(analyses["neighbours"]["tasks"]) == tasks
    whole = analyses["probe"]["tasks"]["findings"]["shares"]["1"]
    assert whole["n_train"] == results["data"]["splits"]["train"]
    assert set(whole["random_encoder"]["macro_auroc"]) == METRIC
    assert analyses["robustness"]["task"] == "findings"
    assert analyses["robustness"]["conditions"][0]["name"] == "as recorded"
    assert set(analyses["robustness"]["left_out"]) == {"mains 0.1 mV", "100 Hz"}
    assert analyses["measurements"]["n_tried"] == analyses["measurements"]["n"]
    assert analyses["text_space"]["task"] == "findings"
    assert set(analyses["failures"]) == tasks
    assert analyses["failures"]["findings"]["by_coarse_class"]
    assert analyses["map"]["ecgs"]
    assert analyses["examples"]["findings"]
    for name, task in results["tasks"].items():
        for groups in analyses["subgroups"][name].values():
            assert sum(entry["n"] for entry in groups.values()) == task["n"]


def test_nothing_changed_is_the_tasks_own_metric(evaluated: Experiment) -> None:
    results = evaluated.results()
    first = results["analyses"]["robustness"]["conditions"][0]["summary"]["macro_auroc"]
    own = results["tasks"]["findings"]["summary"]["macro_auroc"]
    assert first["value"] == pytest.approx(own["value"], abs=1e-4)


def test_the_report_of_every_block_is_in_both_languages(evaluated: Experiment) -> None:
    check_words(evaluated.results())
    assert "scored again on changed signals.\n" in evaluated.report()


def test_the_analysis_of_contributing_works_as_printed(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = run_example("CONTRIBUTING.md", "An analysis")
    monkeypatch.setitem(cast(dict, ANALYSES), "finding_counts", example["ANALYSIS"])
    assert worked(experiment.did("--set", "eval.analyses=[finding_counts]")) == ["eval"]
    check_words(experiment.results())
    block = experiment.results()["analyses"]["finding_counts"]
    ecgs = experiment.results()["data"]["splits"]["test"]
    assert sum(row["ecgs"] for row in block["counts"]) == ecgs
    report = experiment.report()
    assert "## Number of findings\n\n| Findings | ECGs |\n" in report
    with (experiment.eval_folder / "tables" / "finding_counts.csv").open("rb") as file:
        assert file.readline().strip().endswith(b"findings,ecgs")


def test_other_analyses_only_evaluate(experiment: Experiment) -> None:
    override = ("--set", "eval.analyses=[subgroups, retrieval]")
    assert worked(experiment.did(*override)) == ["eval"]
    assert list(experiment.results()["analyses"]) == ["subgroups", "retrieval"]
    assert worked(experiment.did(*override)) == []


def test_a_line_says_that_a_block_is_done(experiment: Experiment) -> None:
    _, _, err = experiment.run("run", "--set", "eval.analyses=[neighbours, subgroups]")
    assert "eval: neighbours: 1 of 1 analysis" in err
    assert "eval: subgroups: 1 of 1 analysis" in err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("[retrievals]", "no analysis 'retrievals'. Did you mean retrieval?"),
        ("[probe, probe]", "each only once"),
    ],
)
def test_a_block_that_does_not_exist_or_twice_is_refused(
    experiment: Experiment, name: str, message: str
) -> None:
    code, _, err = experiment.run("eval", "--set", f"eval.analyses={name}")
    assert code == 2
    assert message in err


def test_what_learns_from_the_scored_split_is_left_out(experiment: Experiment) -> None:
    experiment.did("--set", "eval.split=val", "--set", "eval.analyses=[probe, neighbours]")
    left_out = experiment.results()["analyses_left_out"]
    assert set(left_out) == {"probe"}
    assert "learns from the val split" in left_out["probe"]
    experiment.did("--set", "eval.split=train", "--set", "eval.analyses=[probe, neighbours]")
    assert set(experiment.results()["analyses_left_out"]) == {"probe", "neighbours"}


def test_reports_of_one_wording_and_no_task_leave_their_reasons(
    fresh: Experiment, ecgs: Path
) -> None:
    rows = (ecgs / "records.csv").read_text(encoding="utf-8-sig").splitlines()
    header = rows[0].split(",")
    wanted = [header.index(name) for name in ("record_id", "patient_id", "path")]
    lines = ["record_id,patient_id,path,report"]
    lines += [",".join([*(row.split(",")[k] for k in wanted), "所見"]) for row in rows[1:]]
    (fresh.folder / "reports.csv").write_text("\n".join(lines))
    summary = fresh.did(
        "--set", f"data.sources.0={{kind: table, table: reports.csv, root: {ecgs}}}",
        "--set", "text.source=report", "--set", "train.epochs=1",
        "--set", f"eval.analyses=[retrieval, {', '.join(NEED_A_TASK)}]",
    )  # fmt: skip
    assert "eval" in worked(summary)
    left_out = fresh.results()["analyses_left_out"]
    assert "have the same text" in left_out.pop("retrieval")
    assert left_out == dict.fromkeys(NEED_A_TASK, "no task has an ECG to score")


def test_a_block_that_fails_its_needs_leaves_the_rest_alone(
    opened: stage.Experiment, context: AnalysisContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(_: AnalysisContext) -> dict[str, Any]:
        raise LeftOutError("of a reason")

    replace_compute(monkeypatch, "probe", cannot)
    blocks, left_out = run_analyses(opened, only(context, "probe", "retrieval", "map"))
    assert set(blocks) == {"retrieval", "map"}
    assert left_out == {"probe": "of a reason"}


def test_a_stop_is_heard_between_blocks(
    opened: stage.Experiment, context: AnalysisContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def first(asked: AnalysisContext) -> dict[str, Any]:
        made.append("retrieval")
        asked.stop.request("SIGTERM")
        return {}

    replace_compute(monkeypatch, "retrieval", first)
    replace_compute(monkeypatch, "neighbours", lambda _: made.append("no") or {})
    with pytest.raises(StoppedEarly, match="Stopped by SIGTERM while analysing"):
        run_analyses(opened, only(context, "retrieval", "neighbours"))
    assert made == ["retrieval"]


@pytest.mark.parametrize("name", ["probe", "robustness", "neighbours", "retrieval"])
def test_a_stop_is_heard_within_a_long_block(context: AnalysisContext, name: str) -> None:
    context.stop.request("SIGTERM")
    with pytest.raises(StoppedEarly):
        ANALYSES[name].compute(context)


def test_an_ecg_is_encoded_once_and_its_order_counts(context: AnalysisContext) -> None:
    model, slots = context.model, context.scored.slots
    features = model.features(slots)
    assert model.features(slots.copy()) is features
    np.testing.assert_array_equal(model.features(slots[::-1].copy()), features[::-1])


def tiny_encoder(read: Any) -> ModelEncoder:
    shape = ModelShape(
        encoder="cnn1d", n_leads=12, samples=200, rate_hz=100, normalisation="fixed", text_width=8,
        projection_dim=4, temperature=0.07, learn_temperature=True,
    )  # fmt: skip
    return ModelEncoder(initialised(shape, 0).eval(), read, torch.device("cpu"))


def test_projected_features_are_the_encoded_ecgs_in_batches_of_any_size() -> None:
    signals = np.random.default_rng(0).integers(-2000, 2000, (150, 12, 200)).astype(np.int16)
    encoder, slots = tiny_encoder(lambda s: signals[s]), np.arange(150)
    vectors = encoder.encode_ecg(slots)
    assert vectors.shape == (150, 4)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(encoder.project(encoder.features(slots)), vectors, atol=1e-5)
    single = np.concatenate([encoder.encode_ecg(slots[k : k + 1]) for k in range(150)])
    np.testing.assert_allclose(single, vectors, atol=1e-5)
    assert encoder.features(slots[:0]).shape[0] == 0


def test_a_change_sees_each_signal_with_its_slot() -> None:
    signals = np.random.default_rng(0).integers(-2000, 2000, (100, 12, 200)).astype(np.int16)
    encoder, slots = tiny_encoder(lambda s: signals[s]), np.arange(100)[::-1].copy()

    def halve_odd(stored: np.ndarray, of: np.ndarray) -> np.ndarray:
        np.testing.assert_array_equal(stored, signals[of])
        return np.where((of % 2 == 1)[:, None, None], stored // 2, stored)

    halved = np.where((np.arange(100) % 2 == 1)[:, None, None], signals // 2, signals)
    expected = tiny_encoder(lambda s: halved[s]).encode_ecg(slots)
    np.testing.assert_array_equal(encoder.encode_changed(slots, halve_odd), expected)
