"""Where signals lie: chosen by what is free, the same signals everywhere, errors on the way out."""

import threading

import numpy as np
import pytest
import torch

from ecgpipe.errors import ConfigError, StoreError
from ecgpipe.train_ecg.data.placement import (
    PlacedSignals,
    Placement,
    TrainSignals,
    choose_placement,
    memory_left,
)

GB = 10**9
STORED = np.random.default_rng(0).integers(-999, 999, (50, 12, 30)).astype(np.int16)
SLOTS = np.arange(10, 50)
CPU = torch.device("cpu")


def train_signals() -> TrainSignals:
    return TrainSignals(lambda slots: STORED[slots], SLOTS, 12, 30)


@pytest.mark.parametrize(
    ("n_bytes", "gpu_free", "memory_free", "kind"),
    [
        (4 * GB, 80 * GB, 100 * GB, "device"),
        (60 * GB, 80 * GB, 200 * GB, "memory"),
        (60 * GB, 80 * GB, 100 * GB, "stream"),
        (4 * GB, None, 24 * GB, "memory"),
        (150 * GB, None, 24 * GB, "stream"),
    ],
)
def test_the_first_place_in_which_they_fit_is_chosen(
    n_bytes: int, gpu_free: int | None, memory_free: int, kind: str
) -> None:
    assert choose_placement("auto", n_bytes, gpu_free, memory_free).kind == kind


def test_a_place_that_was_asked_for_is_taken_or_refused_with_the_sizes() -> None:
    assert choose_placement("stream", 1, 80 * GB, 80 * GB).kind == "stream"
    assert choose_placement("memory", GB, 80 * GB, 80 * GB).kind == "memory"
    with pytest.raises(ConfigError, match="no GPU"):
        choose_placement("device", GB, None, 80 * GB)
    with pytest.raises(ConfigError, match=r"are 60\.00 GB and the GPU has 80\.00 GB free"):
        choose_placement("device", 60 * GB, 80 * GB, 900 * GB)
    with pytest.raises(ConfigError, match=r"60\.00 GB and 80\.00 GB are free"):
        choose_placement("memory", 60 * GB, None, 80 * GB)


@pytest.mark.parametrize("kind", ["memory", "stream"])
def test_every_place_serves_the_very_signals_in_the_order_asked_for(kind: str) -> None:
    placed = train_signals().place(kind, CPU)
    assert placed.placement.kind == kind
    places = np.random.default_rng(1).permutation(40).reshape(8, 5)
    served = list(placed.batches(places))
    assert len(served) == 8
    for batch, row in zip(served, places, strict=True):
        assert np.array_equal(batch.numpy(), STORED[SLOTS[row]])


def test_a_stream_reads_one_batch_ahead_in_a_thread() -> None:
    asked: list[int] = []
    second = threading.Event()

    def read(slots: np.ndarray) -> np.ndarray:
        asked.append(int(slots[0]))
        if len(asked) == 2:
            second.set()
        return STORED[slots]

    signals = PlacedSignals(Placement("stream", ""), TrainSignals(read, SLOTS, 12, 30), CPU)
    stream = signals.batches(np.arange(40).reshape(40, 1))
    next(stream)
    assert second.wait(5)  # nobody has asked for the second yet
    stream.close()
    assert len(asked) <= 3


def test_a_damaged_record_is_an_error_of_the_batch_that_holds_it() -> None:
    def read(slots: np.ndarray) -> np.ndarray:
        if 33 in slots:
            raise StoreError("slot 33 is damaged")
        return STORED[slots]

    broken = TrainSignals(read, SLOTS, 12, 30)
    stream = broken.place("stream", CPU).batches(np.arange(40).reshape(8, 5))
    for _ in range(4):
        next(stream)
    with pytest.raises(StoreError, match="slot 33"):
        next(stream)
    with pytest.raises(StoreError, match="slot 33"):
        broken.place("memory", CPU)


def test_what_memory_is_left_is_some_and_not_more_than_there_is() -> None:
    assert 1e6 < memory_left() < 1e14
