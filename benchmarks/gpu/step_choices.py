"""What might make a training step faster on a GPU, each against the step as it is.

Of the paper's size, in bfloat16, captured as a CUDA graph where there is CUDA. Three things are
tried by themselves and all together:

- `cudnn.benchmark` while the first steps run eagerly: cuDNN times its kernels, and keeps the best;
- 16 leads, four of them empty, since bfloat16 kernels want channels in multiples of 8;
- the encoder compiled, then captured.

A default is changed only by what this shows on a card. `--miniature` runs it on toy sizes.

    python -m benchmarks.gpu.step_choices
"""

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.gpu.train_checks import tried
from benchmarks.gpu.train_data import (
    FULL,
    MINIATURE,
    Sizes,
    model_shape,
    paper_config,
    training_data,
)
from benchmarks.report import as_lines, conditions, table
from ecgpipe.train_ecg.data.placement import TrainSignals
from ecgpipe.train_ecg.loop.accelerator import make_accelerator
from ecgpipe.train_ecg.loop.step import EAGER_STEPS, CapturedStep
from ecgpipe.train_ecg.loop.training import set_up

_PADDED_LEADS = 16


@dataclass(frozen=True)
class Choice:
    """One way to take a step."""

    search: bool = False
    """Whether cuDNN times its kernels in the first steps."""

    padded: bool = False
    """Whether there are 16 leads."""

    compiled: bool = False
    """Whether the encoder is compiled before the capture."""

    def __str__(self) -> str:
        names = {"cudnn.benchmark": self.search, "16 leads": self.padded, "compiled": self.compiled}
        return " + ".join(name for name, on in names.items() if on) or "as it is"


CHOICES = (
    Choice(),
    Choice(search=True),
    Choice(padded=True),
    Choice(compiled=True),
    Choice(search=True, padded=True),
    Choice(search=True, padded=True, compiled=True),
)


def prepared(choice: Choice, sizes: Sizes, batch: int) -> Callable[[], object]:
    """A step of this kind on one batch, after what it does only at first."""
    config = paper_config("sentence", batch, precision="bfloat16", compile=choice.compiled)
    data, shape = training_data(sizes, "sentence", batch), model_shape(config, sizes)
    if choice.padded:
        shape = dataclasses.replace(shape, n_leads=_PADDED_LEADS)
        read = data.read_signals

        def read_padded(slots: npt.NDArray[np.int64]) -> npt.NDArray[np.int16]:
            signal_NLS = read(slots)
            missing = _PADDED_LEADS - signal_NLS.shape[1]
            return np.pad(signal_NLS, ((0, 0), (0, missing), (0, 0)))

        signals = TrainSignals(read_padded, np.arange(batch), _PADDED_LEADS, sizes.samples)
        data = dataclasses.replace(data, signals=signals, read_signals=read_padded)
    step, placed = set_up(config, shape, data, make_accelerator())
    step.model.train()
    step.begin_epoch(0)
    take: Callable[..., Any] = CapturedStep(step) if step.device.type == "cuda" else step
    signal = placed.gather(np.arange(batch)).to(step.device)
    places = torch.arange(batch, device=step.device)
    before, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, choice.search
    try:
        for _ in range(EAGER_STEPS + 2):
            take(signal, places)
    finally:
        torch.backends.cudnn.benchmark = before
    return lambda: take(signal, places)


def milliseconds(take: Callable[[], object], steps: int) -> float:
    """The mean of a block of steps."""
    _wait()
    started = time.perf_counter()
    for _ in range(steps):
        take()
    _wait()
    return 1000 * (time.perf_counter() - started) / steps


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def main(arguments: Sequence[str] | None = None) -> None:
    """Time all choices in turn, and print medians of blocks."""
    parser = argparse.ArgumentParser(description="Choices that may make a GPU's step faster.")
    parser.add_argument("--steps", type=int, default=50, help="In a block.")
    parser.add_argument("--rounds", type=int, default=7, help="Blocks of each choice, in turn.")
    parser.add_argument("--miniature", action="store_true", help="Toy sizes: does it run?")
    options = parser.parse_args(arguments)
    sizes = MINIATURE if options.miniature else FULL
    choices = CHOICES
    if options.miniature:
        options.steps, options.rounds = 1, 1
        # A compiler takes half a minute, whatever the size.
        choices = tuple(choice for choice in CHOICES if not choice.compiled)
    elif not torch.cuda.is_available():
        raise SystemExit("No GPU is here. Use --miniature to try the script out on a CPU.")
    rows = []
    for batch in sizes.batches:
        ready: dict[Choice, Callable[[], object]] = {}
        for choice in choices:
            for result in tried(f"{choice}, batch {batch}", _one, choice, sizes, batch):
                if isinstance(result, str):
                    print(result, flush=True)
                else:
                    ready[choice] = result
        blocks: dict[Choice, list[float]] = {choice: [] for choice in ready}
        for _ in range(options.rounds):
            for choice, take in ready.items():
                blocks[choice].append(milliseconds(take, options.steps))
        found = {choice: statistics.median(times) for choice, times in blocks.items()}
        for choice, ms in found.items():
            ratio = f"{found[Choice()] / ms:.2f}" if Choice() in found else "-"
            rows.append([str(choice), str(batch), f"{ms:.2f}", ratio])
    print(table(["a step", "batch", "ms", "times as fast"], rows))
    print(as_lines(conditions(cuda=str(torch.version.cuda))))


def _one(choice: Choice, sizes: Sizes, batch: int) -> Any:
    yield prepared(choice, sizes, batch)


if __name__ == "__main__":
    main()
