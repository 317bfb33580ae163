"""What the language model finds alike before it hears of any ECG."""

import numpy as np
import pytest

from ecgpipe.evaluate.analyses.text_space import (
    cosines,
    effective_dimensions,
    measure_text_space,
    opposite_pairs,
    text_confusion_correlation,
)

NAMES = (
    "左脚前枝ブロック",
    "左脚後枝ブロック",
    "洞性頻脈",
    "洞性徐脈",
    "完全右脚ブロック",
    "心房細動",
)
IDS = ("51", "52", "3", "4", "47", "6")


def test_opposites_are_the_names_that_one_word_tells_apart() -> None:
    assert opposite_pairs(NAMES, "ja") == [(0, 1), (2, 3)]
    english = ("Sinus tachycardia", "Sinus bradycardia", "Left atrial overload")
    assert opposite_pairs(english, "en") == [(0, 1)]
    assert opposite_pairs(NAMES, "en") == []


def test_vectors_on_one_line_span_one_dimension_and_orthogonal_ones_all() -> None:
    assert effective_dimensions(np.outer([1, 2, -3], [1, 0, 1])) == pytest.approx(1)
    assert effective_dimensions(np.eye(5)) == pytest.approx(5)
    assert effective_dimensions(np.zeros((3, 4))) is None


def test_a_common_part_makes_all_texts_alike_until_it_is_taken_away() -> None:
    rng = np.random.default_rng(0)
    own = rng.normal(size=(6, 40)).astype(np.float32)
    common = np.full(40, 20, np.float32)
    found = measure_text_space(own + common, own[:, :8], common, IDS, NAMES, "ja")
    assert found["anisotropy"]["raw"]["mean_cosine"] > 0.99
    assert abs(found["anisotropy"]["centred"]["mean_cosine"]) < 0.2
    assert found["anisotropy"]["raw"]["effective_dimensions"] < 1.1
    assert found["anisotropy"]["centred"]["effective_dimensions"] > 4
    assert np.allclose(found["similarity"], cosines(own), atol=1e-3)


def test_the_nearest_pair_comes_first_and_opposites_say_how_near_they_are() -> None:
    vectors = np.eye(6, 10, dtype=np.float32)
    vectors[3] = vectors[2] + 0.1 * vectors[3]  # bradycardia reads almost as tachycardia
    found = measure_text_space(vectors, vectors, np.zeros(10, np.float32), IDS, NAMES, "ja")
    assert found["nearest"][0]["classes"] == ["3", "4"]
    opposites = {tuple(entry["classes"]): entry for entry in found["opposites"]}
    assert opposites["3", "4"]["alike_than"] == 1.0
    assert opposites["3", "4"]["centred"] == pytest.approx(1 / np.sqrt(1.01))
    assert opposites["51", "52"]["alike_than"] == 0.0


def test_confusions_that_follow_the_text_are_told_from_those_that_do_not() -> None:
    rng = np.random.default_rng(1)
    similarity = cosines(rng.normal(size=(12, 6)))
    follows = similarity + 0.05 * rng.normal(size=(12, 12))
    unrelated = rng.random((12, 12))
    told = text_confusion_correlation(similarity, follows, 199, 0)
    assert told["value"] > 0.9
    assert told["p"] == pytest.approx(1 / 200)
    assert text_confusion_correlation(similarity, unrelated, 199, 0)["p"] > 0.05


def test_without_confusions_there_is_no_correlation() -> None:
    nothing = np.full((4, 4), np.nan)
    assert text_confusion_correlation(np.eye(4), nothing, 99, 0)["value"] is None
