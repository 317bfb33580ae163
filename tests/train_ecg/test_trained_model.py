"""Encoding with a model: what is kept is read once, the rest while another batch is encoded."""

import dataclasses
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy_training

from ecgpipe.errors import StoreError
from ecgpipe.train_ecg.loop.training import _keep_validation
from ecgpipe.train_ecg.trained_model import ModelEncoder, load_model, save_model
from ecgpipe.train_ecg.two_towers import initialised

SIGNAL = (12, 100)
SHAPE = dataclasses.replace(toy_training.SHAPE, samples=100, text_width=6, projection_dim=4)


@pytest.mark.parametrize(("keep", "n_reads"), [("stream", 4), ("memory", 1)])
def test_validation_reads_kept_signals_once_and_gives_the_same_vectors(
    keep: Any, n_reads: int
) -> None:
    signals = np.random.default_rng(0).integers(-999, 999, (70, *SIGNAL)).astype(np.int16)
    read: list[int] = []

    def reading(slots: Any) -> Any:
        read.extend(slots)
        return signals[slots]

    encoder = ModelEncoder(initialised(SHAPE, 0), reading, torch.device("cpu"), keep)
    slots = np.arange(69, -1, -1)
    epochs = [encoder.encode_ecg(slots) for _ in range(4)]
    assert sorted(read) == sorted(np.repeat(np.arange(70), n_reads))
    plain = ModelEncoder(initialised(SHAPE, 0), signals.__getitem__, torch.device("cpu"))
    assert all(np.array_equal(epoch, plain.encode_ecg(slots)) for epoch in epochs)
    others = encoder.encode_ecg(slots[:3])  # other ECGs are not taken for those that are kept
    np.testing.assert_allclose(others, epochs[0][:3], atol=1e-5)


def test_the_next_signals_are_read_while_a_batch_is_encoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    next_is_read = threading.Event()
    signals = np.ones((128, *SIGNAL), np.int16)

    def reading(slots: Any) -> Any:
        if slots[0] > 0:
            next_is_read.set()
        return signals[slots]

    model = initialised(SHAPE, 0)
    real = model.encode_ecg

    def encode(batch: torch.Tensor) -> torch.Tensor:
        assert next_is_read.wait(30), "nobody reads while a batch is encoded"
        return real(batch)

    monkeypatch.setattr(model, "encode_ecg", encode)
    ModelEncoder(model, reading, torch.device("cpu")).encode_ecg(np.arange(128))


def test_an_unreadable_record_is_told_by_the_encoder_though_a_thread_reads() -> None:
    def damaged(slots: Any) -> Any:
        raise StoreError("record 7 is damaged")

    encoder = ModelEncoder(initialised(SHAPE, 0), damaged, torch.device("cpu"))
    with pytest.raises(StoreError, match="record 7 is damaged"):
        encoder.encode_ecg(np.arange(3))


def test_a_loaded_model_is_float32_whatever_the_program_around_it_has_set(tmp_path: Path) -> None:
    model = initialised(SHAPE, 0).eval()
    save_model(tmp_path, model.state_dict(), SHAPE, {})
    signals = np.random.default_rng(0).integers(-999, 999, (3, *SIGNAL)).astype(np.int16)
    expected = ModelEncoder(model, signals.__getitem__).encode_ecg(np.arange(3))
    torch.set_default_dtype(torch.float64)
    try:
        loaded = ModelEncoder(load_model(tmp_path)[0], signals.__getitem__)
        found = [each.encode_ecg(np.arange(3)) for each in (loaded, loaded)]
        before = ModelEncoder(model, signals.__getitem__).encode_ecg(np.arange(3))
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(np.array_equal(each, expected) for each in (*found, before))
    assert found[0].dtype == np.float32


@pytest.mark.parametrize(
    ("device", "placement", "kept"),
    [
        ("cuda", "auto", "auto"),
        ("cuda", "device", "auto"),
        ("cuda", "memory", "memory"),
        ("cuda", "stream", "stream"),
        ("cpu", "memory", "stream"),
    ],
)
def test_validation_signals_stay_on_a_gpu_as_training_signals_do_and_take_no_memory_without_one(
    device: str, placement: Any, kept: str
) -> None:
    assert _keep_validation(placement, torch.device(device)) == kept
