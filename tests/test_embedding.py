"""The embed stage: each distinct text once, nothing computed twice, nothing lost."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ecgpipe.cache import vector_cache
from ecgpipe.cache.vector_cache import VectorCache
from ecgpipe.config import TextConfig
from ecgpipe.embed_text import embedding, language_model
from ecgpipe.embed_text.embedding import Embedded, embed
from ecgpipe.embed_text.model_files import find_model, fingerprint_of
from ecgpipe.embed_text.prompts import keys_of
from ecgpipe.errors import StoppedEarly, StoreError
from ecgpipe.stopping import Stop

TEXTS = [f"この心電図は所見{number}を示しています。" for number in range(40)]


class Stage:
    """The stage on one model folder and cache folder."""

    def __init__(self, model: Path, root: Path, **settings: object) -> None:
        base = TextConfig(model=str(model), dtype="float32", max_tokens_per_batch=600)
        self.config = dataclasses.replace(base, **settings)
        self.root = root
        self.files = find_model(self.config)
        self.fingerprint = fingerprint_of(self.files, self.config, root / "memo.json")

    def __call__(self, texts: list[str], stop: Stop | None = None) -> Embedded:
        stop = Stop() if stop is None else stop
        return embed(texts, self.files, self.config, self.root, self.fingerprint, stop)

    def vectors(self, texts: list[str]) -> np.ndarray:
        return VectorCache.open(self.root, self.fingerprint).vectors(keys_of(texts))

    def parts(self) -> list[Path]:
        return sorted((self.root / self.fingerprint.short).glob("part-*.h5"))


@pytest.fixture
def stage(tiny_llama: Path, tmp_path: Path) -> Stage:
    return Stage(tiny_llama, tmp_path / "embeddings")


def test_equal_texts_are_embedded_once(stage: Stage) -> None:
    assert stage(TEXTS + TEXTS[:7]) == Embedded(distinct=40, already_there=0, embedded=40, cut=0)
    assert len(VectorCache.open(stage.root, stage.fingerprint)) == 40


def test_a_second_run_loads_no_model(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage(TEXTS)

    def refuse(*arguments: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(language_model, "LanguageModel", refuse)
    assert stage(TEXTS) == Embedded(distinct=40, already_there=40, embedded=0, cut=0)


def test_new_texts_only_add_a_part(stage: Stage) -> None:
    stage(TEXTS[:30])
    before = {path: path.read_bytes() for path in stage.parts()}
    assert stage(TEXTS).embedded == 10
    after = stage.parts()
    assert len(after) == len(before) + 1
    assert all(path.read_bytes() == content for path, content in before.items())


def test_every_text_gets_the_vector_of_that_text(stage: Stage) -> None:
    stage(TEXTS)
    alone = Stage(Path(stage.config.model), stage.root.parent / "alone")
    for text in TEXTS[::13]:
        alone([text])
    assert np.array_equal(stage.vectors(TEXTS[::13]), alone.vectors(TEXTS[::13]))


def test_a_stop_keeps_what_is_computed_and_the_next_run_does_the_rest(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Stop()
    real = language_model.LanguageModel.vectors

    def stopping(self: object, *arguments: object) -> np.ndarray:
        stop.request("SIGTERM")
        return real(self, *arguments)

    monkeypatch.setattr(language_model.LanguageModel, "vectors", stopping)
    with pytest.raises(StoppedEarly, match="Stopped by SIGTERM") as caught:
        stage(TEXTS, stop)
    assert caught.value.exit_code == 75
    kept = len(VectorCache.open(stage.root, stage.fingerprint))
    assert 0 < kept < 40
    monkeypatch.undo()
    assert stage(TEXTS) == Embedded(distinct=40, already_there=kept, embedded=40 - kept, cut=0)


def test_a_failure_in_the_middle_keeps_what_is_computed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = language_model.LanguageModel.vectors, []

    def failing(self: object, *arguments: object) -> np.ndarray:
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("out of memory")
        return real(self, *arguments)

    monkeypatch.setattr(language_model.LanguageModel, "vectors", failing)
    with pytest.raises(RuntimeError, match="out of memory"):
        stage(TEXTS)
    assert len(VectorCache.open(stage.root, stage.fingerprint)) > 0


def test_vectors_that_are_not_finite_are_never_kept(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object, ids: list[list[int]], length: int) -> np.ndarray:
        return np.full((len(ids), 48), np.nan, np.float32)

    monkeypatch.setattr(language_model.LanguageModel, "vectors", broken)
    with pytest.raises(StoreError, match="NaN or infinity"):
        stage(TEXTS)
    assert stage.parts() == []


def test_cut_texts_are_counted(tiny_llama: Path, tmp_path: Path) -> None:
    stage = Stage(tiny_llama, tmp_path / "e", max_tokens=48, max_tokens_per_batch=48)
    long = "長" * 40
    assert stage([long, "短い"]).cut == 1
    assert stage([long, "短い"]).cut == 1  # known from the cache, too


def test_other_settings_are_another_cache_and_both_live(tiny_llama: Path, tmp_path: Path) -> None:
    first = Stage(tiny_llama, tmp_path / "e")
    second = Stage(tiny_llama, tmp_path / "e", pooling="mean")
    first(TEXTS)
    assert second(TEXTS).embedded == 40
    assert first(TEXTS).embedded == 0
    assert not np.array_equal(first.vectors(TEXTS), second.vectors(TEXTS))


def test_many_seals_lose_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_cache, "SEAL_ROWS", 5)
    stage(TEXTS)
    assert len(stage.parts()) > 3
    assert embedding.missing_texts(TEXTS, stage.root, stage.fingerprint)[0] == []
