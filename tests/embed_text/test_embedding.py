"""The embed stage: each distinct text once, nothing computed twice, nothing lost."""

import dataclasses
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from ecgpipe.cache.vectors import writer as vector_writer
from ecgpipe.cache.vectors.reader import VectorCache
from ecgpipe.config.text import TextConfig, TextView
from ecgpipe.embed_text import embedding, language_model
from ecgpipe.embed_text.embedding import Embedded, EmbedJob, embed, owners
from ecgpipe.embed_text.model_files import find_model, fingerprint_of
from ecgpipe.embed_text.prompts import keys_of
from ecgpipe.errors import ModelError, StoppedEarly, StoreError
from ecgpipe.processes import Share
from ecgpipe.stopping import Stop

WHOLE = Share()
TEXTS = [f"この心電図は所見{number}を示しています。" for number in range(40)]


class Stage:
    """The stage on one model folder and cache folder."""

    def __init__(
        self, model: Path | str, root: Path, share: Share = WHOLE, **settings: object
    ) -> None:
        base = TextConfig(model=str(model), dtype="float32", max_tokens_per_batch=600)
        self.config = dataclasses.replace(base, **settings)
        self.root = root
        files = find_model(self.config)
        memo = root / "memo.json"
        self.fingerprints = tuple(
            fingerprint_of(files, self.config, view, memo) for view in self.config.all_views
        )
        self.fingerprint = self.fingerprints[0]
        self.job = EmbedJob(
            files=files,
            config=self.config,
            root=root,
            fingerprints=self.fingerprints,
            share=share,
        )

    def __call__(self, texts: list[str], stop: Stop | None = None) -> Embedded:
        return embed(texts, self.job, Stop() if stop is None else stop)

    def vectors(self, texts: list[str], view: int = 0) -> np.ndarray:
        return VectorCache.open(self.root, self.fingerprints[view]).vectors(keys_of(texts))

    def parts(self) -> list[Path]:
        return sorted((self.root / self.fingerprint.short).glob("part-*.h5"))


def counts(done: Embedded) -> tuple[int, int, int]:
    """Distinct, there already, embedded."""
    return done.distinct, done.already_there, done.embedded


@pytest.fixture
def stage(tiny_llama: Path, tmp_path: Path) -> Stage:
    return Stage(tiny_llama, tmp_path / "embeddings")


def test_equal_texts_are_embedded_once(stage: Stage) -> None:
    assert counts(stage(TEXTS + TEXTS[:7])) == (40, 0, 40)
    assert len(VectorCache.open(stage.root, stage.fingerprint)) == 40


def test_a_second_run_loads_no_model(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage(TEXTS)

    def refuse(*arguments: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(language_model, "LanguageModel", refuse)
    assert counts(stage(TEXTS)) == (40, 40, 0)


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
    real = language_model.LanguageModel.launch

    def stopping(self: object, *arguments: object) -> object:
        stop.request("SIGTERM")
        return real(self, *arguments)

    monkeypatch.setattr(language_model.LanguageModel, "launch", stopping)
    with pytest.raises(StoppedEarly, match="Stopped by SIGTERM") as caught:
        stage(TEXTS, stop)
    assert caught.value.exit_code == 75
    kept = len(VectorCache.open(stage.root, stage.fingerprint))
    assert 0 < kept < 40
    monkeypatch.undo()
    assert counts(stage(TEXTS)) == (40, kept, 40 - kept)


def test_a_failure_in_the_middle_keeps_what_is_computed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = language_model.LanguageModel.launch, []

    def failing(self: object, *arguments: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("out of memory")
        return real(self, *arguments)

    monkeypatch.setattr(language_model.LanguageModel, "launch", failing)
    with pytest.raises(RuntimeError, match="out of memory"):
        stage(TEXTS)
    assert len(VectorCache.open(stage.root, stage.fingerprint)) > 0


def test_vectors_that_are_not_finite_are_never_kept_and_all_others_are(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = language_model.Pending.fetch

    def broken(self: language_model.Pending) -> list[np.ndarray]:
        vectors = [of_view.copy() for of_view in real(self)]
        for of_view in vectors:
            of_view[0] = np.nan
        return vectors

    monkeypatch.setattr(language_model.Pending, "fetch", broken)
    with pytest.raises(StoreError, match=r"\d texts have vectors with NaN or infinity"):
        stage(TEXTS)
    kept = len(VectorCache.open(stage.root, stage.fingerprint))
    assert 30 < kept < 40
    monkeypatch.undo()
    assert counts(stage(TEXTS)) == (40, kept, 40 - kept)


def test_cut_texts_are_named_by_their_keys(tiny_llama: Path, tmp_path: Path) -> None:
    stage = Stage(tiny_llama, tmp_path / "e", max_tokens=48)
    long = "長" * 40
    assert stage([long, "短い"]).cut.tolist() == keys_of([long]).tolist()
    assert stage([long, "短い"]).cut.tolist() == keys_of([long]).tolist()  # from the cache, too


def test_one_pass_fills_all_views_and_a_new_view_computes_only_itself(
    tiny_llama: Path, tmp_path: Path
) -> None:
    mean = TextView(pooling="mean")
    both = Stage(tiny_llama, tmp_path / "e", views=(mean,))
    first = Stage(tiny_llama, tmp_path / "e")
    first(TEXTS[:20])
    assert both(TEXTS).embedded == 40  # twenty for the new view alone
    assert len(VectorCache.open(both.root, both.fingerprints[0])) == 40
    assert len(VectorCache.open(both.root, both.fingerprints[1])) == 40
    alone = Stage(tiny_llama, tmp_path / "alone", pooling="mean")
    alone(TEXTS)
    assert np.array_equal(both.vectors(TEXTS, view=1), alone.vectors(TEXTS))
    assert alone.fingerprint == both.fingerprints[1]


def test_shares_together_do_everything_once(tiny_llama: Path, tmp_path: Path) -> None:
    shares = [Stage(tiny_llama, tmp_path / "e", share=Share(i, 3)) for i in range(3)]
    done = [share(TEXTS) for share in shares]
    assert sum(each.embedded for each in done) == 40
    assert all(5 < each.embedded < 25 for each in done)
    assert [each.left_to_others for each in done][-1] == 0
    assert len(VectorCache.open(tmp_path / "e", shares[0].fingerprint)) == 40


def test_another_number_of_workers_goes_on_where_the_first_stopped(
    tiny_llama: Path, tmp_path: Path
) -> None:
    Stage(tiny_llama, tmp_path / "e", share=Share(0, 2))(TEXTS)
    kept = len(VectorCache.open(tmp_path / "e", Stage(tiny_llama, tmp_path / "e").fingerprint))
    done = [Stage(tiny_llama, tmp_path / "e", share=Share(i, 5))(TEXTS) for i in range(5)]
    assert sum(each.embedded for each in done) == 40 - kept


def test_two_workers_with_one_share_give_one_answer(tiny_llama: Path, tmp_path: Path) -> None:
    one, two = (Stage(tiny_llama, tmp_path / "e", share=Share(0, 2)) for _ in range(2))
    barrier, real = threading.Barrier(2), embedding._ViewWriter.of

    def together(*arguments: Any) -> object:
        shelf = real(*arguments)
        barrier.wait(60)  # both have seen what is missing, and neither has written any of it
        return shelf

    with pytest.MonkeyPatch.context() as patched, ThreadPoolExecutor(2) as pool:
        patched.setattr(embedding._ViewWriter, "of", together)
        done = list(pool.map(lambda stage: stage(TEXTS), (one, two)))
    mine = [t for t, own in zip(TEXTS, owners(keys_of(TEXTS), Share(0, 2)), strict=True) if own]
    assert [each.embedded for each in done] == [len(mine)] * 2
    assert len(VectorCache.open(one.root, one.fingerprint)) == 2 * len(mine)
    assert np.array_equal(one.vectors(mine), two.vectors(mine))


def test_a_batch_too_large_for_the_gpu_is_halved_until_it_fits(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Stage(Path(stage.config.model), stage.root.parent / "whole")
    whole(TEXTS)
    real, shapes = language_model.LanguageModel.launch, []

    def small_card(self: object, ids: list[object], length: int, rows: int) -> object:
        shapes.append(rows * length)
        if rows * length > 100:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, ids, length, rows)

    monkeypatch.setattr(language_model.LanguageModel, "launch", small_card)
    assert stage(TEXTS).embedded == 40
    assert np.array_equal(stage.vectors(TEXTS), whole.vectors(TEXTS))
    assert sum(shape > 100 for shape in shapes) <= 3  # it learns, and does not try again


def test_memory_of_a_batch_that_did_not_fit_is_freed_before_the_next_one(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, held = language_model.LanguageModel.launch, []

    class Activations:
        """What a batch had allocated when memory ran out."""

    def small_card(self: object, ids: list[object], length: int, rows: int) -> object:
        activations = Activations()
        if not held:
            held.append(weakref.ref(activations))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, ids, length, rows)

    def empty_cache() -> None:
        held.append(held[0]())

    monkeypatch.setattr(language_model.LanguageModel, "launch", small_card)
    monkeypatch.setattr(torch.cuda, "empty_cache", empty_cache)
    assert stage(TEXTS).embedded == 40
    assert held[1:] == [None], "emptying the cache frees nothing that is still held"


@pytest.mark.parametrize(
    ("attention", "kernel"), [("sdpa", "flash_attention_for_cpu"), ("eager", "eager")]
)
def test_the_vectors_say_which_kernel_computed_attention(
    tiny_llama: Path, tmp_path: Path, attention: str, kernel: str
) -> None:
    stage = Stage(tiny_llama, tmp_path / "embeddings", attention=attention)
    stage(TEXTS[:2])
    with h5py.File(stage.parts()[0]) as part:
        assert part.attrs["attention"] == attention.encode()
        assert part.attrs["attention_kernel"] == kernel.encode()


def test_a_text_that_never_fits_says_what_to_do(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(self: object, *arguments: object) -> object:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(language_model.LanguageModel, "launch", no_room)
    with pytest.raises(ModelError, match=r"One text of \d+ tokens and the model do not fit"):
        stage(TEXTS)


def test_vectors_made_elsewhere_are_never_computed(tmp_path: Path) -> None:
    stage = Stage("imported:cardio-api", tmp_path / "e")
    with pytest.raises(ModelError, match="40 texts have no vector of imported:cardio-api"):
        stage(TEXTS)


def test_other_settings_are_another_cache_and_both_live(tiny_llama: Path, tmp_path: Path) -> None:
    first = Stage(tiny_llama, tmp_path / "e")
    second = Stage(tiny_llama, tmp_path / "e", pooling="mean")
    first(TEXTS)
    assert second(TEXTS).embedded == 40
    assert first(TEXTS).embedded == 0
    assert not np.array_equal(first.vectors(TEXTS), second.vectors(TEXTS))


def test_many_seals_lose_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_writer, "SEAL_ROWS", 5)
    stage(TEXTS)
    assert len(stage.parts()) > 3
    assert embedding.missing_texts(TEXTS, stage.job) == []
