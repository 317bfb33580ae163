"""Layers over time as images of height 1: the same numbers as in one dimension, and the layout."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
import torch
from torch import nn
from torch.nn import functional

from ecgpipe.train_ecg.encoders.build import build_encoder
from ecgpipe.train_ecg.encoders.cnn1d import cnn1d
from ecgpipe.train_ecg.encoders.layers import Convolution, as_image, max_pool, mean_over_time
from ecgpipe.train_ecg.encoders.resnet1d import resnet1d18, resnet1d50

SIGNALS = [(3, 5, 50), (1, 5, 33), (2, 1, 17), (2, 5, 1)]


def signal_of(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("name", ["resnet1d18", "cnn1d"])
@pytest.mark.parametrize("half", [False, True])
def test_kernels_and_their_gradients_lie_in_memory_as_convolutions_use_them(
    name: str, half: bool
) -> None:
    """Otherwise each step turns every one of them both ways."""
    encoder = cast(nn.Module, build_encoder(name, 12, 100, "mean", "batch", False))
    with torch.autocast("cpu", torch.bfloat16, half):
        encoder(torch.randn(4, 12, 200)).sum().backward()
    kernels = [module.weight for module in encoder.modules() if isinstance(module, Convolution)]
    assert len(kernels) > 4
    for kernel_OIK in kernels:
        assert kernel_OIK.grad is not None
        for each_OIK in (kernel_OIK, kernel_OIK.grad):
            assert each_OIK.unsqueeze(2).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", SIGNALS)
@pytest.mark.parametrize(("width", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2), (7, 2)])
def test_a_convolution_is_torchs_in_one_dimension(
    shape: tuple[int, int, int], width: int, stride: int
) -> None:
    layer = Convolution(shape[1], 4, width, stride).double()
    signal = signal_of(shape)
    found = [signal.clone().requires_grad_() for _ in range(2)]
    kernels = [layer.weight, layer.weight.detach().clone().requires_grad_()]
    images = layer(as_image(found[0])).squeeze(2)
    plain = functional.conv1d(found[1], kernels[1], stride=stride, padding=width // 2)
    torch.testing.assert_close(images, plain, rtol=1e-12, atol=1e-12)
    for result in (images, plain):
        (result**2).sum().backward()
    for left, right in (found, kernels):
        assert left.grad is not None
        assert left.grad.shape == right.shape
        torch.testing.assert_close(left.grad, right.grad, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", SIGNALS[:3])
@pytest.mark.parametrize(("width", "stride", "padding"), [(3, 2, 1), (2, 2, 0)])
def test_pooling_is_torchs_in_one_dimension(
    shape: tuple[int, int, int], width: int, stride: int, padding: int
) -> None:
    signal = signal_of(shape) - 5  # a padding of 0 would be the greatest
    pooled = max_pool(width, stride, padding)(as_image(signal)).squeeze(2)
    assert torch.equal(pooled, functional.max_pool1d(signal, width, stride, padding))
    torch.testing.assert_close(mean_over_time(as_image(signal)), signal.mean(dim=2))


@contextmanager
def watched(model: nn.Module) -> Iterator[dict[str, bool]]:
    """Whether every image that goes through a layer, and back, has its channels side by side."""
    seen: dict[str, bool] = {}

    def note(name: str, images: tuple[torch.Tensor | None, ...]) -> None:
        for image in images:
            if image is not None and image.ndim == 4:
                whole = image.is_contiguous(memory_format=torch.channels_last)
                seen[name] = seen.get(name, True) and whole

    def note_both(name: str, to_input: Any, of_output: Any) -> None:
        note(f"{name} backward", to_input)
        note(f"{name} asked", of_output)

    handles = []
    for name, layer in model.named_modules():
        if isinstance(layer, Convolution | nn.BatchNorm2d | nn.MaxPool2d):
            handles += [
                layer.register_forward_hook(
                    lambda _, given, made, name=name: note(f"{name} forward", (*given, made))
                ),
                layer.register_full_backward_hook(
                    lambda _, to_input, of_output, name=name: note_both(name, to_input, of_output)
                ),
            ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("encoder", [resnet1d18, resnet1d50, cnn1d])
def test_every_image_keeps_the_layout_forward_and_back(encoder: type, half: bool) -> None:
    """One that did not would be copied there and back, and training slower than it was before."""
    model = encoder(12)
    with watched(model) as seen:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            features = model(torch.randn(2, 12, 300).requires_grad_())
        (features.float() ** 2).mean().backward()
    layers = [m for m in model.modules() if isinstance(m, Convolution | nn.BatchNorm2d)]
    assert len(seen) >= 3 * len(layers)
    otherwise = {name for name, whole in seen.items() if not whole}
    assert otherwise <= {"layers.19 asked"}  # by the mean over time, of 18 samples


def test_the_layout_is_watched_for_real() -> None:
    model = nn.Sequential(Convolution(12, 4, 3))
    with watched(model) as seen:
        (model(torch.randn(2, 12, 1, 30).requires_grad_()) ** 2).sum().backward()
    assert not all(seen.values())


def test_weights_keep_the_names_and_shapes_of_one_dimension() -> None:
    """A model of an earlier version is one of this."""
    state = resnet1d18(12).state_dict()
    assert state["stem.0.weight"].shape == (64, 12, 7)
    assert state["stages.2.conv1.weight"].shape == (128, 64, 3)
    plain = nn.ModuleDict({"0": nn.Conv1d(12, 64, 7, bias=False), "1": nn.BatchNorm1d(64)})
    kept = {name.removeprefix("stem."): t for name, t in state.items() if name.startswith("stem.")}
    plain.load_state_dict(kept)
