"""EchoNext through every stage: nobody labelled its ECGs, so echocardiograms are all there is."""

from pathlib import Path

import pytest
import yaml
from echonext_files import row, write_echonext
from results_example import check_schema, check_words
from toy_experiment import Experiment, worked

from ecgpipe.config.file import load_config
from ecgpipe.evaluate.tasks.echo_definitions import load_echo_definitions
from ecgpipe.stages.experiment import Experiment as OpenedExperiment

N = 48
UNMEASURED = {"LVH_MASS", "LA_ENLARGEMENT"}


def own_definitions(path: Path) -> None:
    """The standard ones without what EchoNext does not measure, as docs/echo.md advises."""
    plain = [
        {"id": each.id, "ja": each.ja, "en": each.en, "source": each.source}
        | ({"rule": dict(each.rule)} if each.rule else {})
        | ({"any_of": [m for m in each.any_of if m not in UNMEASURED]} if each.any_of else {})
        for each in load_echo_definitions("standard").definitions
        if each.id not in UNMEASURED
    ]
    path.write_text(yaml.safe_dump({"definitions": plain}, allow_unicode=True), encoding="utf-8")


@pytest.fixture
def experiment(fresh: Experiment) -> Experiment:
    """48 ECGs: half of the hearts fail, a third have a leaking valve, of every fourth the tricuspid
    jet was not measured."""
    rows = [
        row(
            number,
            split=("train", "train", "val", "test")[number % 4],
            lvef_value="60" if number % 8 < 4 else "35",
            mitral_regurgitation_value="severe" if number % 3 == 0 else "mild",
            tr_max_velocity_value="" if number % 16 < 4 else "2.0",
        )
        for number in range(N)
    ]
    write_echonext(fresh.folder / "echonext", rows)
    own_definitions(fresh.folder / "own.yaml")
    settings = yaml.safe_load(fresh.path.read_text())
    settings["data"]["sources"] = [
        {"kind": "echonext", "root": "echonext", "definitions": "own.yaml"}
    ]
    settings["train"] |= {"text": "all_findings", "loss": "siglip", "global_batch_size": 8}
    settings["eval"] |= {
        "tasks": ["findings", "echo", "echo-any"],
        "analyses": ["subgroups", "echo", "robustness", "retrieval", "probe"],
    }
    fresh.path.write_text(yaml.safe_dump(settings, allow_unicode=True))
    return fresh


def test_a_model_is_learnt_scored_exported_and_asked(experiment: Experiment) -> None:
    assert worked(experiment.did()) == ["prepare", "embed", "train", "eval"]
    assert worked(experiment.did()) == []
    opened = OpenedExperiment(load_config(experiment.path))
    assert opened.ranking_task.name == "echo"
    assert opened.train_config.best_by == "macro_auroc"
    results = experiment.results()
    check_schema(results)
    check_words(results)
    echo, anything = results["tasks"]["echo"], results["tasks"]["echo-any"]
    assert set(results["tasks"]) == {"echo", "echo-any"}
    assert results["tasks_left_out"] == {"findings": "no record has a finding"}
    assert echo["n"] == N // 4
    ef, jet = echo["classes"]["LVEF_LE_40"], echo["classes"]["TR_VMAX_GE_3_2"]
    assert (ef["n"], ef["n_known"]) == (6, 12)
    assert ef["auroc"]["value"] is not None
    assert (jet["n"], jet["n_known"]) == (0, 9)
    # Of a healthy heart whose tricuspid jet was not measured, nobody knows that nothing is there.
    n_ill = sum(n % 8 >= 4 or n % 3 == 0 for n in range(N) if n % 4 == 3)
    n_doubtful = sum(n % 8 < 4 and n % 3 != 0 and n % 16 < 4 for n in range(N) if n % 4 == 3)
    assert anything["classes"]["ANY"]["n"] == n_ill
    assert anything["classes"]["ANY"]["n_known"] == N // 4 - n_doubtful
    assert set(results["analyses"]) == {"subgroups", "robustness"}
    why = "of every ECG only the echocardiogram says something"
    assert results["analyses_left_out"]["retrieval"] == why
    assert results["analyses_left_out"]["probe"] == why
    assert results["training"]["val"]["macro_auroc"] is not None
    assert results["data"]["notes"]["median-filtered and clipped by the data set"] == N
    assert "心エコー" in experiment.report()
    code, _, err = experiment.run("export", "toy", "--to", "exported")
    assert code == 0, err
    options = ("--task", "echo", "-k", "11", "-o", "answer.csv")
    code, _, err = experiment.run("predict", "exported", "--split", "test", *options)
    assert code == 0, err
    answer = (experiment.folder / "answer.csv").read_text(encoding="utf-8-sig")
    assert "左室駆出率の低下" in answer


def test_whole_sentences_teach_nothing_and_the_message_says_what_does(
    experiment: Experiment,
) -> None:
    changed = ("--set", "train.text=sentence", "--set", "train.loss=clip")
    for command in ("prepare", "embed"):
        code, _, err = experiment.run(command, *changed)
        assert code == 0, err
    code, _, err = experiment.run("train", *changed)
    assert code == 1
    assert "with train.text: sentence nothing is learnt from echocardiograms" in err
