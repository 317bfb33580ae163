"""Several runs on one GPU at the same time, against the same runs one after another.

Owns the threads of the benchmark, and a clock that all runs share: they wait for each other at the
end of each epoch, so that an epoch's time is that of the slowest.
"""

import statistics
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmarks.gpu.train_data import Sizes, model_shape, paper_config, training_data
from ecgpipe.config.train import TrainConfig
from ecgpipe.stopping import Stop
from ecgpipe.train_ecg.loop.own_stream import own_stream
from ecgpipe.train_ecg.loop.training import TrainingData, train

RUNS = 4

T = TypeVar("T")

_LONGEST_WAIT_S = 120.0


@dataclass(frozen=True)
class AtOnce:
    """How long an epoch of `RUNS` seeds takes."""

    runs: int
    batch: int
    steps: int
    alone_s: float
    """One epoch of each, one after another."""

    beside_s: float
    """One epoch of each, at the same time."""

    peak_bytes: int | None
    """Of GPU memory, of all at the same time."""

    def line(self) -> str:
        """For people."""
        peak = "" if self.peak_bytes is None else f", {self.peak_bytes / 1e9:.2f} GB at most"
        return (
            f"{self.runs} runs, batch {self.batch}, {self.steps} steps an epoch: an epoch of each"
            f" takes {self.beside_s:.3f} s at once{peak}, {self.alone_s:.3f} s one after another:"
            f" {self.alone_s / self.beside_s:.2f} times as fast"
        )


def measure_at_once(sizes: Sizes, device: torch.device, steps: int) -> AtOnce:
    """Time an epoch of so many steps at the smallest batch, as training does it by default."""
    batch = sizes.batches[0]
    config = paper_config("sentence", batch, epochs=1 + sizes.epochs_timed)
    data = training_data(sizes, "sentence", steps * batch)
    seeds = [replace(config, seed=seed) for seed in range(RUNS)]
    alone = [_epoch_s(each, sizes, data, threading.Barrier(1)) for each in seeds]
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    together = threading.Barrier(RUNS, timeout=_LONGEST_WAIT_S)
    beside = all_beside([_timed(each, sizes, data, together) for each in seeds])
    peak = torch.cuda.max_memory_allocated(device) if on_gpu else None
    return AtOnce(RUNS, batch, steps, sum(alone), max(beside), peak)


def all_beside(runs: Sequence[Callable[[], T]]) -> list[T]:
    """What each gives, all at the same time, each in a thread and a CUDA stream of its own."""

    def in_own_stream(run: Callable[[], T]) -> T:
        with own_stream():
            return run()

    with ThreadPoolExecutor(len(runs)) as threads:
        return list(threads.map(in_own_stream, runs))


def _timed(
    config: TrainConfig, sizes: Sizes, data: TrainingData, met: threading.Barrier
) -> Callable[[], float]:
    return lambda: _epoch_s(config, sizes, data, met)


def _epoch_s(
    config: TrainConfig, sizes: Sizes, data: TrainingData, met: threading.Barrier
) -> float:
    """Median seconds of an epoch but the first, until the last run that is waited for."""

    def validated(_: Any) -> dict[str, float]:
        met.wait()
        return {"macro_auroc": 0.5}

    try:
        with tempfile.TemporaryDirectory() as folder:
            shape = model_shape(config, sizes)
            done = train(config, shape, data, Path(folder), "k", {}, validated, Stop())
    except BaseException:
        met.abort()  # or the others wait for it
        raise
    return statistics.median(max(float(entry["seconds"]), 1e-3) for entry in done.history[1:])
