"""What is made beside the tasks, on a finished experiment and where something is missing."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_experiment import Experiment, worked

from ecgpipe.config.file import load_config
from ecgpipe.errors import StoppedEarly
from ecgpipe.evaluate.evaluation import evaluate
from ecgpipe.stages import experiment as stage
from ecgpipe.stages.evaluate import analyses as eval_analyses
from ecgpipe.stages.evaluate.analyses import with_analyses
from ecgpipe.stages.evaluate.context import AnalysisContext, LeftOutError, Splits
from ecgpipe.stages.model_bridge import load_models
from ecgpipe.stages.texts import with_sentence
from ecgpipe.stopping import Stop
from ecgpipe.train_ecg.trained_model import ModelEncoder
from ecgpipe.train_ecg.two_towers import ModelShape, initialised

FIGURE = {"value", "low", "high"}
SEEN = tuple(eval_analyses.ANALYSES)


@pytest.fixture
def context(experiment: Experiment) -> AnalysisContext:
    """What the blocks of the toy experiment are handed."""
    opened = stage.Experiment(load_config(experiment.path))
    config = opened.config
    splits = [
        with_sentence(opened.records.of_split(name), opened.taxonomy, config.text)[0]
        for name in ("test", "train", "val")
    ]
    model, untrained = load_models(opened, opened.workspace.model)
    found = evaluate(
        model, untrained, opened.tasks, splits[0], splits[1], config.eval, "ja", Stop()
    )
    return AnalysisContext(opened, model, untrained, found, Splits(*splits), Stop())


def only(context: AnalysisContext, *names: str) -> AnalysisContext:
    """The same with other eval.analyses."""
    settings = dataclasses.replace(context.experiment.config.eval, analyses=names)
    config = dataclasses.replace(context.experiment.config, eval=settings)
    return dataclasses.replace(context, experiment=stage.Experiment(config))


def test_a_run_has_every_block(evaluated: Experiment) -> None:
    results = evaluated.results()
    assert results["analyses_left_out"] == {}
    n = results["data"]["splits"]["test"]
    retrieval = results["retrieval"]
    assert retrieval["n"] == n
    for side in (retrieval, retrieval["random_encoder"]):
        for direction in ("ecg_to_text", "text_to_ecg"):
            assert set(side[direction]) == {"R@1", "R@5", "R@10", "median_rank"}
            assert set(side[direction]["R@5"]) == FIGURE
    tasks = set(results["tasks"])
    assert set(results["probe"]["tasks"]) == set(results["neighbours"]["tasks"]) == tasks
    whole = results["probe"]["tasks"]["findings"]["shares"]["1"]
    assert whole["n_train"] == results["data"]["splits"]["train"]
    assert set(whole["random_encoder"]["macro_auroc"]) == FIGURE
    assert results["robustness"]["task"] == "findings"
    assert results["robustness"]["conditions"][0]["name"] == "as recorded"
    assert set(results["robustness"]["left_out"]) == {"mains 0.1 mV", "100 Hz"}
    assert results["measurements"]["n_tried"] == results["measurements"]["n"]
    assert results["text_space"]["task"] == "findings"
    assert set(results["failures"]) == tasks
    assert results["failures"]["findings"]["by_coarse_class"]
    assert results["map"]["ecgs"]
    assert results["examples"]["findings"]
    for task in results["tasks"].values():
        for groups in task["groups"].values():
            assert sum(entry["n"] for entry in groups.values()) == task["n"]


def test_nothing_changed_is_the_tasks_own_figure(evaluated: Experiment) -> None:
    results = evaluated.results()
    first = results["robustness"]["conditions"][0]["summary"]["macro_auroc"]
    own = results["tasks"]["findings"]["summary"]["macro_auroc"]
    assert first["value"] == pytest.approx(own["value"], abs=1e-4)


def test_other_analyses_only_evaluate(experiment: Experiment) -> None:
    override = ("--set", "eval.analyses=[subgroups, retrieval]")
    assert worked(experiment.did(*override)) == ["eval"]
    results = experiment.results()
    assert "probe" not in results
    assert "groups" in results["tasks"]["findings"]
    assert worked(experiment.did(*override)) == []


def test_a_line_says_that_a_block_is_done(experiment: Experiment) -> None:
    _, _, err = experiment.run("run", "--set", "eval.analyses=[neighbours, subgroups]")
    assert "eval: neighbours: 1 of 1 block" in err
    assert "eval: subgroups: 1 of 1 block" in err


@pytest.mark.parametrize(
    ("name", "message"), [("retrievals", "analyses"), ("[probe, probe]", "each only once")]
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
        "--set", f"eval.analyses=[{', '.join(SEEN)}]",
    )  # fmt: skip
    assert "eval" in worked(summary)
    left_out = fresh.results()["analyses_left_out"]
    assert set(left_out) == set(SEEN)
    assert "have the same text" in left_out["retrieval"]
    for name in SEEN[1:]:
        assert left_out[name] == "no task has an ECG to score"


def test_a_block_that_fails_its_needs_leaves_the_rest_alone(
    context: AnalysisContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(_: AnalysisContext) -> dict[str, Any]:
        raise LeftOutError("of a reason")

    monkeypatch.setitem(eval_analyses.ANALYSES, "probe", cannot)
    found = with_analyses(only(context, "probe", "retrieval", "map"))
    assert set(found) == {"retrieval", "map", "analyses_left_out"}
    assert found["analyses_left_out"] == {"probe": "of a reason"}


def test_a_stop_is_heard_between_blocks(
    context: AnalysisContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def first(asked: AnalysisContext) -> dict[str, Any]:
        made.append("retrieval")
        asked.stop.request("SIGTERM")
        return {}

    monkeypatch.setitem(eval_analyses.ANALYSES, "retrieval", first)
    monkeypatch.setitem(eval_analyses.ANALYSES, "neighbours", lambda _: made.append("no") or {})
    with pytest.raises(StoppedEarly, match="Stopped by SIGTERM while analysing"):
        with_analyses(only(context, "retrieval", "neighbours"))
    assert made == ["retrieval"]


@pytest.mark.parametrize("name", ["probe", "robustness", "neighbours", "retrieval"])
def test_a_stop_is_heard_within_a_long_block(context: AnalysisContext, name: str) -> None:
    context.stop.request("SIGTERM")
    with pytest.raises(StoppedEarly):
        eval_analyses.ANALYSES[name](context)


def test_an_ecg_is_encoded_once_and_its_order_counts(context: AnalysisContext) -> None:
    model, slots = context.model, context.splits.scored.slots
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
