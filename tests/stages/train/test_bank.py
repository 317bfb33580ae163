"""Training on a bank of wordings, as on a command line."""

import shutil
from pathlib import Path

import pytest
from paths import REPOSITORY
from results_example import check_schema, check_words
from toy_experiment import Experiment, worked

from ecgpipe.config.file import load_config
from ecgpipe.config.text import TextConfig
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy
from ecgpipe.evaluate.tasks.wordings import load_bank
from ecgpipe.stages.apply.content import applied_run
from ecgpipe.stages.experiment import Experiment as Opened
from ecgpipe.stages.texts import bank_sentences

SETTINGS = (
    "text.wordings=bank", "train.text=all_findings", "train.loss=siglip", "train.text_axes=8",
)  # fmt: skip
BANK = tuple(word for setting in SETTINGS for word in ("--set", setting))
TAXONOMIES = REPOSITORY / "evaluate" / "taxonomies"


def weights(experiment: Experiment, name: str = "toy") -> bytes:
    folder = experiment.folder / "work" / "runs" / name / "model"
    return (folder / "model.safetensors").read_bytes()


def test_a_bank_is_embedded_trained_on_and_left_again(experiment: Experiment) -> None:
    did = experiment.did(*BANK)
    assert worked(did) == ["embed", "train", "eval"]
    opened = Opened(load_config(experiment.path, SETTINGS))
    said = bank_sentences(opened.taxonomy, opened.config.text)
    occurring = [sentences for name, sentences in said.items() if name in set(opened.texts)]
    assert len(occurring) == len(opened.records.findings)
    assert did["embed"]["from_bank"] == sum(len(sentences) - 1 for sentences in occurring)
    assert "word findings in other ways (text.wordings: bank)" in experiment.run("embed", *BANK)[2]
    assert worked(experiment.did(*BANK)) == []
    assert worked(experiment.did()) == []  # the run before the bank comes back

    more = (*BANK, "--set", "train.epochs=3")
    assert worked(experiment.did(*more)) == ["train", "eval"]
    assert worked(experiment.did(*more, "--set", "name=whole")) == ["train", "eval"]
    assert weights(experiment, "whole") == weights(experiment)  # two epochs and one are three


def test_a_model_in_use_knows_the_wordings_it_was_trained_on(experiment: Experiment) -> None:
    """`predict --ask` says how near a question is to these."""
    experiment.did(*BANK)
    opened = Opened(load_config(experiment.path, SETTINGS))
    applied, bank = applied_run(opened), load_bank(opened.taxonomy)
    shown = [finding for r in opened.records.of_split("train").records for finding in r.findings]
    finding = max(shown, key=shown.count)  # so that it is no single patient's
    trained, held_out = bank.trained[finding], bank.held_out[finding]
    near = [applied.nearness([each.text], each.language)[0] for each in trained]
    assert near == pytest.approx([1] * len(trained), abs=2e-3)  # kept in half precision
    assert max(applied.nearness([each.text], each.language)[0] for each in held_out) < 1 - 2e-3


@pytest.mark.parametrize("language", ["ja", "en"])
def test_training_reads_no_wording_that_is_held_out(language: str) -> None:
    taxonomy = load_taxonomy("ptbxl")
    bank, config = load_bank(taxonomy), TextConfig(model="m", language=language)
    said = bank_sentences(taxonomy, config)
    assert len(said) == len(taxonomy.findings)
    for finding, (name, sentences) in zip(taxonomy.findings, said.items(), strict=True):
        texts = [finding.name(language), *(each.text for each in bank.trained[finding.id])]
        assert name == sentences[0] == config.prompt.replace("{text}", texts[0])
        assert len(sentences) == len(texts)
        assert all(text in sentence for text, sentence in zip(texts, sentences, strict=True))
        for each in bank.held_out[finding.id]:
            prompt = config.prompt_in(each.language)
            assert prompt.replace("{text}", each.text) not in sentences


def test_no_sentence_words_two_findings() -> None:
    for name in ("findings98", "ptbxl"):
        said = bank_sentences(load_taxonomy(name), TextConfig(model="m")).values()
        sentences = [sentence for each in said for sentence in each]
        assert len(sentences) == len(set(sentences))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("text.wordings=banks",), "text.wordings"),
        (("text.wordings=bank",), "Set train.text to all_findings or sampled_finding"),
        ((*SETTINGS, "text.wordings=name"), "so it needs several wordings of each"),
        ((*SETTINGS, "train.text=sampled_finding"), "applies to text: all_findings only"),
        ((*SETTINGS, "text.source=report"), "wordings: bank words findings in other ways"),
    ],
)
def test_a_bank_where_it_makes_no_sense_is_refused(
    fresh: Experiment, settings: tuple[str, ...], message: str
) -> None:
    code, _, err = fresh.run("run", *(word for each in settings for word in ("--set", each)))
    assert code == 2
    assert message in err


def test_a_taxonomy_without_a_bank_is_refused_before_any_work(fresh: Experiment) -> None:
    lists = fresh.folder / "mine.csv"
    shutil.copyfile(TAXONOMIES / "findings98.csv", lists)
    mine = (*BANK, "--set", f"data.taxonomy={lists}")
    for command in ("run", "check"):
        code, out, err = fresh.run(command, *mine)
        assert code != 0
        assert "mine.wordings.csv, cannot be read" in " ".join((out + err).split())
    bank = (REPOSITORY / "evaluate" / "wordings" / "findings98.csv").read_text(encoding="utf-8")
    rows = [row for row in bank.splitlines() if not row.startswith("98,")]
    Path(fresh.folder / "mine.wordings.csv").write_text("\n".join(rows), encoding="utf-8")
    code, _, err = fresh.run("run", *mine)
    assert code != 0
    assert "has none for 1 of 98 findings: 98" in err
    assert not (fresh.folder / "work").exists()


def test_held_out_wordings_are_embedded_and_scored_beside_the_names(
    experiment: Experiment,
) -> None:
    scored = (*BANK, "--set", "eval.analyses=[wordings]")
    assert worked(experiment.did(*scored)) == ["embed", "train", "eval"]
    results = experiment.results()
    assert results["analyses_left_out"] == {}
    check_schema(results)
    check_words(results)
    block = results["analyses"]["wordings"]
    by_group = {entry["group"]: entry for entry in block["groups"]}
    assert (
        by_group["ja"]["wordings"] + by_group["en"]["wordings"]
        == (by_group["held_out"]["wordings"])
    )
    taxonomy = load_taxonomy("findings98")
    trained = {each.text for wordings in load_bank(taxonomy).trained.values() for each in wordings}
    texts = {each["text"] for each in block["wordings"] if each["kind"] != "name"}
    assert texts
    assert not texts & trained
    # By name they have the AUROC of the findings task.
    classes = results["tasks"]["findings"]["classes"]
    for each in block["wordings"]:
        if (each["kind"], each["language"]) == ("name", "ja"):
            own = classes[each["finding"]]["auroc"]["value"]
            assert each["auroc"]["value"] == pytest.approx(own, abs=1e-6)
    # The bins hold all that training did not read, and a name of another finding is none of them.
    unread = [
        each["distance"]
        for each in block["wordings"]
        if (each["kind"], each["language"]) != ("name", "ja")
    ]
    bins = block["by_distance"]["bins"]
    assert sum(each["wordings"] for each in bins) == len(unread)
    assert (bins[0]["low"], bins[-1]["high"]) == (min(unread), max(unread))
    reach = applied_run(Opened(load_config(experiment.path, scored[1::2]))).content.about["reach"]
    assert reach == {"limit": block["by_distance"]["limit"], "tried": len(unread)}
    assert "学習していない言い回し" in experiment.report() or "Words never" in experiment.report()


def test_an_epoch_may_be_chosen_by_wordings_that_training_never_reads(
    experiment: Experiment,
) -> None:
    chosen = (*BANK, "--set", "train.best_by=wordings", "--set", "eval.analyses=[retrieval]")
    assert worked(experiment.did(*chosen)) == ["embed", "train", "eval"]
    training = experiment.results()["training"]
    assert training["best_by"] == "wordings"
    assert 0 <= training["val"]["wordings"] <= 1
    assert training["val"]["wordings"] != training["val"]["macro_auroc"]
    code, _, err = experiment.run(
        "train", "--set", "train.best_by=wordings", "--set", "text.source=report"
    )
    assert code == 2
    assert "so it needs text.source: findings" in err


def test_without_a_bank_held_out_wordings_are_scored_only_on_request(
    experiment: Experiment,
) -> None:
    assert worked(experiment.did("--set", "eval.analyses=[wordings]")) == ["embed", "eval"]
    assert experiment.results()["analyses"]["wordings"]["groups"]
    opened = Opened(load_config(experiment.path, ["eval.analyses=null"]))
    assert opened.tried_bank is None
    assert Opened(load_config(experiment.path, [*SETTINGS, "eval.analyses=null"])).tried_bank
    code, _, err = experiment.run(
        "eval", "--set", "data.taxonomy=csn", "--set", "eval.analyses=[wordings]"
    )
    assert code != 0
    assert "The taxonomy csn has no bank of wordings; only findings98, ptbxl have" in err
