"""Findings of which training reads no wording, as on a command line."""

from collections import Counter

import numpy as np
import pytest
from results_example import check_schema, check_words
from toy_experiment import Experiment, worked

from ecgpipe.config.file import load_config
from ecgpipe.embed_text.prompts import keys_of
from ecgpipe.stages.apply.content import applied_run
from ecgpipe.stages.experiment import Experiment as Opened
from ecgpipe.stages.model_bridge import training_data
from ecgpipe.stages.texts import class_sentences, with_sentence
from ecgpipe.stages.train.train import run_key

ALL = ("train.text=all_findings", "train.loss=siglip")


def opened(experiment: Experiment, *settings: str) -> Opened:
    return Opened(load_config(experiment.path, list(settings)))


def commonest(experiment: Experiment, n: int = 2) -> list[str]:
    """Of the scored ECGs, so that there is something to score."""
    records = opened(experiment).records.of_split("test").records
    counts = Counter(finding for record in records for finding in record.findings)
    return [finding for finding, _ in counts.most_common(n)]


def without(findings: list[str]) -> str:
    """The setting that leaves these out; ids of findings98 are numbers, so quoted."""
    return f"train.unseen_findings={findings}"


def options(settings: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for setting in settings for word in ("--set", setting))


@pytest.mark.parametrize("style", [ALL, ()], ids=["all_findings", "sentence"])
def test_training_reads_no_word_of_an_unseen_finding(
    experiment: Experiment, style: tuple[str, ...]
) -> None:
    unseen = commonest(experiment)
    settings = (*style, without(unseen))
    assert experiment.run("embed", *options(settings))[0] == 0
    asked = opened(experiment, *settings)
    vectors, taxonomy = asked.open_vectors(), asked.taxonomy
    texts = training_data(asked, vectors).texts
    # Names of unseen findings and sentences that hold one are no texts of training.
    names = [taxonomy[finding].japanese for finding in unseen]
    sentences = with_sentence(asked.taught, taxonomy, asked.config.text)[1]
    assert not [s for s in sentences if any(name in s.split("、") for name in names)]
    unseen_2W = vectors.vectors(keys_of(class_sentences(names, asked.config.text)))
    for vector in unseen_2W:
        assert not (texts.vectors_RW == vector).all(axis=1).any()
    assert not set(unseen) & {each.id for each in asked.ranking_task.classes}


def test_unseen_findings_are_scored_beside_the_nearest_trained_one_and_chance(
    experiment: Experiment,
) -> None:
    unseen = commonest(experiment)
    settings = (*ALL, without(unseen))
    scored = (*options(settings), "--set", "eval.analyses=[unseen]")
    assert worked(experiment.did(*scored))[-2:] == ["train", "eval"]
    results = experiment.results()
    check_schema(results)
    check_words(results)
    block = results["analyses"]["unseen"]
    assert {each["finding"] for each in block["findings"]} == set(unseen)
    classes = results["tasks"]["findings"]["classes"]
    assert {name for name, each in classes.items() if each.get("unseen")} == set(unseen)
    own = [classes[each]["auroc"]["value"] for each in unseen]
    assert block["own"]["value"] == pytest.approx(np.mean(own), abs=1e-6)
    for each in block["findings"]:
        assert each["nearest"] not in unseen
        # The nearest finding's prompt: its own scores against this finding's truth.
        assert each["by_nearest"] is not None
    report = experiment.report()
    assert all(f"{classes[each]['names']['ja']} （学習していない）" in report for each in unseen)
    applied = applied_run(opened(experiment, *settings, "eval.analyses=[unseen]"))
    near = applied.nearness([classes[unseen[0]]["names"]["ja"]])
    assert near[0] < 1 - 2e-3  # for `predict --ask` an unseen name is no text trained on


def test_no_unseen_finding_is_the_same_run_as_ever(experiment: Experiment) -> None:
    """A model from before the setting existed is not trained again."""
    key = run_key(opened(experiment))
    assert key != run_key(opened(experiment, without(commonest(experiment, 1))))
    assert worked(experiment.did()) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("train.unseen_findings=[nonsense]",), "train.unseen_findings: the finding 'nonsense'"),
        (("train.unseen_findings=[x, x]",), "must name each only once"),
        (
            ("train.unseen_findings=[左脚ブロック]", "text.source=report"),
            "reads whole reports. Set text.source to findings",
        ),
    ],
)
def test_what_cannot_be_left_out_is_refused(
    experiment: Experiment, settings: tuple[str, ...], message: str
) -> None:
    code, _, err = experiment.run("run", *options(settings))
    assert code != 0
    assert message in " ".join(err.split())
