"""What exactly the model reads, and under which key."""

import hashlib

import numpy as np
import pytest

from ecgpipe.embed_text.prompts import fill_prompt, key_of, keys_of, language_of, normalise

PROMPT = "この心電図は{text}を示しています。"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("ＳＴ上昇", "ST上昇"),
        ("ｼﾝﾎﾞｳｻｲﾄﾞｳ", "シンボウサイドウ"),
        ("Ⅱ度房室ブロック", "II度房室ブロック"),
        ("洞調律。", "洞調律"),
        ("洞調律です。 。", "洞調律です"),
        ("Sinus rhythm.", "Sinus rhythm"),
        ("  左室　肥大\n疑い ", "左室 肥大 疑い"),
        ("V1〜V3でＱ波、ＲＢＢＢ", "V1〜V3でQ波、RBBB"),
        ("", ""),
    ],
)
def test_equal_texts_get_one_spelling(text: str, plain: str) -> None:
    assert normalise(text) == plain
    assert normalise(plain) == plain


def test_a_report_that_ends_in_a_stop_reads_as_one_sentence() -> None:
    assert fill_prompt(PROMPT, "洞調律。") == "この心電図は洞調律を示しています。"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("左脚ブロック", "ja"),
        ("ﾌﾞﾛｯｸ", "ja"),
        ("ＬＢＢＢ", "en"),
        ("QT延長", "ja"),
        ("60/min", "en"),
    ],
)
def test_a_kana_or_kanji_makes_a_text_japanese(text: str, language: str) -> None:
    assert language_of(text) == language


def test_braces_in_a_report_are_only_text() -> None:
    assert fill_prompt(PROMPT, "{0} {text}") == "この心電図は{0} {text}を示しています。"


def test_the_key_is_the_sha256_of_the_utf8_bytes() -> None:
    sentence = "この心電図は洞調律を示しています。"
    assert key_of(sentence) == hashlib.sha256(sentence.encode("utf-8")).digest()
    keys = keys_of([sentence, "b"])
    assert keys.dtype == np.uint8
    assert keys.shape == (2, 32)
    assert keys[0].tobytes() == key_of(sentence)
    assert keys_of([]).shape == (0, 32)
