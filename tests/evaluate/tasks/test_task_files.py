"""Task files: what is refused, the tasks that ship, and whether they say what their sources say."""

import ast
import csv
import dataclasses
from collections import Counter
from pathlib import Path

import pytest

from ecgpipe.config.data import Cinc2021Source, PtbxlSource
from ecgpipe.errors import TaxonomyError
from ecgpipe.evaluate.tasks.echo_definitions import load_echo_definitions
from ecgpipe.evaluate.tasks.task import Task, check_other_name, load_task, misfit
from ecgpipe.evaluate.tasks.task_file import parse_task_file
from ecgpipe.evaluate.tasks.taxonomy import Taxonomy, load_taxonomy
from ecgpipe.read_ecg.datasets.adapters import read_source

PTBXL, FINDINGS98, CSN = map(load_taxonomy, ("ptbxl", "findings98", "csn"))
SHIPPED = sorted(path.stem for path in Path("evaluate/tasks").glob("*.yaml"))
HEAD = "name: own\ntitle: {ja: x, en: x}\nsource: s\nkind: multi_label\nclasses:\n"
TWO = "  - {id: A, ja: a, en: a, members: [SR]}\n  - {id: B, ja: b, en: b, members: [AFIB]}\n"


def read(text: str, taxonomy: Taxonomy, folder: Path) -> Task:
    path = folder / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return load_task(str(path), taxonomy, None)


# --- what is refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a mapping that begins with `name:`"),
        ("name: own\nname: other\n", "not valid YAML"),
        (HEAD + TWO + "prompt: x\n", r"has prompt; known are name, title, .*ensemble"),
        (HEAD.replace("own", "a@b") + TWO, "has the name 'a@b'. Leave out @"),
        (HEAD.replace("own", "3") + TWO, "name is 3, not a text. Put it in quotes"),
        (HEAD.replace("source: s", "source: ' '") + TWO, "source is empty"),
        (HEAD.replace("ja: x", "ja: [x]") + TWO, "title, ja is .'x'., not a text"),
        (
            HEAD.replace("title: {ja: x, en: x}", "title: x") + TWO,
            "title is 'x', not a mapping such as",
        ),
        (
            HEAD.replace("multi_label", "multi") + TWO,
            "kind is 'multi'; it must be 'multi_label', 'single_label' or",
        ),
        (HEAD + TWO + "ensemble: median\n", "ensemble is 'median'; it must be 'mean' or 'max'"),
        (HEAD + TWO + "group: rhythm\n", "has a group, but every class lists its members"),
        (HEAD + "  []\n", "needs `classes: taxonomy`, or a list"),
        (HEAD + "  - [A]\n", "needs `classes: taxonomy`, or a list"),
        (HEAD.replace("classes:\n", "classes: taxonomy\ngroup: rhythm\n"), "does not read"),
        (HEAD + TWO.replace("id: B", "id: A"), "has the class A twice"),
        (
            HEAD + TWO.replace("id: B", "id: NO"),
            'class number 2, id is False, not an id; write it in quotes: "NO"',
        ),
        (HEAD + TWO.replace("id: B, ", ""), "class number 2 lacks id"),
        (HEAD + TWO.replace("ja: b", "jp: b"), "class number 2 lacks ja"),
        (HEAD + TWO.replace("[AFIB]", "[AFIB], n: 1"), "class number 2 has n; known are"),
        (HEAD + TWO.replace("[AFIB]", "[]"), r"class number 2, members is an empty list"),
        (
            HEAD + TWO.replace("[AFIB]", "AFIB"),
            "class number 2, members is 'AFIB', not a list such as",
        ),
        (HEAD + TWO.replace("ja: b", "ja: ''"), "class number 2, ja is empty"),
        (HEAD + TWO.replace("ja: b", "ja: ['']"), "class number 2, ja is empty"),
        (HEAD + TWO.replace("ja: b", "ja: []"), "class number 2, ja is an empty list"),
        (HEAD + TWO.replace("ja: b", "ja:"), "class number 2, ja is None, not a text"),
        (HEAD + TWO.replace("ja: b", "ja: [b, 2]"), "class number 2, ja is 2, not a text"),
        (HEAD + TWO.replace("en: b", "en: Ａ "), "the en wording 'Ａ' twice, in A and B"),
        (HEAD + TWO.replace("ja: b", "ja: [b, b]"), "the ja wording 'b' twice, in B and B"),
    ],
)
def test_what_is_wrong_with_a_task_file_is_said(text: str, message: str) -> None:
    with pytest.raises(TaxonomyError, match=message):
        parse_task_file(text, "own.yaml")


def test_a_member_that_the_list_lacks_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(TaxonomyError, match=r"in ptbxl: B \(the finding 'AFIP'.*id AFIB"):
        read(HEAD + TWO.replace("AFIB", "AFIP"), PTBXL, tmp_path)


def test_a_finding_of_two_classes_is_refused_where_one_must_be_shown(tmp_path: Path) -> None:
    both = HEAD + TWO.replace("[AFIB]", "[AFIB, SR]")
    assert len(read(both, PTBXL, tmp_path).classes) == 2
    with pytest.raises(TaxonomyError, match=r"Sinus rhythm \(id SR\) belongs to A and B"):
        read(both.replace("multi_label", "single_label"), PTBXL, tmp_path)


def test_two_tasks_of_one_name_are_refused() -> None:
    task = load_task("superclass", PTBXL, None)
    check_other_name(load_task("superclass@en", PTBXL, None), [task, "left out"])
    with pytest.raises(TaxonomyError, match=r"Two of eval\.tasks are called 'superclass'"):
        check_other_name(task, [dataclasses.replace(task, title={})])


def test_a_shipped_task_about_another_list_is_left_out_and_an_own_one_refused(
    tmp_path: Path,
) -> None:
    assert misfit("csn", PTBXL) == ("it is about the findings of csn, and data.taxonomy is ptbxl")
    assert "without a finding in csn: LBBB, RBBB" in str(misfit("cpsc2018", CSN))
    own = tmp_path / "own.yaml"
    own.write_text(HEAD + TWO + "taxonomy: csn\n")
    with pytest.raises(TaxonomyError, match="does not fit the data: it is about"):
        misfit(str(own), PTBXL)


def test_members_are_scored_where_their_words_are_others_than_the_classes() -> None:
    # Normal beat is sinus rhythm, one finding of another name; PTB-XL's forms are the findings.
    assert load_task("mitbih", PTBXL, None).has_members
    assert load_task("superclass", PTBXL, None).has_members
    assert not load_task("ptbxl-form", PTBXL, None).has_members
    assert not load_task("findings", PTBXL, None).has_members
    assert not load_task("mitbih", PTBXL, {"SR"}).has_members  # no word for the other four


# --- wordings and languages


def test_a_class_may_have_several_wordings_in_each_language(tmp_path: Path) -> None:
    text = HEAD + TWO.replace("en: b", "en: [b, atrial fibrillation]") + "ensemble: max\n"
    task = read(text, PTBXL, tmp_path)
    assert task.wordings("en") == [["a"], ["b", "atrial fibrillation"]]
    assert task.wordings("ja") == [["a"], ["b"]]
    assert task.classes[1].names == {"ja": "b", "en": "b"}
    assert task.ensemble == "max"


def test_the_digest_changes_with_wordings_ensemble_and_language(tmp_path: Path) -> None:
    texts = [
        HEAD + TWO,
        HEAD + TWO.replace("en: b", "en: [b, c]"),
        HEAD + TWO.replace("en: b", "en: [c, b]"),
        HEAD + TWO + "ensemble: max\n",
        HEAD + TWO.replace("[AFIB]", "[AFIB, AFLT]"),
    ]
    digests = [read(text, PTBXL, tmp_path).digest for text in texts]
    path = str(tmp_path / "own.yaml")
    digests += [load_task(path, PTBXL, None, "en").digest]
    digests += [load_task(f"{path}@en", PTBXL, None).digest]
    assert len(set(digests)) == len(digests)
    listed = HEAD + TWO.replace("en: b", "en: [b]") + "ensemble: mean\n"
    assert read(listed, PTBXL, tmp_path).digest == digests[0]


def test_the_language_behind_a_name_wins_over_the_setting_and_names_the_results() -> None:
    plain = load_task("superclass", PTBXL, None)
    assert (plain.name, plain.language) == ("superclass", None)
    assert plain.wordings("ja")[1] == ["心筋梗塞"]
    english = load_task("superclass@en", PTBXL, None, "ja")
    assert (english.name, english.language) == ("superclass@en", "en")
    # Beside the task in its own language, the report must tell the two apart.
    own = load_task("superclass", PTBXL, None)
    assert english.title["en"] == f"{own.title['en']} (English wordings)"
    assert english.title["ja"] == f"{own.title['ja']}（英語の表現）"
    assert english.wordings("ja")[1] == ["Myocardial infarction"]
    assert english.member_wording("ja")[0] == ["Normal ECG"]
    asked = load_task("superclass", PTBXL, None, "en")
    assert (asked.name, asked.language) == ("superclass", "en")
    with pytest.raises(TaxonomyError, match=r"no task 'superclass@fr'.* takes [a-z0-9, -]+, or"):
        load_task("superclass@fr", PTBXL, None)


# --- the tasks that ship


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_task_fits_a_shipped_list_and_has_its_name(name: str) -> None:
    echo = load_echo_definitions("standard")
    fits = [t for t in (PTBXL, FINDINGS98, CSN) if misfit(name, t, echo) is None]
    assert fits
    for taxonomy in fits:
        task = load_task(name, taxonomy, None, echo=echo)
        assert task.name == name
        assert all(c.members for c in task.classes)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_task_stands_in_the_manual(name: str) -> None:
    for page in ("docs/tasks.md", "docs/tasks.ja.md"):
        assert f"| `{name}` |" in Path(page).read_text(encoding="utf-8")


def statements(real_data: Path) -> list[dict[str, str]]:
    """PTB-XL's own table of its 71 statements; the code is in the column ''."""
    with (real_data / "ptbxl" / "scp_statements.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def classes_by_ptbxl(task: str, row: dict[str, str]) -> set[str]:
    """The class of a statement by PTB-XL's own columns."""
    column = {"ptbxl-super": "diagnostic_class", "ptbxl-sub": "diagnostic_subclass"}.get(task)
    if column is not None:
        return {row[column]} - {""} if row["diagnostic"] == "1.0" else set()
    if task == "ptbxl-all":
        return {row[""]}
    return {row[""]} if row[task.removeprefix("ptbxl-")] == "1.0" else set()


MERL = {"ptbxl-super": 5, "ptbxl-sub": 23, "ptbxl-form": 19, "ptbxl-rhythm": 12, "ptbxl-all": 71}


@pytest.mark.parametrize(("name", "n_classes"), MERL.items())
def test_merls_classes_are_those_of_ptbxls_own_tables(
    real_data: Path, name: str, n_classes: int
) -> None:
    members = {c.id: set(c.members) for c in load_task(name, PTBXL, None).classes}
    wanted: dict[str, set[str]] = {}
    for row in statements(real_data):
        for class_id in classes_by_ptbxl(name, row):
            wanted.setdefault(class_id, set()).add(row[""])
    assert members == wanted
    assert len(members) == n_classes


@pytest.mark.parametrize("name", MERL)
def test_the_positives_are_those_counted_from_ptbxls_rows_directly(
    real_data: Path, name: str
) -> None:
    root = real_data / "ptbxl"
    rows = read_source(PtbxlSource(kind="ptbxl", root=root, split_column="subset_split")).rows
    task = load_task(name, PTBXL, None)
    truth = task.truth([PTBXL.resolve_all(row.findings) for row in rows])
    counted: Counter[str] = Counter()
    by_code = {row[""]: classes_by_ptbxl(name, row) for row in statements(real_data)}
    with (root / "ptbxl_database.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            codes = ast.literal_eval(row["scp_codes"])
            counted.update(set().union(*(by_code[code] for code in codes)))
    ours = dict(zip((c.id for c in task.classes), truth.sum(axis=0).tolist(), strict=True))
    assert {c: n for c, n in ours.items() if n} == dict(counted)


def test_mets_five_classes_are_classes_of_the_larger_sets() -> None:
    for small, large in [("form", "ptbxl-form"), ("rhythm", "ptbxl-rhythm")]:
        members = {c.id: c.members for c in load_task(large, PTBXL, None).classes}
        five = load_task(small, PTBXL, None)
        assert len(five.classes) == 5
        assert five.kind == "single_label"
        assert all(members[c.id] == c.members for c in five.classes)


# Findings that PTB-XL has as statements of form, without a diagnostic class: Table 8's choice.
FORM_BUT_STTC = {"STD_", "STE_", "TAB_", "INVT", "LOWT"}


def test_findings98_maps_its_statements_as_ptbxl_does(real_data: Path) -> None:
    known = {row[""]: row for row in statements(real_data)}
    checked = 0
    for finding in FINDINGS98.findings:
        for code in set(finding.codes) & set(known):
            row = known[code]
            superclass = finding.groups.get("superclass", "")
            if code in FORM_BUT_STTC:
                assert (superclass, row["diagnostic_class"]) == ("STTC", "")
            else:
                assert superclass == row["diagnostic_class"], code
            assert finding.groups.get("rhythm", "") == (code if row["rhythm"] == "1.0" else "")
            checked += 1
    assert checked == 49  # of the 71; findings98 has no word for the others


@pytest.mark.parametrize("taxonomy", [PTBXL, FINDINGS98], ids=["ptbxl", "findings98"])
def test_both_lists_say_the_same_beats_of_the_same_statements(taxonomy: Taxonomy) -> None:
    beats = {"SR": "N", "CLBBB": "L", "CRBBB": "R", "PAC": "A", "PVC": "V", "PACE": "/"}
    for code, symbol in beats.items():
        assert taxonomy.resolve(code).groups["mitbih"] == symbol


# --- CSN and CPSC 2018


def test_csn_merl_is_the_substring_rule_and_csn_is_not() -> None:
    ids = [finding.id for finding in CSN.findings]
    published = {c.id: set(c.members) for c in load_task("csn-merl", CSN, None).classes}
    exact = {c.id: set(c.members) for c in load_task("csn", CSN, None).classes}
    assert published == {label: {i for i in ids if label in i} for label in exact}
    assert exact == {label: {label} for label in published}
    wrong = {label for label in exact if exact[label] != published[label]}
    assert wrong == {"VB", "AVB", "2AVB", "CR", "AF", "SA", "ST"}


def test_csn_merl_labels_what_merls_rule_labels_and_csn_what_was_diagnosed() -> None:
    # Rows of `diagnose` as they stand in MERL's table; its rule is `label in diagnose`.
    rows = ["AF", "SB,STE,ERV", "SR,1AVB", "AFIB,RBBB,TWC", "SB,LVQRSAL", "ST,CCR", "VB", "SB"]
    for name in ("csn", "csn-merl"):
        task = load_task(name, CSN, None)
        truth = task.truth([CSN.resolve_all(row.split(",")) for row in rows])
        for row, shown in zip(rows, truth, strict=True):
            among = row if name == "csn-merl" else row.split(",")
            assert [bool(s) for s in shown] == [c.id in among for c in task.classes], row


CPSC = dict.fromkeys(("NORM", "AFIB", "1AVB", "LBBB", "RBBB", "PAC", "PVC", "STD", "STE"), 0)
CPSC |= {"NORM": 1, "AFIB": 4, "RBBB": 3, "PVC": 1, "STD": 1}


def test_cpsc2018_counts_the_labels_of_real_records(real_data: Path) -> None:
    rows = read_source(
        Cinc2021Source(kind="cinc2021", root=real_data / "cinc2021", databases=("cpsc2018",))
    ).rows
    task = load_task("cpsc2018", FINDINGS98, None)
    truth = task.truth([FINDINGS98.resolve_all(row.findings) for row in rows])
    counts = dict(zip((c.id for c in task.classes), truth.sum(axis=0).tolist(), strict=True))
    assert counts == CPSC  # the labels that the challenge and MERL's table give A0001 to A0010
    assert truth.sum(axis=1).tolist() == [1] * 10


def test_real_csn_records_show_the_classes_of_their_codes(real_data: Path) -> None:
    rows = read_source(
        Cinc2021Source(kind="cinc2021", root=real_data / "cinc2021", databases=("chapman-ningbo",))
    ).rows
    by_id = {row.record_id.removeprefix("cinc2021-"): row for row in rows}
    exact, published = (load_task(name, CSN, None) for name in ("csn", "csn-merl"))

    def shown(task: Task, record: str) -> set[str]:
        codes = [code for code in by_id[record].findings if is_known(code)]
        (row,) = task.truth([CSN.resolve_all(codes)])
        return {c.id for c, there in zip(task.classes, row, strict=True) if there}

    # JS00001 is AFIB,RBBB,TWC in MERL's table. JS00005 is AF,STDD,STTC there: the challenge, whose
    # headers these are, gave it 1AVB as well.
    assert shown(exact, "JS00001") == {"AFIB", "RBBB", "TWC"}
    assert shown(published, "JS00001") == {"AFIB", "AF", "RBBB", "TWC"}
    assert shown(exact, "JS00005") == {"AF", "STDD", "STTC", "1AVB"}
    assert shown(published, "JS00005") == {"AF", "STDD", "STTC", "ST", "1AVB", "AVB", "VB"}


def is_known(code: str) -> bool:
    try:
        CSN.resolve(code)
    except TaxonomyError:
        return False
    return True
