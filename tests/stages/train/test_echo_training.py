"""Echocardiograms in training: what is shown is a text, and what is unknown is never negative."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from results_example import check_schema, check_words
from toy_experiment import Experiment

from ecgpipe.config.file import load_config
from ecgpipe.config.text import TextConfig
from ecgpipe.embed_text.prompts import keys_of
from ecgpipe.errors import TaxonomyError
from ecgpipe.evaluate.tasks.echo_definitions import load_echo_definitions
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy
from ecgpipe.stages.experiment import Experiment as OpenedExperiment
from ecgpipe.stages.model_bridge import training_data
from ecgpipe.stages.texts import echo_sentences, parent_sentences
from ecgpipe.stages.train.train import run_key

STANDARD = load_echo_definitions("standard")


def with_echos(
    experiment: Experiment, ecgs: Path, labelled: bool = True, **settings: Any
) -> Experiment:
    """Every second patient has an echocardiogram, every fourth a poor heart, every sixth a heavy
    one, none a wall. If not `labelled`, only the other patients' ECGs have findings."""
    with (ecgs / "records.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    patients = sorted({row["patient_id"] for row in rows})
    with (experiment.folder / "records.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "recorded_at"])
        writer.writeheader()
        for row in rows:
            if not labelled and row["patient_id"] in patients[::2]:
                row["findings"] = ""
            writer.writerow({**row, "recorded_at": "2024-03-05"})
    echos = [
        f"{each},2024-03-06,{60 - n % 4 * 15},{60 if n % 3 else 150}"
        for n, each in enumerate(patients[::2])
    ]
    (experiment.folder / "echo.csv").write_text(
        "\n".join(["patient_id,echo_at,lvef,lvmi", *echos]) + "\n"
    )
    plain = yaml.safe_load(experiment.path.read_text())
    source = {"kind": "table", "table": "records.csv", "root": str(ecgs)}
    plain["data"] |= {"sources": [source], "echo": {"table": "echo.csv"}}
    plain["train"] |= {"text": "all_findings", "loss": "siglip"} | settings
    experiment.path.write_text(yaml.safe_dump(plain, allow_unicode=True))
    return experiment


def opened(experiment: Experiment) -> OpenedExperiment:
    return OpenedExperiment(load_config(experiment.path))


def test_training_gets_what_is_shown_as_texts_and_the_rest_as_unknown(
    fresh: Experiment, ecgs: Path
) -> None:
    with_echos(fresh, ecgs)
    for command in ("prepare", "embed"):
        code, _, err = fresh.run(command)
        assert code == 0, err
    experiment = opened(fresh)
    data = training_data(experiment, experiment.open_vectors())
    of_echo = echo_sentences(experiment.echo_definitions, experiment.config.text)
    records = {each.record_id: each for each in experiment.records.of_split("train").records}
    assert data.texts.unknown_NU is not None
    of_sentences = experiment.open_vectors().vectors(keys_of(list(of_echo.values())))
    echo_of = {row.tobytes(): each for row, each in zip(of_sentences, of_echo, strict=True)}
    number_of = {
        echo_of[row.tobytes()]: number
        for number, row in enumerate(data.texts.vectors_RW)
        if row.tobytes() in echo_of
    }
    assert set(number_of) == {
        "LVEF_LE_40",
        "LVEF_LE_45",
        "LVH_MASS",
        "ANY",
    }  # what some training ECG shows
    n_known = 0
    for place, record_id in enumerate(data.record_ids):
        record = records[record_id]
        texts = set(data.texts.texts_NK[place]) & set(number_of.values())
        unknown = set(data.texts.unknown_NU[place]) - {-1}
        assert texts == {number_of[each] for each in record.echo_shown}
        assert unknown == {n for each, n in number_of.items() if each not in record.echo_known}
        n_known += bool(record.echo_known)
    assert 0 < n_known < len(records)
    # Normal by ejection fraction and mass alone: whether there is any finding is unknown.
    normal = next(r for r in records.values() if r.echo_known and not r.echo_shown)
    assert normal.echo_known == ("LVEF_LE_40", "LVEF_LE_45", "LVH_MASS")
    settings = yaml.safe_load(fresh.path.read_text())
    settings["eval"] |= {
        "tasks": ["findings", "echo", "echo-any"],
        "split": "train",
        "analyses": ["subgroups", "echo"],
    }
    fresh.path.write_text(yaml.safe_dump(settings, allow_unicode=True))
    for command in ("train", "eval"):
        code, _, err = fresh.run(command)
        assert code == 0, err
    check_schema(fresh.results())
    check_words(fresh.results())
    task = fresh.results()["tasks"]["echo"]
    scored = [r for r in records.values() if r.echo_known]
    assert task["n"] == len(scored) == task["classes"]["LVEF_LE_45"]["n_known"] > 0
    assert task["n_left_out"] == len(records) - len(scored)
    ef = task["classes"]["LVEF_LE_45"]
    assert ef["n"] == sum("LVEF_LE_45" in r.echo_shown for r in scored) > 0
    assert ef["prevalence"] == ef["n"] / ef["n_known"]
    assert ef["threshold"] is not None
    assert task["calibration"]["sigmoids"].keys() >= {"LVEF_LE_45"}
    assert task["baselines"]["shuffled_text"]["summary"]["macro_auroc"]["value"] is not None
    assert (task["confusion"], task["adjusted"]) == (None, {})
    wall = task["classes"]["WALL_GE_13"]
    assert (wall["n_known"], wall["prevalence"], wall["auroc"]) == (0, None, None)
    assert fresh.results()["tasks"]["echo-any"]["classes"]["ANY"]["n"] > 0
    assert set(fresh.results()["analyses"]["subgroups"]) >= {"echo", "echo-any"}
    (mass,) = fresh.results()["analyses"]["echo"]["findings"]
    assert [each["score"] for each in mass["scores"]] == [
        "model", "ecg_name", "ecg_label", "sokolow_lyon_mv", "cornell_mv",
    ]  # fmt: skip
    own = task["classes"]["LVH_MASS"]
    assert (mass["n_known"], mass["n"]) == (own["n_known"], own["n"])
    assert mass["scores"][0]["auroc"]["value"] == pytest.approx(own["auroc"]["value"])
    assert STANDARD.definitions[0].ja in fresh.report()
    assert "candidates; " in fresh.report()
    options = ("--task", "echo", "-k", "14", "-o", "answer.csv")
    code, _, err = fresh.run("predict", "toy", "--split", "test", *options)
    assert code == 0, err
    answer = (fresh.folder / "answer.csv").read_text(encoding="utf-8-sig")
    assert STANDARD.definitions[1].ja in answer
    code, _, err = fresh.run("export", "toy", "--to", "exported")
    assert code == 0, err
    card = (fresh.folder / "exported" / "README.md").read_text(encoding="utf-8")
    assert "Task `echo`, partly_known" in card
    assert f"| LVEF_LE_45 | {STANDARD.definitions[1].en} |" in card
    # The bank words the ECG's own findings in other ways; those of echocardiography have one.
    code, _, err = fresh.run("embed", "--set", "text.wordings=bank")
    assert code == 0, err
    experiment = OpenedExperiment(load_config(fresh.path, ["text.wordings=bank"]))
    worded = training_data(experiment, experiment.open_vectors()).texts
    assert worded.unknown_NU is not None
    assert worded.wordings_FV is not None
    assert (worded.unknown_NU == data.texts.unknown_NU).all()
    ways = (worded.wordings_FV >= 0).sum(axis=1)
    assert {number for number, n in enumerate(ways) if n == 1} == set(number_of.values())


def test_ecgs_that_nobody_labelled_are_learnt_from_and_scored_by_their_echocardiogram_alone(
    fresh: Experiment, ecgs: Path
) -> None:
    with_echos(fresh, ecgs, labelled=False)
    settings = yaml.safe_load(fresh.path.read_text())
    settings["eval"] |= {
        "tasks": ["findings", "echo"],
        "split": "train",
        "analyses": ["subgroups", "echo", "retrieval"],
    }
    settings["text"] |= {"parents": ["superclass"]}  # groups are as unknown as their findings
    fresh.path.write_text(yaml.safe_dump(settings, allow_unicode=True))
    for command in ("prepare", "embed"):
        code, _, err = fresh.run(command)
        assert code == 0, err
    experiment = opened(fresh)
    data = training_data(experiment, experiment.open_vectors())
    records = {each.record_id: each for each in experiment.records.of_split("train").records}
    assert set(data.record_ids) == set(records)
    assert data.texts.unlabelled is not None
    unlabelled = np.array([bool(records[each].echo_known) for each in data.record_ids])
    assert (data.texts.unlabelled.records_N == unlabelled).all()
    of_echo = keys_of(list(echo_sentences(STANDARD, experiment.config.text).values()))
    rows = {row.tobytes() for row in experiment.open_vectors().vectors(of_echo)}
    is_echo = np.array([row.tobytes() in rows for row in data.texts.vectors_RW])
    assert (data.texts.unlabelled.texts_F == ~is_echo).all()
    groups = parent_sentences(experiment.taxonomy, experiment.config.text).values()
    of_groups = keys_of(sorted({sentence for said in groups for sentence in said}))
    of_texts = {row.tobytes() for row in data.texts.vectors_RW}
    assert any(row.tobytes() in of_texts for row in experiment.open_vectors().vectors(of_groups))
    nothing_shown = [not records[each].echo_shown for each in data.record_ids]
    assert ((data.texts.texts_NK < 0).all(axis=1) == (unlabelled & nothing_shown)).all()
    for command in ("train", "eval"):
        code, _, err = fresh.run(command)
        assert code == 0, err
    results = fresh.results()
    n_echo = int(unlabelled.sum())
    assert results["tasks"]["findings"]["n"] == len(records) - n_echo
    assert results["tasks"]["echo"]["n"] == n_echo
    assert results["analyses"]["retrieval"]["n"] == len(records) - n_echo
    assert "ecg_label" not in str(results["analyses"]["echo"]), "there is no label to compare with"
    assert set(results["analyses"]["subgroups"]) == {"findings", "echo"}
    code, _, err = fresh.run(
        "train",
        "--set",
        "train.text=sentence",
        "--set",
        "train.loss=clip",
        "--set",
        "text.parents=[]",
    )
    assert code == 0, err


def test_what_an_echocardiogram_says_is_part_of_what_a_model_depends_on(
    fresh: Experiment, ecgs: Path
) -> None:
    with_echos(fresh, ecgs)

    def key(*settings: str) -> str:
        experiment = OpenedExperiment(load_config(fresh.path, settings))
        experiment.__dict__["fingerprint"] = Fingerprint()
        return run_key(experiment)

    sentence = ("train.text=sentence", "train.loss=clip")
    found = []
    for _ in range(2):
        code, _, err = fresh.run("prepare")
        assert code == 0, err
        found.append((key(), key(*sentence)))
        # Now nobody shows another finding, but fewer are known to have a good heart.
        table = fresh.folder / "echo.csv"
        rows = table.read_text().splitlines(keepends=True)
        table.write_text("".join(row for row in rows if not row.endswith(",60\n")))
    (first, first_sentence), (second, second_sentence) = found
    assert first != second
    assert first_sentence == second_sentence, "it says only the ECG's own findings"


class Fingerprint:
    """Of a language model that is not needed here."""

    digest = "0"


def test_a_definition_called_like_a_finding_of_the_ecg_is_refused(
    fresh: Experiment, ecgs: Path
) -> None:
    with_echos(fresh, ecgs)
    (fresh.folder / "own.yaml").write_text(
        "definitions:\n  - {id: H, ja: 左室肥大, en: LVH by echo, source: x, rule: {lvmi: '> 1'}}\n"
    )
    code, _, err = fresh.run("prepare", "--set", "data.echo.definitions=own.yaml")
    assert code == 1
    assert "The echo definition H is called '左室肥大', as is a finding of the ECG" in err
    with pytest.raises(TaxonomyError, match="is called"):
        _ = OpenedExperiment(
            load_config(fresh.path, ["data.echo.definitions=own.yaml"])
        ).echo_definitions


def test_no_shipped_definition_is_called_like_a_finding_that_ships() -> None:
    names = {name for each in STANDARD.definitions for name in (each.ja, each.en)}
    assert len(names) == 2 * len(STANDARD.definitions)
    for taxonomy in ("findings98", "ptbxl", "csn"):
        for finding in load_taxonomy(taxonomy).findings:
            assert names.isdisjoint((finding.japanese, finding.english))


def test_findings_of_echocardiography_are_said_in_the_prompt_of_each_language() -> None:
    text = TextConfig(model="x", prompt="この心電図は{text}を示しています。")
    assert echo_sentences(STANDARD, text)["EFFUSION"] == (
        "この心電図は中等量以上の心嚢液貯留を示しています。"
    )
    assert echo_sentences(STANDARD, text, "en")["EFFUSION"] == (
        "This ECG shows Pericardial effusion, moderate or large."
    )
    assert echo_sentences(None, text) == {}


@pytest.mark.parametrize("cell", ["", "600"], ids=["empty", "implausible"])
def test_a_table_in_which_all_is_unknown_is_one_paragraph_in_every_stage(
    fresh: Experiment, ecgs: Path, cell: str
) -> None:
    with_echos(fresh, ecgs)
    lines = (fresh.folder / "echo.csv").read_text().splitlines()
    rows = [f"{','.join(line.split(',')[:2])},{cell},{cell}" for line in lines[1:]]
    (fresh.folder / "echo.csv").write_text("\n".join([lines[0], *rows]))
    for command in ("check", "prepare", "embed", "train", "eval", "run"):
        code, out, err = fresh.run(command)
        said = " ".join((out if command == "check" else err).split())
        assert code == 1
        told_whole = command in ("check", "prepare", "run")
        assert ("says nothing of any echocardiogram" in said) == told_whole, command
        assert told_whole or "Run `ecgpipe prepare`" in said


def test_measurements_that_tell_no_finding_leave_the_rest_as_it_is(
    fresh: Experiment, ecgs: Path
) -> None:
    with_echos(fresh, ecgs)
    table = fresh.folder / "echo.csv"
    header = "patient_id,echo_at,e_e_prime,pasp\n"  # no rule asks for the first
    rows = [f"{line.rsplit(',', 2)[0]},9,\n" for line in table.read_text().splitlines()[1:]]
    table.write_text("".join([header, *rows]))
    plain = yaml.safe_load(fresh.path.read_text())
    plain["train"]["epochs"] = 1
    plain["eval"] |= {"tasks": ["findings", "echo", "echo-any"], "analyses": ["echo"]}
    fresh.path.write_text(yaml.safe_dump(plain, allow_unicode=True))
    fresh.did()
    results = fresh.results()
    assert results["tasks"]["findings"]["n"] > 0
    assert [results["tasks"][name]["n"] for name in ("echo", "echo-any")] == [0, 0]
    assert "echo" in results["analyses_left_out"]
    check_schema(results)
    check_words(results)
