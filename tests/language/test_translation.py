"""English texts as they leave the program, put into Japanese."""

import re

import pytest

from ecgpipe.errors import ConfigError
from ecgpipe.language.choice import chosen_language
from ecgpipe.language.layout import padded, width_of, wrapped
from ecgpipe.language.translation import shown, told

LOCALE = ("ECGPIPE_LANG", "LC_ALL", "LC_MESSAGES", "LANG")


@pytest.mark.parametrize(
    ("variables", "language"),
    [
        ({}, "en"),
        ({"LANG": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "ja"}, "ja"),
        ({"LANG": "C"}, "en"),
        ({"LANG": "jam_JM.UTF-8"}, "en"),
        ({"LANG": "ja_JP.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "ja_JP.eucJP"}, "ja"),
        ({"LANG": "ja_JP.UTF-8", "LC_ALL": ""}, "ja"),
        ({"LANG": "ja_JP.UTF-8", "ECGPIPE_LANG": "en"}, "en"),
        ({"LANG": "C", "ECGPIPE_LANG": "ja"}, "ja"),
        ({"LANG": "ja_JP.UTF-8", "ECGPIPE_LANG": ""}, "ja"),
    ],
)
def test_the_language_is_ours_then_that_of_the_locale(
    variables: dict[str, str], language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in LOCALE:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert chosen_language() == language


def test_an_unknown_language_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECGPIPE_LANG", "jp")
    with pytest.raises(ConfigError, match=r"ECGPIPE_LANG is 'jp'. Set it to ja or en"):
        chosen_language()


def test_in_english_a_text_stays_as_it_is() -> None:
    assert shown("Everything is up to date; no work was done.").startswith("Everything is")


@pytest.mark.parametrize(
    ("english", "japanese"),
    [
        # A message, one with a part that is a message, and several in a row.
        ("Everything is up to date; no work was done.", "すべて最新です。何もしませんでした。"),
        (
            "work/x does not exist. Run `ecgpipe prepare`.",
            "work/x がありません。`ecgpipe prepare` を実行してください。",
        ),
        (
            "ecgpipe: Two rows have the same record_id: row 3 of t and row 4 of t. Give every ECG"
            " its own.",
            "ecgpipe: 2 つの行の record_id が同じです：t の 3 行目と t の 4 行目。"
            "心電図ごとに別のものを付けてください。",
        ),
        (
            "prepare: 1,300 records of 30 patients prepared (train 240, val 30, test 30); 3"
            " rejected (2 flat, 1 too short), listed in work/x.csv",
            "prepare: 患者 30 人の記録 1,300 件を準備しました（train 240, val 30, test 30）。"
            "除外 3 件（平坦 2、短すぎる 1）、一覧は work/x.csv",
        ),
        (
            "p.yaml has 2 mistakes:\n  - data.sorces is not a setting. Did you mean data.sources?\n"
            "  - train.epochs is 'x': input should be a valid integer.",
            "p.yaml に誤りが 2 つあります：\n"
            "  - data.sorces という設定はありません。もしかして data.sources ですか？\n"
            "  - train.epochs が 'x' です：整数にしてください。",
        ),
        (
            "[Errno 13] Permission denied: 'work'.",
            "権限がありません：'work'（Errno 13）。",
        ),
        # Names stay, also those that are words of the catalogue.
        ("row 17 of records", "records の 17 行目"),
        ("flat: run 2 of 3", "flat：3 個のうち 2 番目の実行"),
        (
            "train: the previous run had other settings (train.lr was 0.1 and is 0.2, train.epochs"
            " was 3 and is 4 and 2 more); it was kept as toy.old-1",
            "train: 前の実行は設定が違います（train.lr（0.1 から 0.2 へ）、"
            "train.epochs（3 から 4 へ）、ほか 2 件）。toy.old-1 として残しました",
        ),
        (
            "ecgpipe: toy: work/runs holds no run of that name. Evaluated there: none. Run `ecgpipe"
            " eval`.",
            "ecgpipe: toy：work/runs にその名前の実行がありません。評価済み：なし。"
            "`ecgpipe eval` を実行してください。",
        ),
        (
            "shard 2/8: running for 12 min on h1, job 55: 300 of 1,024 recordings, 12.3"
            " recordings/s, 3 min left; no progress for 11 min",
            "シャード 2/8：実行中 12 分、h1、ジョブ 55：記録 1,024 中 300、12.3 記録/s、残り 3 分。"
            "11 分進みなし",
        ),
        (
            "27 of 27 findings are rare: fewer than 20 train ECGs or fewer than 2 test ECGs",
            "27 の所見のうち 27 は少数です：train の心電図が 20 件未満か test の心電図が 2 件未満",
        ),
        # A table keeps its columns.
        (
            "texts        83 distinct, 0 without a vector",
            "文           83 種類、うちベクトルなし 0",
        ),
        # What is no message stays English, beside what is one.
        ("a library's own words, or two", "a library's own words, or two"),
        (
            "ecgpipe: t.csv cannot be read: the moon is full.",
            "ecgpipe: t.csv を読めません：the moon is full。",
        ),
        (
            "the nearest known are '後壁心筋梗塞' (id 81) or '前壁心筋梗塞' (id 73)",
            "最も近いもの：'後壁心筋梗塞'（ID 81）か'前壁心筋梗塞'（ID 73）",
        ),
        (
            "train.preset=paper does not change everything: pipeline.yaml's own values stay:"
            " train.lr, train.loss. Put a # before them there to take the preset's.",
            "train.preset=paper では一部しか変わりません。pipeline.yaml に書かれた値が優先され"
            "ます：train.lr, train.loss。プリセットの値にするには、それらの行の前に # を付けて"
            "ください。",
        ),
    ],
)
def test_a_text_is_put_into_japanese(english: str, japanese: str) -> None:
    assert told(english, "ja") == japanese


def test_a_line_of_progress_is_put_into_japanese() -> None:
    english = "check: 12 of 300 recordings (4 %) · 41.5 recordings/s · 0:07 left"
    assert told(english, "ja") == "check: 記録 300 中 12 (4 %) · 41.5 記録/s · 残り 0:07"


def test_a_long_text_without_a_message_takes_no_time() -> None:
    told("is of and: or; in (it, with no rows. It " * 200, "ja")  # backtracking would take minutes


def test_a_line_of_wide_characters_ends_at_the_width_and_before_no_full_stop() -> None:
    lines = wrapped("心電図を準備しました。次は embed です。", 12, "→ ", "  ")
    assert all(width_of(line) <= 14 for line in lines)  # a full stop may hang
    assert not any(line.strip()[0] in "。、）" for line in lines)
    assert "".join(line[2:] for line in lines).replace(" ", "") == (
        "心電図を準備しました。次はembedです。"
    )


def test_a_cell_is_padded_by_columns_not_by_characters() -> None:
    assert padded("所見", 6) == "所見  "
    assert padded("rows", 6) == "rows  "


@pytest.mark.parametrize("path", ["../病院/scan.mwf", "./scan.mwf", "scan.mwf", ".scan.mwf"])
def test_a_path_before_a_message_stays_whole_and_before_it(path: str) -> None:
    text = f"{path}: 6 of 12 leads are usable (I, II); the model's min_leads is 12"
    made = told(text, "ja")
    assert re.fullmatch(
        rf"{re.escape(path)}(?:：|: )12 誘導のうち使えるのは 6 です（I, II）。.*は 12 です", made
    ), made
