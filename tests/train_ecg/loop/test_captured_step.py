"""A step as a CUDA graph: what a capture asks for, and what a failed one leaves behind.

There is no GPU here: a fake of torch.cuda's streams and graphs behaves as torch's source says.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from toy_training import CONFIG, SHAPE

from ecgpipe.errors import EcgpipeError
from ecgpipe.train_ecg.loop.step import EAGER_STEPS, CapturedStep, make_optimizer, missed_capture
from ecgpipe.train_ecg.two_towers import initialised

INPUTS = torch.zeros(2, 1, 4, dtype=torch.int16), torch.arange(2)


class FakeGpu:
    """Streams by name, and a capture whose end fails if its body did, as torch's does."""

    def __init__(self) -> None:
        self.stream = "default"
        self.modes: list[str] = []
        self.captures = self.replays = 0
        self.failed = False
        self.failures: list[Exception] = []

    def step(self, *_: torch.Tensor) -> torch.Tensor:
        """A training step: its streams are recorded, and one that is captured may fail."""
        if self.stream == "capture" and self.failures:
            self.failed = True
            raise self.failures.pop(0)
        return torch.zeros(3)

    @contextlib.contextmanager
    def graph(self, _: Any, capture_error_mode: str = "global") -> Iterator[None]:
        self.modes.append(capture_error_mode)
        self.captures += 1
        before, self.stream = self.stream, "capture"
        try:
            yield
        finally:
            # The stream stays after a failure: __exit__ of torch.cuda.graph has no `finally`.
            self.end_capture()
        self.stream = before

    def end_capture(self) -> None:
        if self.failed:
            self.failed = False
            raise RuntimeError("operation failed due to a previous error during capture")

    @contextlib.contextmanager
    def on_stream(self, stream: str) -> Iterator[None]:
        before, self.stream = self.stream, stream
        yield
        self.stream = before


class FakeStream(str):
    def wait_stream(self, other: str) -> None:
        """Nothing to wait for."""


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    fake = FakeGpu()

    class Graph:
        def replay(self) -> None:
            fake.replays += 1

    def set_stream(stream: str) -> None:
        fake.stream = stream

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", fake.graph)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: FakeStream("side"))
    monkeypatch.setattr(torch.cuda, "stream", fake.on_stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: FakeStream(fake.stream))
    monkeypatch.setattr(torch.cuda, "set_stream", set_stream)
    return fake


@pytest.fixture
def captured(gpu: FakeGpu) -> CapturedStep:
    class Step:
        optimizer = make_optimizer(initialised(SHAPE, 0), CONFIG, torch.device("cpu"))

        def __init__(self) -> None:
            self.streams: list[str] = []

        def __call__(self, *given: torch.Tensor) -> torch.Tensor:
            self.streams.append(gpu.stream)
            return gpu.step(*given)

    step: Any = Step()
    return CapturedStep(step)


def warmed_up(
    captured: CapturedStep, inputs: tuple[torch.Tensor, torch.Tensor] = INPUTS
) -> CapturedStep:
    for _ in range(EAGER_STEPS):
        captured(*inputs)
    return captured


def test_a_step_runs_three_times_on_a_side_stream_before_it_is_captured_once(
    captured: CapturedStep, gpu: FakeGpu
) -> None:
    # PyTorch's documentation asks for three, so that kernels are loaded and workspaces allocated.
    for _ in range(EAGER_STEPS + 4):
        captured(*INPUTS)
    streams: Any = captured._step
    assert streams.streams == ["side", "side", "side", "capture"]
    assert (gpu.captures, gpu.replays) == (1, 4)


def test_a_capture_tolerates_the_thread_that_loads_the_next_batch(
    captured: CapturedStep, gpu: FakeGpu
) -> None:
    warmed_up(captured)(*INPUTS)
    assert gpu.modes == ["thread_local"]


def test_a_failed_capture_says_why_and_what_to_set(captured: CapturedStep, gpu: FakeGpu) -> None:
    gpu.failures = [RuntimeError("operation not permitted when stream is capturing")]
    with pytest.raises(EcgpipeError, match=r"not permitted when.*train\.cuda_graph=false"):
        warmed_up(captured)(*INPUTS)


@pytest.mark.parametrize("failure", [RuntimeError, torch.cuda.OutOfMemoryError])
def test_a_failed_capture_leaves_its_process_as_it_was(
    captured: CapturedStep, gpu: FakeGpu, failure: type[Exception]
) -> None:
    gpu.failures = [failure("not permitted")]
    with contextlib.suppress(EcgpipeError, RuntimeError):
        warmed_up(captured)(*INPUTS)
    assert gpu.stream == "default"
    captured(*INPUTS)  # nothing half-made is replayed: it captures anew
    assert (gpu.captures, gpu.replays) == (2, 1)


def test_a_capture_without_memory_is_told_as_such(captured: CapturedStep, gpu: FakeGpu) -> None:
    # The capture's end fails too, which must not hide that memory was short.
    gpu.failures = [torch.cuda.OutOfMemoryError("CUDA out of memory.")]
    with pytest.raises(torch.cuda.OutOfMemoryError, match="out of memory"):
        warmed_up(captured)(*INPUTS)


def missed(device: str, world: int, **settings: Any) -> str:
    return missed_capture(dataclasses.replace(CONFIG, **settings), torch.device(device), world)


def test_several_gpus_are_told_that_their_steps_are_not_captured() -> None:
    assert "not captured as a CUDA graph, since 4 processes" in missed("cuda", 4)


@pytest.mark.parametrize(
    "given",
    [("cuda", 1, {}), ("cpu", 4, {}), ("cuda", 4, {"cuda_graph": False})],
    ids=["one GPU", "processors", "not asked for"],
)
def test_nobody_else_is_told_of_a_capture(given: tuple[str, int, dict[str, Any]]) -> None:
    device, world, settings = given
    assert missed(device, world, **settings) == ""


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_after_a_capture_that_failed_another_one_succeeds() -> None:
    """On a GPU: the allocator of torch itself must also be as it was."""
    device = torch.device("cuda")
    numbers = torch.ones(8, device=device)
    optimizer = make_optimizer(initialised(SHAPE, 0), CONFIG, device)

    def with_step(work: Callable[[], torch.Tensor]) -> CapturedStep:
        class Step:
            def __call__(self, *_: torch.Tensor) -> torch.Tensor:
                return work()

        step: Any = Step()
        step.optimizer = optimizer
        return CapturedStep(step)

    inputs = torch.zeros(2, device=device), torch.zeros(2, device=device)

    def waits_for_the_device() -> torch.Tensor:
        return numbers * numbers.sum().item()

    failing, working = with_step(waits_for_the_device), with_step(lambda: numbers * 2)
    with pytest.raises(EcgpipeError, match=r"train\.cuda_graph=false"):
        warmed_up(failing, inputs)(*inputs)
    assert warmed_up(working, inputs)(*inputs).tolist() == [2.0] * 8
