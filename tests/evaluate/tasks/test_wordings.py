"""The bank of wordings: what each finding may also be called, and what training never sees."""

import re
import shutil
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from paths import REPOSITORY

from ecgpipe.embed_text.prompts import language_of
from ecgpipe.errors import TaxonomyError
from ecgpipe.evaluate.tasks.finding_names import plain_name
from ecgpipe.evaluate.tasks.task_file import LANGUAGES, parse_task_file
from ecgpipe.evaluate.tasks.taxonomy import Finding, load_taxonomy, parse_taxonomy
from ecgpipe.evaluate.tasks.wordings import Wording, load_bank, parse_bank

SHIPPED = ("findings98", "ptbxl")

SMALL = parse_taxonomy(
    """id,japanese,english,synonyms,ambiguous
LVH,左室肥大,Left ventricular hypertrophy,左心肥大,
SR,洞調律,Sinus rhythm,NSR,調律
""",
    "small",
)
HEAD = "id,language,kind,text\n"
WHOLE = HEAD + "LVH,ja,synonym,左室が厚い\nSR,en,abbreviation,NSR\n"


def every_wording(name: str) -> list[tuple[Finding, Wording]]:
    taxonomy = load_taxonomy(name)
    bank = load_bank(taxonomy)
    return [
        (finding, wording)
        for finding in taxonomy.findings
        for wording in (*bank.trained[finding.id], *bank.held_out[finding.id])
    ]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_finding_has_at_least_six_wordings_in_two_languages(name: str) -> None:
    numbers = Counter((finding.id, wording.language) for finding, wording in every_wording(name))
    for finding in load_taxonomy(name).findings:
        by_language = [numbers[finding.id, language] for language in LANGUAGES]
        assert sum(by_language) >= 6, finding
        assert min(by_language) >= 3, finding


@pytest.mark.parametrize("name", SHIPPED)
def test_every_finding_is_also_described(name: str) -> None:
    """A definition in each language: a wording that shares no word with the name."""
    described = {(f.id, w.language) for f, w in every_wording(name) if w.kind == "definition"}
    findings = load_taxonomy(name).findings
    assert described == {(finding.id, language) for finding in findings for language in LANGUAGES}


@pytest.mark.parametrize("name", SHIPPED)
def test_no_wording_is_that_of_a_tasks_class(name: str) -> None:
    """Else a table that says `by its own words` would show words that were trained on."""
    taken = set()
    for path in (REPOSITORY / "evaluate" / "tasks").glob("*.yaml"):
        for stated in parse_task_file(path.read_text(encoding="utf-8"), path.name).classes or ():
            for language in LANGUAGES:
                taken |= set(map(plain_name, stated.wordings[language]))
    assert plain_name("Conduction disturbance") in taken
    assert [w.text for _, w in every_wording(name) if plain_name(w.text) in taken] == []


@pytest.mark.parametrize("name", SHIPPED)
def test_no_wording_holds_the_name_of_another_finding(name: str) -> None:
    """A description of a PVC couplet must not teach that it is a premature contraction, nor that of
    a strain pattern that it is an ST depression; a name within the finding's own is none."""
    findings = load_taxonomy(name).findings
    held = [
        (finding.id, wording.text, other.id)
        for finding, wording in every_wording(name)
        for other in findings
        if other is not finding
        and any(
            holds(wording.text, named)
            and not any(holds(own, named) for own in (finding.japanese, finding.english))
            for named in (other.japanese, other.english)
        )
    ]
    assert held == []


def holds(text: str, name: str) -> bool:
    """Whether a name stands in a text: in Japanese anywhere, in English as whole words."""
    text, name = (
        " ".join(unicodedata.normalize("NFKC", each).casefold().replace("-", " ").split())
        for each in (text, name)
    )
    if language_of(name) == "ja":
        return name in text
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None


@pytest.mark.parametrize("name", SHIPPED)
def test_each_wording_is_written_in_its_language(name: str) -> None:
    """Japanese hospitals write AF and VPC in Japanese sentences."""
    for finding, wording in every_wording(name):
        if wording.language == "en":
            assert wording.text.isascii(), (finding.id, wording)
        elif wording.kind != "abbreviation":
            assert language_of(wording.text) == "ja", (finding.id, wording)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_wording_stands_well_in_a_sentence(name: str) -> None:
    """The prompt ends the sentence, and the text of a key is its NFKC form."""
    for finding, wording in every_wording(name):
        assert wording.text == unicodedata.normalize("NFKC", wording.text), (finding.id, wording)
        assert wording.text[-1] not in "。.、,;", (finding.id, wording)
        assert "です" not in wording.text, (finding.id, wording)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_third_of_each_findings_wordings_is_held_out(name: str) -> None:
    bank = load_bank(load_taxonomy(name))
    for finding_id, trained in bank.trained.items():
        held_out = bank.held_out[finding_id]
        assert not set(trained) & set(held_out)
        assert abs(len(held_out) - (len(trained) + len(held_out)) / 3) <= 0.5
    assert {each.language for texts in bank.held_out.values() for each in texts} == {"ja", "en"}


def test_what_is_held_out_never_changes() -> None:
    """A model trained before an update must not meet in training what it is then tried by."""
    bank = load_bank(load_taxonomy("findings98"))
    assert [each.text for each in bank.held_out["6"]] == [
        "絶対性不整脈", "基線が細かく揺れるf波", "fibrillating atria", "A-fib", "atrial fib",
    ]  # fmt: skip


def test_the_order_of_the_file_does_not_choose_what_is_held_out() -> None:
    rows = [f"LVH,ja,synonym,言い方{n}\n" for n in "一二三四五六"]
    there, back = (
        parse_bank(HEAD + "".join(each) + "SR,en,abbreviation,NSR\n", SMALL)
        for each in (rows, rows[::-1])
    )
    assert len(there.held_out["LVH"]) == 2
    assert set(there.held_out["LVH"]) == set(back.held_out["LVH"])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("XX,ja,synonym,何か", "row 4, is about 'XX', which is no finding's id"),
        ("SR,de,synonym,Sinus", "row 4, has the language 'de'; it may be ja, en"),
        (
            "SR,ja,name,洞",
            "row 4, has the kind 'name'; it may be synonym, abbreviation, definition",
        ),
        ("SR,ja,synonym,", "row 4, has no text"),
        ("SR,ja,synonym,左心 肥大", "words finding SR as '左心 肥大', which is a name of LVH"),
        ("SR,ja,synonym,左室が 厚い", "repeats the wording '左室が 厚い' of finding LVH"),
        ("SR,ja,synonym,調律", "has '調律', which may mean several findings"),
        ("SR,en,synonym,SINUS RHYTHM", "has 'SINUS RHYTHM', the finding's own name"),
    ],
)
def test_a_row_that_would_teach_something_wrong_is_refused(row: str, message: str) -> None:
    assert parse_bank(WHOLE, SMALL)
    with pytest.raises(TaxonomyError, match=re.escape(message)):
        parse_bank(WHOLE + row + "\n", SMALL)


def test_a_finding_without_a_wording_is_named() -> None:
    with pytest.raises(TaxonomyError, match=r"has none for 1 of 2 findings: SR\. Give every"):
        parse_bank(HEAD + "LVH,ja,synonym,左室が厚い\n", SMALL)


@pytest.mark.parametrize("text", ["", "id,language,text\nLVH,ja,左室が厚い\n"])
def test_a_file_without_its_columns_is_refused(text: str) -> None:
    with pytest.raises(TaxonomyError, match=r"has no column .*kind"):
        parse_bank(text, SMALL)


def test_a_shipped_taxonomy_without_a_bank_says_which_have_one() -> None:
    with pytest.raises(TaxonomyError, match=r"csn has no bank of wordings; only findings98, ptbxl"):
        load_bank(load_taxonomy("csn"))


def test_your_own_taxonomy_takes_its_bank_from_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    shutil.copyfile(REPOSITORY / "evaluate" / "taxonomies" / "ptbxl.csv", path)
    with pytest.raises(TaxonomyError, match=r"mine\.wordings\.csv, cannot be read"):
        load_bank(load_taxonomy(str(path)))
    shutil.copyfile(
        REPOSITORY / "evaluate" / "wordings" / "ptbxl.csv", tmp_path / "mine.wordings.csv"
    )
    assert load_bank(load_taxonomy(str(path))) == load_bank(load_taxonomy("ptbxl"))
