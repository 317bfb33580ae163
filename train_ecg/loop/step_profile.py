"""Where the time of a training step goes.

Owns the measurement: each part by itself, with a wait for the device after it, then whole steps
without waiting. The model is thrown away afterwards.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from ecgpipe.config.train import TrainConfig
from ecgpipe.train_ecg.data.pairing import epoch_batches
from ecgpipe.train_ecg.loop.accelerator import make_accelerator
from ecgpipe.train_ecg.loop.arithmetic import Arithmetic
from ecgpipe.train_ecg.loop.step import EAGER_STEPS, step_for
from ecgpipe.train_ecg.loop.training import TrainingData, set_up
from ecgpipe.train_ecg.two_towers import ModelShape

PARTS = ("load", "copy", "prepare", "forward", "backward", "update")
_MEANING = {
    "load": "signals of the batch, from where they are kept",
    "copy": "to the device",
    "prepare": "millivolts, augmentation, normalisation",
    "forward": "encoder, projections, loss",
    "backward": "gradients",
    "update": "gradient norm, AdamW",
}
_WARM_UP = EAGER_STEPS + 2  # the capture itself takes a second


@dataclass(frozen=True)
class StepProfile:
    """Medians over steps."""

    parts_s: dict[str, float]
    """By part, waiting for the device after each."""

    step_s: float
    """A whole step as training takes it: parts overlap."""

    wait_s: float
    """How much of `step_s` waits for signals."""

    batch: int
    device: str
    arithmetic: Arithmetic
    placement: str

    def table(self) -> str:
        """For a terminal."""
        total = sum(self.parts_s.values())
        lines = [
            f"{name:<9}{1000 * seconds:>10.2f} ms {seconds / total:>6.1%}   {_MEANING[name]}"
            for name, seconds in self.parts_s.items()
        ]
        return "\n".join(
            [
                f"One step of {self.batch} ECGs in {self.arithmetic.on(self.device)}, signals in"
                f" {self.placement}; medians, waiting after each part:",
                *lines,
                f"{'sum':<9}{1000 * total:>10.2f} ms",
                f"{'step':<9}{1000 * self.step_s:>10.2f} ms          as training takes it;"
                f" {1000 * self.wait_s:.2f} ms of it wait for signals;"
                f" {self.batch / self.step_s:,.0f} ECGs/s",
            ]
        )


def profile_step(
    config: TrainConfig, shape: ModelShape, data: TrainingData, n_steps: int
) -> StepProfile:
    """Time `n_steps` in parts, and as many whole, on this process's share of the batches.

    Raises:
        ConfigError: as `ecgpipe.train_ecg.loop.training.train`.
        StoreError: a record is damaged.
    """
    accelerator = make_accelerator()
    step, signals = set_up(config, shape, data, accelerator)
    device = accelerator.device
    places_nB = epoch_batches(len(signals), config.global_batch_size, config.seed, 0)
    repeats = -(-(n_steps + _WARM_UP) // len(places_nB))
    places_nB = places_nB.repeat(repeats, axis=0)[: n_steps + _WARM_UP]
    mine_nb = places_nB[:, step.own_rows]
    on_device_nB = torch.from_numpy(places_nB).to(device)
    step.model.train()
    step.begin_epoch(0)
    clock = _Clock(device)
    for places_b, places_B in zip(mine_nb, on_device_nB, strict=True):
        with clock("load"):
            signal = signals.gather(places_b)
        with clock("copy"):
            signal = signal.to(device)
        with clock("prepare"):
            inputs = step.inputs(signal, places_B)
        with clock("forward"):
            result = step.forward(inputs, places_B)
        with clock("backward"):
            step.backward(result)
        with clock("update"):
            step.update()
        # Its autograd graph refers to the current stream, which would invalidate a capture.
        del result
    whole_s, wait_s = _whole_steps(
        step_for(step, config), signals.batches(mine_nb), on_device_nB, clock.wait
    )
    return StepProfile(
        parts_s={name: statistics.median(clock.seconds[name][_WARM_UP:]) for name in PARTS},
        step_s=whole_s,
        wait_s=wait_s,
        batch=mine_nb.shape[1],
        device=_name(device),
        arithmetic=step.arithmetic,
        placement=signals.placement.kind,
    )


def _whole_steps(
    take_step: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    batches: Iterator[torch.Tensor],
    on_device_nB: torch.Tensor,
    wait_for_device: Callable[[], None],
) -> tuple[float, float]:
    """Mean seconds of an uninterrupted step, and the median wait for signals in it."""
    waits = []
    started = time.perf_counter()
    for number, places_B in enumerate(on_device_nB):
        if number == _WARM_UP:
            wait_for_device()
            started = time.perf_counter()
        before = time.perf_counter()
        signal = next(batches)
        waits.append(time.perf_counter() - before)
        take_step(signal, places_B)
    wait_for_device()
    n_timed = len(on_device_nB) - _WARM_UP
    return (time.perf_counter() - started) / n_timed, statistics.median(waits[_WARM_UP:])


class _Clock:
    """Seconds by part, waiting for the device at the end of each."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, list[float]] = {name: [] for name in PARTS}
        self._device = device

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.wait()
        self.seconds[part].append(time.perf_counter() - started)

    def wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return device.type
