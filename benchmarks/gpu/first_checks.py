"""Whether a GPU computes what a CPU does, and a captured step what a plain one does.

Owns three sections of a first lease. TF32 is off and steps are few, so what differs is ours or a
kernel's, not rounding that has grown. Where there is no CUDA the CPU takes the GPU's place, which
shows that the code runs.
"""

import copy
import itertools
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.gpu.embed_data import MINIATURE as TINY_LLAMA
from benchmarks.gpu.embed_data import build_model, realistic_lengths, texts_of, wrapped
from benchmarks.gpu.results import Results
from benchmarks.gpu.train_checks import Check, Figures, deterministic, losses, tried
from benchmarks.gpu.train_data import FULL, MINIATURE, Sizes, model_shape, training_data
from benchmarks.operation_count import preset_config
from ecgpipe.config.train import TrainConfig
from ecgpipe.embed_text import embedding
from ecgpipe.stopping import Stop
from ecgpipe.torch_device import own_device
from ecgpipe.train_ecg.data.pairing import epoch_batches
from ecgpipe.train_ecg.loop.training import set_up

_CPU = torch.device("cpu")
_ENCODERS: dict[str, dict[str, str]] = {
    "resnet18": {"encoder": "resnet1d18"},
    "vit1d": {"encoder": "vit1d"},
    "cnn1d": {"encoder": "cnn1d"},
    "attention": {"encoder": "resnet1d18", "encoder_pooling": "attention"},
    "group": {"encoder": "resnet1d18", "encoder_norm": "group"},
}
_LOSSES: dict[str, dict[str, str]] = {
    "clip": {"text": "sentence", "loss": "clip"},
    "siglip": {"text": "sentence", "loss": "siglip"},
    "all_findings": {"text": "all_findings", "loss": "siglip"},
}
_PRESETS = ("paper", "recommended")


def against_cpu(results: Results, miniature: bool) -> None:
    """One float32 step of each preset, and a language model's vectors, on GPU and CPU."""
    device = own_device()
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    sizes = replace(MINIATURE if miniature else FULL, records=64)
    for preset, encoder in itertools.product(_PRESETS, ("resnet1d18", "vit1d")):
        for check in tried(f"{preset}, {encoder}", _one_step, preset, encoder, sizes, device):
            results.check(check)
    for check in tried("language model", _language_model, device):
        results.check(check)


def _one_step(preset: str, encoder: str, sizes: Sizes, device: torch.device) -> Iterator[Check]:
    config = preset_config(preset, precision="float32", encoder=encoder, placement="memory")
    here, there = _step_figures(config, sizes, _CPU), _step_figures(config, sizes, device)
    what = f"{preset}, {encoder}: GPU to CPU,"
    inputs = float((here["inputs"] - there["inputs"]).abs().max())
    yield Check(f"{what} inputs in mV, largest difference", inputs, 1e-4)
    for name in ("loss", "gradient norm"):
        relative = abs(there[name] - here[name]) / abs(here[name])
        yield Check(f"{what} {name}, relative difference", relative, 1e-4, note=f"{here[name]:.6f}")


def _step_figures(config: TrainConfig, sizes: Sizes, device: torch.device) -> dict[str, Any]:
    data = training_data(sizes, config.text, config.global_batch_size)
    alone: Any = SimpleNamespace(device=device, num_processes=1, process_index=0)
    step, signals = set_up(config, model_shape(config, sizes), data, alone)
    places = np.arange(config.global_batch_size)
    places_B = torch.from_numpy(places).to(device)
    step.model.train()
    step.begin_epoch(3)
    inputs = step.inputs(signals.gather(places).to(device), places_B)
    result = step.forward(inputs, places_B)
    step.backward(result)
    norm = torch.nn.utils.get_total_norm(
        [p.grad for p in step.model.parameters() if p.grad is not None]
    )
    return {
        "inputs": inputs.cpu(),
        "loss": float(result.loss.detach()),
        "gradient norm": float(norm),
    }


def _language_model(device: torch.device) -> Iterator[Check]:
    model = build_model(TINY_LLAMA, _CPU).float()
    exact = _text_vectors(copy.deepcopy(model), _CPU)
    for dtype, least in ((torch.float32, 0.99999), (torch.bfloat16, 0.999)):
        found = _text_vectors(copy.deepcopy(model).to(device, dtype), device)
        lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(exact, axis=1)
        cosine = float((np.einsum("nd,nd->n", found, exact) / lengths).min())
        what = f"text vectors in {str(dtype)[6:]}: GPU to CPU in float32, smallest cosine"
        yield Check(what, cosine, least, at_least=True)


def _text_vectors(model: Any, device: torch.device) -> npt.NDArray[np.float64]:
    language_model = wrapped(model, "sdpa", device)
    print(f"attention on {device}: {language_model.attention_kernel}", flush=True)
    texts = texts_of(realistic_lengths(40), TINY_LLAMA.vocabulary, seed=2)
    found = np.full((40, TINY_LLAMA.width), np.nan)
    for batch, pending in embedding._computed(language_model, texts, 512, Stop()):
        found[batch.places] = pending.fetch()[0]
    return found


def captures(results: Results, miniature: bool) -> None:
    """Captured steps against plain ones, for every encoder, loss and preset."""
    on_gpu = own_device().type == "cuda"
    sizes = replace(MINIATURE if miniature else FULL, samples=128 if miniature else 1000)
    sizes = replace(sizes, steps_an_epoch_checked=4)
    with deterministic():
        for encoder, loss in itertools.product(_ENCODERS, _LOSSES):
            # Each preset's augmentation with every other one: it does not know the encoder.
            preset = _PRESETS[(list(_ENCODERS).index(encoder) + list(_LOSSES).index(loss)) % 2]
            settings = {**_ENCODERS[encoder], **_LOSSES[loss], "epochs": 2, "precision": "auto"}
            config = preset_config(preset, **settings)
            what = f"{encoder}, {loss}, {preset}'s augmentation"
            for check in tried(what, _captured, what, sizes, config, on_gpu):
                results.check(check)


def _captured(what: str, sizes: Sizes, config: TrainConfig, on_gpu: bool) -> Iterator[Check | str]:
    """Plain steps are taken twice: by how much they differ, rounding differs."""
    plain = losses(sizes, config)
    if not on_gpu:
        yield f"{what}: {len(plain)} plain steps taken; captured to plain: skipped, no CUDA"
        return
    again, captured = losses(sizes, config), losses(sizes, config, captured=True)
    limit = max(1e-3, 3 * _largest(plain, again))
    yield Check(
        f"{what}: captured to plain, loss of {len(plain)} steps, largest relative difference",
        _largest(plain, captured),
        limit,
        note="bit-equal" if np.array_equal(plain, captured) else "not bit-equal",
    )


def _largest(left: Figures, right: Figures) -> float:
    return float((np.abs(left[:, 0] - right[:, 0]) / np.abs(left[:, 0])).max())


def lifetimes(results: Results, miniature: bool) -> None:
    """Batches of a full-size split, used by the device without a fetch, from every placement.

    The sums are taken on the device and fetched once at the end, so memory that is used again too
    early, and an index beyond 2^31, show as wrong sums.
    """
    device = own_device()
    sizes, batch, n_batches = (MINIATURE, 8, 8) if miniature else (FULL, 64, 200)
    data = training_data(sizes, "sentence", sizes.records)
    places_nB = epoch_batches(sizes.records, batch, 0, 0)[:n_batches]
    places_nB[-1, -2:] = 0, sizes.records - 1
    wanted = np.array([data.read_signals(row).sum((1, 2), np.int64) for row in places_nB])
    for placement in ("device", "memory", "stream"):
        if placement == "device" and device.type != "cuda":
            results.check("signals resident on the device: skipped, no CUDA")
            continue
        for check in tried(placement, _summed, placement, data, places_nB, wanted, device):
            results.check(check)


def _summed(
    placement: Any, data: Any, places_nB: Any, wanted: Any, device: torch.device
) -> Iterator[Check]:
    signals = data.signals.place(placement, device)
    busy = torch.randn(2048 if device.type == "cuda" else 16, device=device)[:, None]
    sums = []
    for signal_BLS in signals.batches(places_nB):
        busy = (busy @ busy.T @ busy).tanh()  # so that the processor runs far ahead
        sums.append(signal_BLS.sum((1, 2), dtype=torch.int64))
    unequal = int((torch.stack(sums).cpu().numpy() != wanted).sum())
    what = (
        f"{len(places_nB)} batches of {len(places_nB[0])} from {placement} of {len(data.signals):,}"
    )
    yield Check(f"{what}, summed without a fetch: wrong sums", unequal, 0)
