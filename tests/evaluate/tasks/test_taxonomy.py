"""Lists of findings: what a name means, and what is refused."""

import csv
from pathlib import Path

import pytest

from ecgpipe.errors import TaxonomyError
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy, parse_taxonomy

SMALL = """id,japanese,english,synonyms,superclass
1,左室肥大,LVH,左室ヒダイ;LV hypertrophy,HYP
2,洞調律,Sinus rhythm,,
"""


@pytest.mark.parametrize(("name", "n"), [("findings98", 98), ("ptbxl", 71), ("csn", 55)])
def test_the_shipped_lists_are_whole_and_unambiguous(name: str, n: int) -> None:
    taxonomy = load_taxonomy(name)
    assert len(taxonomy.findings) == n
    for finding in taxonomy.findings:
        for spelling in (finding.id, finding.japanese, finding.english, *finding.synonyms):
            assert taxonomy.resolve(spelling) is finding


def test_the_shipped_lists_agree_with_their_sources(real_data: Path) -> None:
    labels = real_data / "labels"
    with (labels / "ptbxl_scp_ja.csv").open(encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            finding = load_taxonomy("ptbxl")[row["scp"]]
            assert finding.japanese == row["japanese"]
            assert finding.groups.get("superclass", "") == row["superclass"]
    with (labels / "findings98.csv").open(encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            finding = load_taxonomy("findings98")[row["id"]]
            assert finding.japanese == row["japanese"]
            assert finding.groups.get("superclass", "") == row["superclass"]
            assert finding.groups.get("rhythm", "") == row["rhythm_class"]


def test_every_statement_of_real_ptbxl_is_in_the_list(real_data: Path) -> None:
    taxonomy = load_taxonomy("ptbxl")
    with (real_data / "ptbxl" / "scp_statements.csv").open() as file:
        codes = [row[""] for row in csv.DictReader(file)]
    assert {taxonomy.resolve(code).id for code in codes} == {f.id for f in taxonomy.findings}


@pytest.mark.parametrize(
    "name", ["1", "左室肥大", " 左室 肥大", "lvh", "ＬＶＨ", "lv Hypertrophy", "左室ﾋﾀﾞｲ"]
)
def test_width_case_and_spaces_do_not_matter(name: str) -> None:
    assert parse_taxonomy(SMALL, "small").resolve(name).id == "1"


def test_an_unknown_finding_is_answered_with_the_nearest() -> None:
    with pytest.raises(TaxonomyError) as caught:
        parse_taxonomy(SMALL, "small").resolve("左室肥大症")
    assert "'左室肥大症' is not in small; the nearest known is '左室肥大' (id 1)" in str(
        caught.value
    )


def test_findings_come_in_the_order_of_the_list_each_once() -> None:
    assert parse_taxonomy(SMALL, "small").resolve_all(["洞調律", "LVH", "2"]) == ("1", "2")


def test_a_code_that_several_findings_share_means_none() -> None:
    taxonomy = load_taxonomy("findings98")
    assert taxonomy.resolve("AFIB").id == "6"
    assert taxonomy.resolve("426783006").id == "2"
    with pytest.raises(TaxonomyError):
        taxonomy.resolve("164865005")  # SNOMED's one code for seven infarctions


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,japanese\n1,a\n", "no column english"),
        ("", "no column id"),
        ("id,japanese,english\n1,a,\n", "without id, japanese or english"),
        ("id,japanese,english\n1,a,b\n1,c,d\n", "an id more than once"),
        ("id,japanese,english\n1,a,b\n2,Ａ,d\n", "name 'a' to findings 1 and 2"),
        ("id,japanese,english,synonyms\n1,a,b,\n2,c,d,B\n", "name 'b' to findings 1 and 2"),
    ],
)
def test_a_malformed_list_says_why(text: str, message: str) -> None:
    with pytest.raises(TaxonomyError, match=message):
        parse_taxonomy(text, "own.csv")


def test_an_own_list_is_read_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text(SMALL, encoding="utf-8-sig")
    assert load_taxonomy(str(tmp_path / "own.csv"))["1"].groups == {"superclass": "HYP"}
    with pytest.raises(TaxonomyError, match="does not exist"):
        load_taxonomy(str(tmp_path / "none.csv"))
    with pytest.raises(TaxonomyError, match="takes csn, findings98, ptbxl"):
        load_taxonomy("findings99")


def test_the_digest_changes_with_the_content_only() -> None:
    taxonomy = parse_taxonomy(SMALL, "small")
    assert taxonomy.digest == parse_taxonomy(SMALL, "elsewhere").digest
    assert taxonomy.digest != parse_taxonomy(SMALL.replace("ヒダイ", ""), "small").digest


def test_another_grouping_is_another_task_but_the_same_names() -> None:
    taxonomy = parse_taxonomy(SMALL, "small")
    assert taxonomy.digest == parse_taxonomy(SMALL.replace("HYP", "MI"), "small").digest


def test_a_list_saved_by_japanese_excel_is_read_and_another_encoding_refused(
    tmp_path: Path,
) -> None:
    path = tmp_path / "own.csv"
    path.write_bytes(SMALL.encode("cp932"))
    assert load_taxonomy(str(path)).digest == parse_taxonomy(SMALL, "small").digest
    path.write_bytes(b"id,japanese,english\n1,\x81\xff\xfd,x\n")
    with pytest.raises(TaxonomyError, match=r"own\.csv cannot be read: .* UTF-8"):
        load_taxonomy(str(path))


def test_a_row_with_too_many_cells_is_named() -> None:
    with pytest.raises(TaxonomyError, match="row 3, has more cells"):
        parse_taxonomy("id,japanese,english\n1,a,b\n2,c,d,e\n", "own.csv")
