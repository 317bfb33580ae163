"""Tasks as data: classes, wording, truth."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from ecgpipe.errors import TaxonomyError
from ecgpipe.evaluate.tasks.task import load_task, misfit
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy, parse_taxonomy

PTBXL = load_taxonomy("ptbxl")


def test_the_findings_task_has_every_finding_that_may_compete() -> None:
    task = load_task("findings", PTBXL, None)
    assert len(task.classes) == 71
    some = load_task("findings", PTBXL, {"SR", "NORM"})
    assert [c.id for c in some.classes] == ["NORM", "SR"]
    assert some.wordings("ja") == [["正常心電図"], ["洞調律"]]
    assert some.wordings("en") == [["Normal ECG"], ["Sinus rhythm"]]


def test_superclass_members_come_from_the_taxonomy() -> None:
    task = load_task("superclass", PTBXL, None)
    members = {c.id: c.members for c in task.classes}
    assert members["NORM"] == {"NORM"}
    assert members["HYP"] == {"LVH", "RVH", "LAO/LAE", "RAO/RAE", "SEHYP"}
    assert "IMI" in members["MI"]
    assert "LAFB" in members["CD"]
    assert "DIG" in members["STTC"]


@pytest.mark.parametrize("name", ["superclass", "rhythm"])
@pytest.mark.parametrize("taxonomy", ["ptbxl", "findings98"])
def test_every_class_of_the_shipped_tasks_has_members(name: str, taxonomy: str) -> None:
    task = load_task(name, load_taxonomy(taxonomy), None)
    assert len(task.classes) == 5
    assert all(c.members for c in task.classes)


def test_truth_says_which_records_show_which_class() -> None:
    task = load_task("superclass", PTBXL, None)
    truth = task.truth([("NORM", "SR"), ("IMI", "LVH"), ("SR",)])
    expected = [[1, 0, 0, 0, 0], [0, 1, 0, 0, 1], [0, 0, 0, 0, 0]]
    assert np.array_equal(truth, np.array(expected, bool))
    assert task.truth([]).shape == (0, 5)


def test_each_set_of_findings_is_compared_with_the_classes_once() -> None:
    class Counted(frozenset[str]):
        asked = 0

        def isdisjoint(self, others: Iterable[str]) -> bool:
            Counted.asked += 1
            return super().isdisjoint(others)

    task = load_task("superclass", PTBXL, None)
    kinds = [("NORM", "SR"), ("IMI", "LVH"), ("LVH", "IMI"), ("SR",), ()]
    findings = [kinds[k] for k in np.random.default_rng(0).integers(len(kinds), size=500)]
    one_by_one = np.concatenate([task.truth([each]) for each in findings])
    classes = [dataclasses.replace(c, members=Counted(c.members)) for c in task.classes]
    assert np.array_equal(
        dataclasses.replace(task, classes=tuple(classes)).truth(findings), one_by_one
    )
    assert Counted.asked == 4 * len(classes)  # the order of the findings makes no other set


def test_an_own_task_may_list_its_members(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        "name: own\ntitle: {ja: x, en: x}\nsource: here\nkind: single_label\nclasses:\n"
        "  - {id: A, ja: 心房細動か粗動, en: AF or flutter, members: [AFIB, 心房粗動]}\n"
        "  - {id: B, ja: 洞調律, en: Sinus, members: [SR]}\n"
    )
    task = load_task(str(path), PTBXL, None)
    assert task.classes[0].members == {"AFIB", "AFLT"}
    assert misfit(str(path), PTBXL) is None


@pytest.mark.parametrize(
    "text",
    [
        "name: own",
        "[1, 2]",
        "name: own\ntitle: {}\nsource: s\nkind: other\nclasses: taxonomy",
        "name: own\ntitle: {}\nsource: s\nkind: single_label\nclasses:\n - {id: A}",
        "a: [",
    ],
)
def test_a_malformed_task_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(TaxonomyError):
        load_task(str(tmp_path / "own.yaml"), PTBXL, None)


def test_an_unknown_task_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(TaxonomyError, match="findings, form, mitbih"):
        load_task("superclas", PTBXL, None)
    with pytest.raises(TaxonomyError, match="does not exist"):
        load_task(str(tmp_path / "none.yaml"), PTBXL, None)


def test_a_list_without_the_grouping_cannot_be_scored_by_it() -> None:
    plain = parse_taxonomy("id,japanese,english\n1,a,b\n", "plain")
    assert "group 'superclass', which is no column of plain" in str(misfit("superclass", plain))
    assert misfit("findings", plain) is None
    assert misfit("superclass", PTBXL) is None


GOOD = "name: o\ntitle: {ja: x, en: x}\nsource: s\nkind: single_label\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("kind: single_label\n", "") + "classes: taxonomy", "lacks kind"),
        (GOOD + "classes: taxonomy\nclases: 1", "has clases; known are"),
        (GOOD + "classes: all", "needs `classes: taxonomy`, or a list"),
        (GOOD + "classes: [{id: A, ja: a, en: a}]", "has the class A without `members`"),
        (GOOD + "classes: [{id: A, ja: a, members: [SR]}]", "lacks en"),
        (GOOD + "group: rhythm\nclasses: [{id: X, ja: a, en: a}]", "without a finding in ptbxl: X"),
        (
            GOOD.replace("single_label", "other") + "classes: taxonomy",
            "it must be .multi_label",
        ),
    ],
)
def test_a_malformed_task_file_says_what_is_wanted(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(TaxonomyError, match=message):
        load_task(str(tmp_path / "own.yaml"), PTBXL, None)


def test_a_misspelt_group_of_an_own_task_is_told_and_never_skipped(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(GOOD + "group: rythm\nclasses: [{id: SR, ja: a, en: a}]")
    with pytest.raises(TaxonomyError, match="'rythm', which is no column of ptbxl"):
        misfit(str(path), PTBXL)


def test_a_class_whose_id_is_a_number_meets_its_group(tmp_path: Path) -> None:
    taxonomy = parse_taxonomy("id,japanese,english,grade\n1,a,a,1\n2,b,b,2\n", "own")
    path = tmp_path / "own.yaml"
    path.write_text(GOOD + "group: grade\nclasses: [{id: 1, ja: x, en: x}]")
    (one,) = load_task(str(path), taxonomy, None).classes
    assert (one.id, one.members) == ("1", {"1"})
