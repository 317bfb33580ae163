"""Whether training on a GPU does what it does on a CPU, and a captured step what a plain one does.

Owns small runs that are compared. PyTorch is asked for deterministic kernels, so that a difference
is one of ours. The plain run is done twice, which tells how far that holds: where kernels do not
repeat themselves, rounding grows (docs/lab-log.md), and the others may differ three times as much.
"""

import contextlib
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.gpu.train_data import Sizes, model_shape, paper_config, train_inputs, training_data
from ecgpipe.config.train import AugmentConfig, TrainConfig
from ecgpipe.errors import StoppedEarly
from ecgpipe.stopping import Stop
from ecgpipe.train_ecg.data.counter_random import (
    counters,
    hashes,
    integers,
    normal_pairs,
    record_keys,
    uniform,
)
from ecgpipe.train_ecg.data.pairing import epoch_batches
from ecgpipe.train_ecg.loop.accelerator import make_accelerator
from ecgpipe.train_ecg.loop.schedule import learning_rate
from ecgpipe.train_ecg.loop.step import EAGER_STEPS, CapturedStep
from ecgpipe.train_ecg.loop.training import set_up, train
from ecgpipe.train_ecg.trained_model import load_tensors

_EPOCHS = 3
_LOSS_TOLERANCE = 1e-3
_REPEATED_TOLERANCE = 0.1
"""If repeated steps differ by more than this, the other comparisons mean nothing."""

FAILED = "FAILED"
"""Marks the line of a measurement that failed."""

T = TypeVar("T")
Kept = Literal["", "rate", "texts", "epoch"]
Figures = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Check:
    """One comparison."""

    what: str
    value: float
    limit: float
    at_least: bool = False
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether the value is within the limit."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def line(self) -> str:
        """The comparison as a line of text."""
        sign = ">=" if self.at_least else "<="
        note = f" ({self.note})" if self.note else ""
        end = "met" if self.holds else "MISSED"
        return f"{self.what}: {self.value:.2g}{note} (wanted {sign} {self.limit:g}): {end}"


class _StopAfter(Stop):
    """A stop that is asked once a step, and says yes from the n-th time on."""

    def __init__(self, n_steps: int) -> None:
        super().__init__()
        self._left = n_steps

    def __bool__(self) -> bool:
        self._left -= 1
        if self._left < 0:
            self.request("the benchmark")
        return super().__bool__()


def all_checks(sizes: Sizes, device: torch.device) -> Iterator[Check | str]:
    """Every comparison that this device allows, and a line for each that it does not, or that
    failed: the rest goes on."""
    on_gpu = device.type == "cuda"
    with deterministic():
        plain = losses(sizes, _varied(sizes, "float32"))
        again = losses(sizes, _varied(sizes, "float32"))
        repeated = _differ("plain steps, done twice: loss", plain, again, _REPEATED_TOLERANCE)
        yield repeated
        limit = max(_LOSS_TOLERANCE, 3 * repeated.value)
        if on_gpu:
            yield from tried("CUDA graph to plain steps", _graphs, sizes, plain, limit)
        else:
            yield "CUDA graph to plain steps: skipped, no CUDA"
        yield from tried("what would be seen", _would_be_seen, sizes, plain, limit)
        yield from tried("bfloat16 to float32", _bf16, sizes, plain)
        yield from tried("a run that is resumed", _resumed, sizes, limit)
    if on_gpu:
        yield from tried("counter_random", _random_numbers, device)
    else:
        yield "counter_random on GPU to CPU: skipped, no CUDA"
    for placement in ("device", "memory", "stream"):
        if placement == "device" and not on_gpu:
            yield "batches of signals resident on the device: skipped, no CUDA"
        else:
            yield from tried(f"batches, placement {placement}", _batches, sizes, placement)


def tried(what: str, measure: Callable[..., Iterator[T]], *given: Any) -> Iterator[T | str]:
    """What `measure` gives, and a line where it fails: one that does must not cost the others."""
    try:
        yield from measure(*given)
    except Exception as error:
        yield f"{what}: {FAILED} with {type(error).__name__}: {str(error)[:500]}"


def _graphs(sizes: Sizes, plain: Figures, limit: float) -> Iterator[Check]:
    graph = losses(sizes, _varied(sizes, "float32"), captured=True)
    yield _differ("CUDA graph to plain steps: loss", plain, graph, limit)
    siglip = replace(_varied(sizes, "float32"), loss="siglip")
    plain_siglip, graph_siglip = losses(sizes, siglip), losses(sizes, siglip, captured=True)
    yield _differ("the same with siglip: loss", plain_siglip, graph_siglip, limit)


def _varied(sizes: Sizes, precision: str) -> TrainConfig:
    """Settings under which learning rate, texts and augmentation all change from step to step."""
    return paper_config(
        "sampled_finding",
        sizes.batches[0],
        epochs=_EPOCHS,
        schedule="cosine",
        warmup_epochs=1.0,
        max_gradient_norm=1.0,
        precision=precision,
        augment=AugmentConfig(
            shift_s=0.2, amplitude=0.1, wander_mv=0.05, noise_mv=0.01, drop_lead=0.1
        ),
    )


def losses(
    sizes: Sizes, config: TrainConfig, *, captured: bool = False, kept: Kept = ""
) -> Figures:
    """(steps, 3) the metrics of each step.

    `kept` leaves one thing as it was when a graph would have been captured: what replays that
    ignored it would do.
    """
    n_records = sizes.steps_an_epoch_checked * config.global_batch_size
    data = training_data(sizes, config.text, n_records)
    step, signals = set_up(config, model_shape(config, sizes), data, make_accelerator())
    take_step = CapturedStep(step) if captured else step
    figures: list[torch.Tensor] = []
    step.model.train()
    for epoch in range(config.epochs):
        step.begin_epoch(epoch)
        if kept == "texts":
            step.objective.draw(0)
        elif kept == "epoch":
            step.augmentation.begin_epoch(0)
        places_nB = epoch_batches(n_records, config.global_batch_size, config.seed, epoch)
        on_device_nB = torch.from_numpy(places_nB).to(step.device)
        for places_B, signal_bLS in zip(on_device_nB, signals.batches(places_nB), strict=True):
            number = min(len(figures), EAGER_STEPS) if kept == "rate" else len(figures)
            step.set_learning_rate(learning_rate(config, number, len(places_nB)))
            figures.append(take_step(signal_bLS, places_B))
    return torch.stack(figures).double().cpu().numpy()


def _differ(what: str, left: Figures, right: Figures, limit: float) -> Check:
    largest = float(np.abs(left[:, 0] - right[:, 0]).max())
    equal = "all figures bit-equal" if np.array_equal(left, right) else "not bit-equal"
    return Check(f"{what} of {len(left)} steps, largest difference", largest, limit, note=equal)


def _would_be_seen(sizes: Sizes, plain: Figures, tolerated: float) -> Iterator[Check]:
    """A replay that ignored one of these would differ by so much: far more than is tolerated."""
    names: dict[Kept, str] = {
        "rate": "the learning rate",
        "texts": "the texts of a new epoch",
        "epoch": "the epoch of the augmentation",
    }
    for kept, name in names.items():
        other = losses(sizes, _varied(sizes, "float32"), kept=kept)
        seen = float(np.abs(plain[:, 0] - other[:, 0]).max())
        yield Check(f"were {name} not honoured: loss", seen, 10 * tolerated, at_least=True)


def _bf16(sizes: Sizes, plain: Figures) -> Iterator[Check]:
    half = losses(sizes, _varied(sizes, "bfloat16"))
    relative = np.abs(half[:, 0] - plain[:, 0]) / plain[:, 0]
    yield Check(
        "bfloat16 to float32: loss, mean relative difference",
        float(relative.mean()),
        sizes.bf16_tolerance,
        note=f"largest {relative.max():.2g}",
    )


def _resumed(sizes: Sizes, limit: float) -> Iterator[Check]:
    """Half an epoch, a checkpoint, and the other half in a new run, against the whole."""
    batch, n_steps = sizes.batches[0], 2 * min(10, sizes.steps_an_epoch_checked)
    config = paper_config("sentence", batch, epochs=1)
    data = training_data(sizes, "sentence", n_steps * batch)

    def run(folder: Path, stop: Stop) -> dict[str, torch.Tensor]:
        train(train_inputs(config, sizes, data, folder, stop))
        return load_tensors(folder / "model" / "model.safetensors")

    with tempfile.TemporaryDirectory() as name:
        whole = run(Path(name) / "whole", Stop())
        with contextlib.suppress(StoppedEarly):
            run(Path(name) / "parts", _StopAfter(n_steps // 2))
        parts = run(Path(name) / "parts", Stop())
    largest = max(float((whole[key].double() - parts[key]).abs().max()) for key in whole)
    equal = all(torch.equal(whole[key], parts[key]) for key in whole)
    yield Check(
        f"{n_steps // 2} steps, a checkpoint and {n_steps // 2} more to {n_steps}: weights,"
        " largest difference",
        largest,
        limit,
        note="bit-equal" if equal else "not bit-equal",
    )


def _random_numbers(device: torch.device) -> Iterator[Check]:
    def drawn(where: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        keys = record_keys(7, 3, torch.arange(999, device=where), 5)
        bits = hashes(keys[:, None] + counters(101, where))
        normal = torch.cat(normal_pairs(bits, uniform(bits)))
        return uniform(bits).cpu(), integers(bits, -5, 1000).cpu(), normal.cpu()

    here, there = drawn(torch.device("cpu")), drawn(device)
    unequal = sum(
        int((left != right).sum()) for left, right in zip(here[:2], there[:2], strict=True)
    )
    largest = float((here[2] - there[2]).abs().max())
    yield Check("counter_random on GPU to CPU: unequal uniform and whole numbers", unequal, 0)
    yield Check("counter_random on GPU to CPU: normal numbers, largest difference", largest, 1e-5)


def _batches(sizes: Sizes, placement: str) -> Iterator[Check]:
    """What the step is handed, against the generator itself."""
    batch = sizes.batches[0]
    n_records = sizes.steps_an_epoch_checked * batch
    data = training_data(sizes, "sentence", n_records)
    signals = data.signals.place(placement, make_accelerator().device)
    places_nB = epoch_batches(n_records, batch, 0, 0)
    unequal = sum(
        int((signal.cpu() != torch.from_numpy(data.read_signals(places_B))).sum())
        for places_B, signal in zip(places_nB, signals.batches(places_nB), strict=True)
    )
    yield Check(f"batches of signals, placement {placement}: unequal samples", unequal, 0)


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    """Ask PyTorch for kernels that repeat themselves, within the block."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, torch.utils.deterministic.fill_uninitialized_memory
    try:
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Filling memory that is written next would only cost time.
        cudnn.deterministic, torch.utils.deterministic.fill_uninitialized_memory = True, False
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*deterministic")
            yield
    finally:
        torch.use_deterministic_algorithms(False)
        cudnn.deterministic, torch.utils.deterministic.fill_uninitialized_memory = before
