"""How fast a card is, training on it is, and embedding on it is, in a few minutes.

Owns three sections of a first lease. `train.py` and `embed.py` measure the same more fully, by
whole epochs and over all placements and budgets.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from benchmarks.gpu.card import device_name, matmul_flops, wait
from benchmarks.gpu.embed import Bench, compiled_layers
from benchmarks.gpu.embed_data import FULL as LLAMA_8B
from benchmarks.gpu.embed_data import MINIATURE as TINY_LLAMA
from benchmarks.gpu.results import Results
from benchmarks.gpu.train_checks import tried
from benchmarks.gpu.train_data import FULL, MINIATURE, Sizes, model_shape, training_data
from benchmarks.operation_count import preset_config
from benchmarks.report import conditions
from ecgpipe.config.train import TrainConfig
from ecgpipe.embed_text.language_model import LanguageModel
from ecgpipe.torch_device import own_device
from ecgpipe.train_ecg.data.pairing import epoch_batches
from ecgpipe.train_ecg.loop.accelerator import make_accelerator
from ecgpipe.train_ecg.loop.step import EAGER_STEPS, step_for
from ecgpipe.train_ecg.loop.training import set_up

_RESIDENT = 8192  # records of the speed section: enough that none stays in a cache
_PAPER_RECORDS = 37_285
_WARM_UP = EAGER_STEPS + 5


def card(results: Results, miniature: bool) -> None:
    """Versions, and what the card does by itself."""
    device = own_device()
    cudnn = torch.backends.cudnn.version() if device.type == "cuda" else None
    results.add(
        "conditions",
        **conditions(cuda=str(torch.version.cuda)),
        cudnn=cudnn,
        device=device_name(device),
    )
    if device.type == "cuda":
        free, whole = torch.cuda.mem_get_info(device)
        results.add("memory", free_bytes=free, bytes=whole)
    sizes = (64, 128) if miniature else (4096, 8192, 16_384)
    results.add("bfloat16 matmul", flops_per_s=matmul_flops(sizes, device))
    n = 1 << (16 if miniature else 30)
    source, target = (
        torch.empty(n, dtype=torch.uint8),
        torch.empty(n, dtype=torch.uint8, device=device),
    )
    results.add("pageable copy", bytes_per_s=n / _seconds(lambda: target.copy_(source), device, 2))
    if device.type == "cuda":
        pinned = source.pin_memory()
        copy = _seconds(lambda: target.copy_(pinned, non_blocking=True), device, 5)
        results.add("pinned copy", bytes_per_s=n / copy)
    copy = _seconds(lambda: target.clone(), device, 5)
    results.add("copy on the device, read and written", bytes_per_s=2 * n / copy)


def _seconds(work: Callable[[], object], device: torch.device, n: int) -> float:
    """Mean seconds, after one time that is not counted."""
    work()
    wait(device)
    started = time.perf_counter()
    for _ in range(n):
        work()
    wait(device)
    return max((time.perf_counter() - started) / n, 1e-9)


def train_speed(results: Results, miniature: bool) -> None:
    """A step as training takes it: by batch, preset, cudnn.benchmark, with and without graph."""
    sizes = replace(MINIATURE if miniature else FULL, records=64 if miniature else _RESIDENT)
    n_steps = 4 if miniature else 300
    batches = (8,) if miniature else (32, 256)
    cases = itertools.product(("paper", "recommended"), batches, (True, False), (False, True))
    # The default first, then what is to be compared with it.
    for preset, batch, graph, tuned in sorted(cases, key=lambda case: (not case[2], case[3])):
        if not graph and tuned:
            continue
        torch.backends.cudnn.benchmark = tuned
        config = preset_config(preset, global_batch_size=batch, cuda_graph=graph, precision="auto")
        figures = {"preset": preset, "batch": batch, "graph": graph, "cudnn_benchmark": tuned}
        for found in tried(
            str(figures), _step_speed, config, sizes, n_steps if graph else n_steps // 5 + 1
        ):
            results.keep("training step", found if isinstance(found, str) else figures | found)
    torch.backends.cudnn.benchmark = False
    for found in tried("stem", _stem, miniature):
        results.keep("stem", found)
    for found in tried("profile", _profile, sizes, batches[0]):
        results.keep("profile", found)


def _step_speed(config: TrainConfig, sizes: Sizes, n_steps: int) -> Iterator[dict[str, Any]]:
    take = _taking(config, sizes)
    device = own_device()
    for _ in range(_WARM_UP):
        take()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = _seconds(take, device, n_steps)
    yield {
        "step_ms": 1000 * seconds,
        "epoch_s": seconds * (_PAPER_RECORDS // config.global_batch_size),
        "records_per_s": config.global_batch_size / seconds,
        "steps": n_steps,
        "peak_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
    }


def _taking(config: TrainConfig, sizes: Sizes) -> Callable[[], torch.Tensor]:
    """Steps one after the other, epoch after epoch, as training takes them."""
    data = training_data(sizes, config.text, sizes.records)
    step, signals = set_up(config, model_shape(config, sizes), data, make_accelerator())
    step.model.train()
    take = step_for(step, config)

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for epoch in itertools.count():
            step.begin_epoch(epoch)
            places_nB = epoch_batches(sizes.records, config.global_batch_size, 0, epoch)
            on_device_nB = torch.from_numpy(places_nB).to(step.device)
            yield from zip(signals.batches(places_nB), on_device_nB, strict=True)

    endless = batches()
    return lambda: take(*next(endless))


def _stem(miniature: bool) -> Iterator[dict[str, Any]]:
    """The first convolution, forward and backward, with 12 leads and with 16."""
    device, dtype = own_device(), torch.bfloat16
    batch, samples = (2, 64) if miniature else (256, 5000)
    for leads in (12, 16):
        shape = batch, leads, 1, samples
        signal = torch.randn(shape, device=device, dtype=dtype).to(
            memory_format=torch.channels_last
        )
        weight = torch.randn(64, leads, 1, 15, device=device, dtype=dtype, requires_grad=True)
        work = partial(_convolved, signal, weight)
        yield {"leads": leads, "ms": 1000 * _seconds(work, device, 10)}


def _convolved(signal: torch.Tensor, weight: torch.Tensor) -> None:
    torch.nn.functional.conv2d(signal, weight, stride=2, padding=(0, 7)).sum().backward()


def _profile(sizes: Sizes, batch: int) -> Iterator[dict[str, str]]:
    """Where ten eager steps spend the device's time."""
    config = preset_config("paper", global_batch_size=batch, cuda_graph=False, precision="auto")
    take = _taking(config, sizes)
    for _ in range(_WARM_UP):
        take()
    with torch.profiler.profile() as profiler:
        for _ in range(10):
            take()
        wait(own_device())
    by = "cuda_time_total" if own_device().type == "cuda" else "cpu_time_total"
    yield {"table": profiler.key_averages().table(sort_by=by, row_limit=30)}


def embed_speed(results: Results, miniature: bool) -> None:
    """Tokens a second of a model of Llama-3-8B's shape, at two budgets, then compiled by layer."""
    sizes = TINY_LLAMA if miniature else LLAMA_8B
    device = own_device()
    bench = Bench(replace(sizes, matrices=sizes.matrices[-2:]), device)
    model = bench.with_attention("sdpa")
    results.add(
        "model",
        own_matmul_flops=bench.own_flops,
        kernel=model.attention_kernel,
        device=bench.device_name,
    )
    n_tokens = 2_000 if miniature else 260_000
    budgets = (256, 512) if miniature else (16_384, 8_192)
    for budget in budgets:
        for found in tried(f"budget {budget}", _embedded, bench, model, budget, n_tokens):
            results.keep("embedding", found)
    if device.type == "cuda":
        with compiled_layers(bench, model):
            for found in tried("compiled", _embedded, bench, model, budgets[0], n_tokens):
                results.keep("compiled by layer", found)


def _embedded(
    bench: Bench, model: LanguageModel, budget: int, n_tokens: int
) -> Iterator[dict[str, Any]]:
    texts = bench.whole_batches(budget, n_tokens)
    yield vars(bench.speed(model, texts, budget, "all of one length"))
