"""The groups of findings as further texts (text.parents)."""

import dataclasses
import json

import pytest
from results_example import check_schema
from toy_experiment import Experiment

from ecgpipe.cache.records_table import Record, RecordsTable
from ecgpipe.config.file import load_config
from ecgpipe.config.text import TextConfig
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy
from ecgpipe.stages.experiment import Experiment as Opened
from ecgpipe.stages.model_bridge import training_data
from ecgpipe.stages.texts import all_sentences, parent_sentences, with_texts
from ecgpipe.stages.train.train import run_key

SINGLE = ("train.text=all_findings", "train.loss=siglip")
PARENTS = (*SINGLE, "text.parents=[superclass]")
PTBXL = load_taxonomy("ptbxl")
TEXT = TextConfig(model="m", prompt="{text}", other_prompt="en {text}", parents=("superclass",))


def words(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def opened(experiment: Experiment, *settings: str) -> Opened:
    return Opened(load_config(experiment.path, settings))


def records(*findings: tuple[str, ...]) -> RecordsTable:
    return RecordsTable(
        tuple(
            Record(record_id=str(n), source="s", patient_id="p", split="train", slot=n, findings=f)
            for n, f in enumerate(findings)
        )
    )


@pytest.mark.parametrize(
    ("findings", "texts"),
    [
        (("LAFB",), ["左脚前枝ブロック", "伝導障害"]),
        (("LAFB", "IRBBB"), ["左脚前枝ブロック", "不完全右脚ブロック", "伝導障害"]),
        (("IMI", "LVH"), ["下壁梗塞", "左室肥大", "心筋梗塞", "肥大"]),
        (("NORM", "SR"), ["正常心電図", "洞調律"]),  # NORM is worded like its finding, SR has none
    ],
)
def test_a_record_also_has_the_groups_of_its_findings(
    findings: tuple[str, ...], texts: list[str]
) -> None:
    table = records(findings, ())
    assert with_texts(table, PTBXL, TEXT, "all_findings")[1] == [texts]
    plain = dataclasses.replace(TEXT, parents=())
    own = texts[: len(findings)]
    assert with_texts(table, PTBXL, plain, "all_findings")[1] == [own]
    assert set(texts) <= set(all_sentences(table, PTBXL, (), TEXT, "all_findings"))


def test_groups_are_said_in_the_language_of_the_texts_or_of_their_task() -> None:
    english = dataclasses.replace(TEXT, language="en")
    assert parent_sentences(PTBXL, english)["LAFB"] == ["Conduction disturbance"]
    other = dataclasses.replace(TEXT, parents=("superclass@en", "superclass"))
    assert parent_sentences(PTBXL, other)["LAFB"] == ["en Conduction disturbance", "伝導障害"]


def test_a_group_with_the_name_of_one_of_its_findings_says_nothing_of_the_others() -> None:
    """A posterior fascicular block belongs to PTB-XL's LAFB/LPFB, whose first wording is LAFB."""
    said = parent_sentences(PTBXL, dataclasses.replace(TEXT, parents=("ptbxl-sub",)))
    assert "LPFB" not in said
    assert said["2AVB"] == said["3AVB"] == ["房室ブロック"]
    # A synonym is no name: of 98 findings one is also called ST-T変化, and is not what others say.
    findings98 = load_taxonomy("findings98")
    st_depression = findings98.resolve("ST低下").id
    assert parent_sentences(findings98, TEXT)[st_depression] == ["ST-T変化"]


def test_the_key_changes_with_the_groups_and_only_with_them(experiment: Experiment) -> None:
    plain = run_key(opened(experiment, *SINGLE))
    assert run_key(opened(experiment, *SINGLE, "text.parents=[]")) == plain
    assert run_key(opened(experiment, *PARENTS)) != plain
    # Groups that have the names of findings are no further texts.
    assert run_key(opened(experiment, *SINGLE, "text.parents=[findings]")) == plain


def test_a_task_whose_groups_were_trained_on_says_so_everywhere(experiment: Experiment) -> None:
    asked = "eval.tasks=[findings, superclass, superclass@en, rhythm]"
    assert "学習済み" not in experiment.report()
    experiment.did(*words(*PARENTS, asked, "name=grouped"))
    folder = experiment.folder / "work" / "runs" / "grouped" / "eval"
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    check_schema(results)
    marked = {name for name, task in results["tasks"].items() if task["trained_on"]}
    assert marked == {"superclass"}
    title = {"ja": "上位診断分類（学習済みの言い方）", "en": "Superclass (trained on)"}
    assert results["tasks"]["superclass"]["title"] == title
    page = (folder / "report.html").read_text(encoding="utf-8")
    markdown = (folder / "report.md").read_text(encoding="utf-8")
    assert all(each in page for each in title.values())
    assert title["ja"] in markdown

    code, out, err = experiment.run("compare", "toy", "grouped")
    assert code == 0, err
    said = "".join(out.split())
    assert "上位診断分類（学習済みの言い方：grouped）" in said
    assert said.count("学習済み") == 1


def test_with_a_bank_a_group_has_one_wording(experiment: Experiment) -> None:
    bank = (*PARENTS, "text.wordings=bank", "train.text_axes=8", "train.epochs=1")
    experiment.did(*words(*bank))
    read = opened(experiment, *bank)
    data = training_data(read, read.open_vectors()).texts
    _, texts = with_texts(
        read.records.of_split("train"), read.taxonomy, read.config.text, "all_findings"
    )
    distinct = list(dict.fromkeys(each for single in texts for each in single))
    parents = parent_sentences(read.taxonomy, read.config.text)
    groups = {each for said in parents.values() for each in said}
    assert data.wordings_FV is not None
    for text, rows in zip(distinct, data.wordings_FV, strict=True):
        assert (len(set(rows[rows >= 0])) == 1) == (text in groups)
    assert groups & set(distinct)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("text.parents=[superclass]",), "Set train.text to all_findings or sampled_finding"),
        ((*PARENTS, "text.source=report"), "parents are groups of findings"),
        ((*PARENTS, "data.taxonomy=csn"), "which is no column of csn"),
        ((*SINGLE, "text.parents=[superclas]"), "text.parents"),
        ((*SINGLE, "text.parents=[echo]"), "text.parents"),
    ],
)
def test_groups_where_there_are_none_are_refused_before_any_work(
    fresh: Experiment, settings: tuple[str, ...], message: str
) -> None:
    for command in ("run", "check"):
        code, out, err = fresh.run(command, *words(*settings))
        assert code != 0
        assert message in " ".join((out + err).split())
    assert not (fresh.folder / "work" / "runs").exists()


def test_the_groups_of_an_own_task_file_are_found_beside_the_settings(fresh: Experiment) -> None:
    (fresh.folder / "mine.yaml").write_text(
        "name: mine\ntitle: {ja: 私, en: Mine}\nsource: me\nkind: multi_label\n"
        "classes: [{id: A, ja: 速いか遅い洞調律, en: Odd, members: [洞性頻脈, 洞性徐脈]}]\n",
        encoding="utf-8",
    )
    read = opened(fresh, *SINGLE, "text.parents=[mine.yaml]")
    assert read.config.text.parents == (str(fresh.folder / "mine.yaml"),)
    assert len(parent_sentences(read.taxonomy, read.config.text)) == 2
