"""What a report in free text says of findings, in Japanese and English."""

import csv
import time
from pathlib import Path

import pytest

from ecgpipe.evaluate.statements.report_parser import ReportParser, Statements
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy, parse_taxonomy

SENTENCES = Path(__file__).parent / "sentences.csv"
PARSER = ReportParser(load_taxonomy("findings98"))


def f1(language: str, blocks: str, says: str) -> float:
    """Micro F1 over the findings of the hand-made sentences of some blocks."""
    right = wrong = missed = 0
    with SENTENCES.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["language"] == language and row["block"] in blocks.split():
                wanted = set(filter(None, row[says].split(";")))
                got = set(getattr(PARSER.read(row["text"]), says))
                right, wrong = right + len(got & wanted), wrong + len(got - wanted)
                missed += len(wanted - got)
    return 2 * right / (2 * right + wrong + missed)


@pytest.mark.parametrize("says", ["asserted", "denied", "uncertain"])
@pytest.mark.parametrize("language", ["ja", "en"])
def test_two_hundred_sentences_are_read_as_a_cardiologist_means_them(
    language: str, says: str
) -> None:
    assert f1(language, "open kept", says) >= 0.97


@pytest.mark.parametrize("language", ["ja", "en"])
def test_sentences_of_unusual_wording_are_mostly_read_as_meant(language: str) -> None:
    # With faults that are known and left: docs/lab-log.md.
    assert f1(language, "second third", "asserted") >= 0.93


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("左室肥大を認めるが虚血性変化、左房負荷は認めない", (("66",), ("71",), ())),
        ("心房細動、心房粗動を認めない", ((), ("6", "9"), ())),
        ("左軸偏位、左室肥大なし", (("56",), ("66",), ())),
        ("洞調律、左室肥大、右室肥大を認めない", (("2",), ("66", "68"), ())),
        ("心房細動、心拍数120、左室肥大は認めない", (("6",), ("66",), ())),
        ("no LVH, RVH or left axis deviation", ((), ("56", "66", "68"), ())),
        ("no LVH, left axis deviation", (("56",), ("66",), ())),
        ("no LVH, sinus rhythm and AFL", (("2", "9"), ("66",), ())),
    ],
)
def test_a_denial_reaches_as_far_as_its_list(
    text: str, said: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
) -> None:
    assert PARSER.read(text) == Statements(*said)


@pytest.mark.parametrize(
    ("text", "asserted"),
    [
        ("完全右脚ブロック", ["47"]),
        ("不完全右脚ブロック", ["48"]),
        ("不完全な右脚ブロック", ["48"]),
        ("partial right bundle branch block", ["48"]),
        ("第１度房室ブロック", ["37"]),
        ("Ⅰ度房室ブロック", ["37"]),
        ("third-degree AV block", ["44"]),
        ("2度房室ブロック", []),  # of three kinds
        ("上室頻拍", ["11"]),
        ("supra-ventricular tachycardia", ["11"]),
        ("ＬＢＢＢ", ["49"]),
        ("posterior lateral wall infarction", []),
        ("左脚ブロック型の心室期外収縮", ["22"]),
        ("頻脈性心房細動", ["7"]),
        ("AF with RVR", ["7"]),
        ("sinus tachycardia at rest", ["3"]),
        ("PR間隔は正常", []),
        ("心電図は正常", ["1"]),
        ("aVF, 66, 37", []),
    ],
)
def test_a_name_means_one_finding_and_never_its_neighbour(text: str, asserted: list[str]) -> None:
    assert list(PARSER.read(text).asserted) == asserted


def test_history_and_other_ecgs_say_nothing_of_this_one() -> None:
    for text in ("心房細動の既往あり。", "前回心電図では心房細動。", "History of AF."):
        assert PARSER.read(text) == Statements((), (), ())


def test_what_is_asserted_anywhere_wins_over_doubt_and_denial() -> None:
    assert PARSER.read(
        "左室肥大の疑い。左室肥大を認める。心房細動なし。心房細動疑い。"
    ) == Statements(("66",), (), ("6",))


def test_a_text_without_findings_says_nothing() -> None:
    for text in ("", "。、", "ご検討ください", "see you", "\ue000\uf8ff"):
        assert PARSER.read(text) == Statements((), (), ())


def test_letters_of_private_use_in_a_report_change_nothing() -> None:
    assert PARSER.read("\ue005左室肥大\ue000なし") == Statements((), ("66",), ())


def test_the_names_are_those_of_ones_own_taxonomy() -> None:
    own = "id,japanese,english,synonyms\nA,巨大陰性T波,Giant T,GNT\nB,陰性T波,T inversion,\n"
    parser = ReportParser(parse_taxonomy(own, "own"))
    assert parser.read("巨大陰性T波なし。T inversion?") == Statements((), ("A",), ("B",))


def test_a_long_text_takes_no_longer_than_its_length() -> None:
    start = time.perf_counter()
    PARSER.read("左室肥大、" * 3_000 + "を認めない" + " " * 20_000 + "a" * 20_000 + "-" * 20_000)
    assert time.perf_counter() - start < 10
