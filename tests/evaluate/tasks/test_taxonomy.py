"""Lists of findings: what a name means, and what is refused."""

import csv
from pathlib import Path

import pytest

from ecgpipe.errors import TaxonomyError
from ecgpipe.evaluate.tasks.finding_names import is_one_edit_apart, plain_name
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


@pytest.mark.parametrize(
    ("written", "finding"),
    [
        ("上室性期外収縮", "18"), ("SVPC", "18"), ("異常なし", "1"), ("LBBB", "49"), ("RBBB", "47"),
        ("左脚ブロック", "49"), ("ST-T変化", "84"), ("I度房室ブロック", "37"),
        ("Ⅰ度房室ブロック", "37"), ("一度房室ブロック", "37"), ("第一度房室ブロック", "37"),
        ("第三度AVブロック", "44"), ("1st-degree AV block", "37"),
    ],
)  # fmt: skip
def test_findings98_knows_the_words_that_people_write(written: str, finding: str) -> None:
    """LBBB as complete and SVPB as PAC: the equivalent classes of the CinC 2021 scoring."""
    assert load_taxonomy("findings98").resolve(written).id == finding


@pytest.mark.parametrize(
    ("written", "may_mean"),
    [
        ("2度房室ブロック", ["40", "41", "42"]),  # each once, though 2度AVブロック is the same name
        ("洞不全症候群", ["4", "35", "36"]),
        ("脚ブロック", ["47", "48", "49", "50"]),
    ],
)
def test_a_word_for_several_findings_is_never_guessed(written: str, may_mean: list[str]) -> None:
    taxonomy = load_taxonomy("findings98")
    with pytest.raises(TaxonomyError, match=r"it may mean .*: write which"):
        taxonomy.resolve(written)
    assert [finding.id for finding in taxonomy.may_mean[plain_name(written)]] == may_mean


@pytest.mark.parametrize(
    ("written", "never"),
    [
        ("上室性期外収宿", "22"),  # not the ventricular one
        ("第一度房室ブロク", "44"),  # not the third degree
        ("第一度房室ブロク", "43"),
        ("右室負荷", "72"),  # not the atrium
        ("左房負加", "72"),  # not the other side
        ("不完全右脚ブロク", "47"),  # not the complete one
        ("洞性頻泊", "4"),  # not the slow one
        ("Incomplete left bundle branch blok", "49"),
        ("Premature supraventricular contractions", "22"),
        ("下壁梗塞疑", "73"),
    ],
)
def test_no_finding_of_another_side_chamber_or_degree_is_offered(written: str, never: str) -> None:
    taxonomy = load_taxonomy("findings98")
    offered = {each.rpartition("(id ")[2].rstrip(")") for each in taxonomy.similar(written)}
    assert never not in offered
    assert len(offered) <= 3


@pytest.mark.parametrize(
    "doubt",
    [
        "左室肥大の疑い",
        "左室肥大疑い",
        "左室肥大（疑い）",
        "左室肥大の可能性",
        "左室肥大？",
        "possible LVH",
        "LVHの可能性あり",
    ],
)
def test_a_suspected_finding_is_neither_shown_nor_unknown(doubt: str) -> None:
    taxonomy = load_taxonomy("findings98")
    found = taxonomy.read([doubt, "洞調律", "山田太郎"])
    assert (found.certain, found.doubtful, found.unknown) == (("2",), {"66": doubt}, ("山田太郎",))
    assert taxonomy.read([doubt, "左室肥大"]).doubtful == {}
    assert "data.uncertain_findings" in taxonomy.advice(doubt)


def test_a_comma_between_findings_is_told_as_that() -> None:
    for written in ("左室肥大,心房細動", "LVH，mystery"):
        assert "separate findings by 、 or ;" in load_taxonomy("findings98").advice(written)
    assert load_taxonomy("findings98").resolve("Second-degree AV block, Mobitz type I").id == "40"


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


def test_what_is_wrong_with_an_unknown_name_is_told_apart() -> None:
    findings98 = load_taxonomy("findings98")
    for name, kind in {
        "左室肥大,心房細動": "joined",
        "心房細動 左室肥大": "joined",
        "左室肥大・心房細動": "joined",
        "T波の何か・心房細動": "unknown",
        "心房細動？": "suspected",
        "心房細道": "misspelt",
        "心房動細": "misspelt",
        "Atrial fibrilation": "misspelt",
        "第9度房室ブロック": "unknown",  # a digit is no slip
        "AFX": "unknown",
    }.items():
        assert findings98.kind_of_unknown(name) == kind, name
    assert findings98.meant("心房細道") == findings98.similar("心房細動")[0]
    # A letter from 左室肥大 too, but that is another chamber.
    assert findings98.meant("左房肥大") == "'左房拡大' (id 71)"


@pytest.mark.parametrize(
    ("one", "other", "is_near"),
    [
        ("abcd", "abcd", False),
        ("abcd", "abxd", True),
        ("abcd", "abcde", True),
        ("abcde", "acde", True),
        ("abcd", "abdc", True),
        ("abcd", "badc", False),
        ("abcd", "abcdef", False),
        ("abcd", "axxd", False),
        ("abc", "abcd", False),
        ("abc1", "abc2", False),
    ],
)
def test_one_edit_is_one_letter_or_two_swapped(one: str, other: str, is_near: bool) -> None:
    assert is_one_edit_apart(one, other) == is_near
    assert is_one_edit_apart(other, one) == is_near
