"""Vectors that know no language: repeatable, of a known scale, and of no language model."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ecgpipe.cache.vectors.reader import VectorCache
from ecgpipe.config.text import Control, TextConfig, TextView
from ecgpipe.embed_text import controls, language_model
from ecgpipe.embed_text.controls import RANDOM_WIDTH, control_vectors
from ecgpipe.embed_text.embedding import Embedded, EmbedJob, embed
from ecgpipe.embed_text.model_files import find_model, fingerprint_of
from ecgpipe.embed_text.prompts import keys_of
from ecgpipe.errors import ModelError
from ecgpipe.processes import Share
from ecgpipe.stopping import Stop

TEXTS = [f"この心電図は所見{number}を示しています。" for number in range(40)]


def test_a_random_vector_depends_on_its_text_alone() -> None:
    vectors = control_vectors("random", TEXTS, TEXTS)
    assert np.array_equal(control_vectors("random", TEXTS[7:9], ["another"]), vectors[7:9])
    # Independent standard normal numbers: unit variance, and no two texts alike.
    assert vectors.var() == pytest.approx(1, abs=0.05)
    cosine = vectors @ vectors.T / RANDOM_WIDTH
    assert np.diag(cosine) == pytest.approx(np.ones(40), abs=0.15)
    assert np.abs(cosine - np.diag(np.diag(cosine))).max() < 5 / RANDOM_WIDTH**0.5


def test_each_text_has_an_axis_of_its_own_of_the_same_length() -> None:
    vectors = control_vectors("one-hot", TEXTS, TEXTS)
    np.testing.assert_allclose(vectors @ vectors.T, 40 * np.eye(40), rtol=1e-6)
    shuffled = TEXTS[::-1]
    assert np.array_equal(control_vectors("one-hot", TEXTS[3:5], shuffled), vectors[3:5])


def test_more_texts_than_axes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls, "MOST_AXES", 39)
    with pytest.raises(ModelError, match="at most 39; this experiment has 40 distinct texts"):
        control_vectors("one-hot", TEXTS, TEXTS)


def stage(
    control: Control, root: Path, texts: list[str], share: Share
) -> tuple[Embedded, EmbedJob]:
    config = TextConfig(model=control)
    files = find_model(config)
    job = EmbedJob(
        files=files,
        config=config,
        root=root,
        fingerprints=(fingerprint_of(files, config, config.view, root / "memo", lambda: texts),),
        share=share,
    )
    return embed(texts, job, Stop()), job


@pytest.mark.parametrize("control", ["random", "one-hot"])
def test_shares_make_the_vectors_of_one_and_load_no_model(
    control: Control, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(language_model, "LanguageModel", refuse)
    done = [stage(control, tmp_path, TEXTS, Share(index, 2)) for index in range(2)]
    assert sum(embedded.embedded for embedded, _ in done) == 40
    job = done[0][1]
    assert dict(job.fingerprints[0].fields)["control"] == control
    found = VectorCache.open(tmp_path, job.fingerprints[0]).vectors(keys_of(TEXTS))
    expected = control_vectors(control, TEXTS, TEXTS)
    np.testing.assert_allclose(found, expected, rtol=2**-8)  # kept in bfloat16


def test_the_axes_of_other_texts_are_never_mixed(tmp_path: Path) -> None:
    _, one = stage("one-hot", tmp_path, TEXTS, Share())
    _, other = stage("one-hot", tmp_path, TEXTS[1:], Share())
    assert one.fingerprints[0].digest != other.fingerprints[0].digest
    _, random = stage("random", tmp_path, TEXTS, Share())
    assert stage("random", tmp_path, TEXTS[1:], Share())[0].embedded == 0
    assert (
        random.fingerprints[0].digest
        == stage("random", tmp_path, ["x"], Share())[1].fingerprints[0].digest
    )


def test_what_reads_no_text_has_no_views() -> None:
    with pytest.raises(ValueError, match="views are ways to read a language model"):
        dataclasses.replace(TextConfig(model="random"), views=(TextView(layer=1),))
