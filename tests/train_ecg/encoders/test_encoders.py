"""The encoders: each against another implementation, and its size against a sum done by hand."""

from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar, get_args

import numpy as np
import pytest
import torch
from torch import nn
from transformers import ResNetConfig, ResNetModel

from ecgpipe.config.train import EncoderName
from ecgpipe.train_ecg.encoders.build import build_encoder, encoder_width
from ecgpipe.train_ecg.encoders.cnn1d import Cnn1d, cnn1d
from ecgpipe.train_ecg.encoders.layers import AttentionPooling, as_image, make_norm
from ecgpipe.train_ecg.encoders.resnet1d import ResNet1d, resnet1d18, resnet1d34, resnet1d50
from ecgpipe.train_ecg.encoders.vit1d import TransformerBlock, ViT1d, positions, vit1d_tiny

AnyModule = TypeVar("AnyModule", bound=nn.Module)

FACTORIES: list[Callable[..., nn.Module]] = [
    resnet1d18,
    resnet1d34,
    resnet1d50,
    cnn1d,
    vit1d_tiny,
]


def n_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def randomised(model: AnyModule) -> AnyModule:
    """In double precision, with no scale, shift or running statistic at its first value."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.ndim == 1:
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            if name.endswith(("bias", "running_mean")):
                tensor.sub_(1)
    return model.double().eval()


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize(("leads", "samples"), [(1, 100), (2, 333), (12, 1000)])
def test_any_length_and_number_of_leads_goes_in(
    factory: Callable[[int], nn.Module], leads: int, samples: int
) -> None:
    encoder = factory(leads)
    signal = torch.randn(2, leads, samples, generator=torch.Generator().manual_seed(0))
    features = encoder(signal)
    assert features.shape == (2, encoder.width)
    features.square().mean().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert not torch.equal(features[0], features[1])


# The oracle: transformers' two-dimensional ResNet on images one pixel high. Of a square kernel only
# the middle row then meets the signal.


def as_an_image_network(model: ResNet1d, n_leads: int, layer_type: str) -> ResNetModel:
    expansion = 4 if layer_type == "bottleneck" else 1
    config = ResNetConfig(
        num_channels=n_leads,
        hidden_sizes=[width * expansion for width in (64, 128, 256, 512)],
        depths=[3, 4, 6, 3],
        layer_type=layer_type,
    )
    oracle = ResNetModel(config).double().eval()
    ours = model.state_dict()
    theirs = oracle.state_dict()
    names = our_names([3, 4, 6, 3], layers=3 if layer_type == "bottleneck" else 2)
    for name, tensor in theirs.items():
        module, part = name.rsplit(".", 1)
        if part == "num_batches_tracked":
            continue
        own = ours.pop(f"{names[module]}.{part}")
        if tensor.ndim == 4:
            tensor.zero_()[:, :, tensor.shape[2] // 2] = own
        else:
            tensor.copy_(own)
    assert all(name.endswith("num_batches_tracked") for name in ours), "a weight has no counterpart"
    return oracle


def our_names(depths: list[int], layers: int) -> dict[str, str]:
    """transformers' module -> ours."""
    parts = (("convolution", "conv", "0"), ("normalization", "norm", "1"))
    names = {f"embedder.embedder.{theirs}": f"stem.{place}" for theirs, _, place in parts}
    number = 0
    for stage, depth in enumerate(depths):
        for block in range(depth):
            there = f"encoder.stages.{stage}.layers.{block}"
            for theirs, ours, place in parts:
                names[f"{there}.shortcut.{theirs}"] = f"stages.{number}.shortcut.{place}"
                for layer in range(layers):
                    own = f"stages.{number}.{ours}{layer + 1}"
                    names[f"{there}.layer.{layer}.{theirs}"] = own
            number += 1
    return names


@pytest.mark.parametrize(
    ("factory", "layer_type"), [(resnet1d34, "basic"), (resnet1d50, "bottleneck")]
)
def test_a_resnet_equals_transformers_on_images_one_pixel_high(
    factory: Callable[[int], ResNet1d], layer_type: str
) -> None:
    model = randomised(factory(3))
    oracle = as_an_image_network(model, 3, layer_type)
    signal = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 333)))
    with torch.no_grad():
        expected = oracle(signal[:, :, None]).last_hidden_state.mean(dim=(2, 3))
        features = model(signal)
    assert features.abs().max() > 0.01
    torch.testing.assert_close(features, expected, rtol=1e-9, atol=1e-9)


def basic_block(channels_in: int, width: int) -> int:
    """Two 3-wide convolutions with a norm each; a shortcut where the width changes."""
    inner = 3 * channels_in * width + 3 * width * width + 2 * 2 * width
    return inner + (channels_in * width + 2 * width if channels_in != width else 0)


def bottleneck(channels_in: int, width: int) -> int:
    inner = channels_in * width + 3 * width * width + width * 4 * width + 2 * (2 + 4) * width
    return inner + (channels_in * 4 * width + 8 * width if channels_in != 4 * width else 0)


def test_parameters_are_counted_by_hand() -> None:
    stem = 7 * 12 * 64 + 2 * 64
    stages34 = (
        3 * basic_block(64, 64)
        + basic_block(64, 128) + 3 * basic_block(128, 128)
        + basic_block(128, 256) + 5 * basic_block(256, 256)
        + basic_block(256, 512) + 2 * basic_block(512, 512)
    )  # fmt: skip
    assert n_parameters(resnet1d34(12)) == stem + stages34 == 7_223_168
    stages50 = (
        bottleneck(64, 64) + 2 * bottleneck(256, 64)
        + bottleneck(256, 128) + 3 * bottleneck(512, 128)
        + bottleneck(512, 256) + 5 * bottleneck(1024, 256)
        + bottleneck(1024, 512) + 2 * bottleneck(2048, 512)
    )  # fmt: skip
    assert n_parameters(resnet1d50(12)) == stem + stages50 == 15_959_168
    widths = [12, 32, 64, 128, 256, 256]
    plain = sum(7 * a * b + 2 * b for a, b in pairwise(widths))
    assert n_parameters(cnn1d(12)) == plain == 763_968
    # Twelve blocks: attention, two linear layers of four times the width, two norms.
    block = 4 * 192 * 192 + 4 * 192 + 8 * 192 * 192 + 5 * 192 + 4 * 192
    assert n_parameters(vit1d_tiny(12)) == 12 * 50 * 192 + 192 + 12 * block + 2 * 192 == 5_454_144


def test_resnet_18_is_built_as_ever() -> None:
    # Figures taken before there were a 34 and a 50: the same names, and the same weights of a seed.
    torch.manual_seed(0)
    model = resnet1d18(12)
    names = list(model.state_dict())
    assert len(names) == 120
    assert names[:2] == ["stem.0.weight", "stem.1.weight"]
    assert names[-2:] == ["stages.7.norm2.running_var", "stages.7.norm2.num_batches_tracked"]
    signal = torch.linspace(-1, 1, 12 * 1000).reshape(1, 12, 1000)
    with torch.no_grad():
        total = model.eval()(signal).double().sum().item()
    assert total == pytest.approx(516.3173309540143, rel=1e-5)


def test_a_position_in_time_does_not_matter_to_attention_pooling() -> None:
    torch.manual_seed(0)
    pool = AttentionPooling(16, heads=4)
    features = torch.randn(2, 16, 9)
    moved = features[:, :, torch.randperm(9)]
    torch.testing.assert_close(pool(features), pool(moved))
    assert not torch.allclose(pool(features), pool(features[:, :, :5]))


def test_attention_pooling_equals_torchs_attention() -> None:
    torch.manual_seed(0)
    pool = AttentionPooling(16, heads=4).double()
    oracle = nn.MultiheadAttention(16, 4, batch_first=True).double()
    identity, zero = torch.eye(16), torch.zeros(16)
    with torch.no_grad():
        # Ours asks with the learned query itself, not with a projection of it.
        oracle.in_proj_weight.copy_(torch.cat([identity, pool.key.weight, pool.value.weight]))
        oracle.in_proj_bias.copy_(torch.cat([zero, pool.key.bias, pool.value.bias]))
        oracle.out_proj.load_state_dict(pool.out.state_dict())
    features = torch.randn(3, 16, 11, dtype=torch.float64)
    places = features.transpose(1, 2)
    expected, _ = oracle(pool.query_C.expand(3, 1, 16), places, places)
    torch.testing.assert_close(pool(features), expected[:, 0])


def test_attention_pooling_of_equal_places_is_the_place() -> None:
    torch.manual_seed(0)
    pool = AttentionPooling(8, heads=2)
    place = torch.randn(1, 8, 1)
    torch.testing.assert_close(pool(place.expand(1, 8, 40)), pool.out(pool.value(place[:, :, 0])))


@pytest.mark.parametrize("factory", [resnet1d18, resnet1d34, resnet1d50])
def test_a_resnet_can_pool_by_attention(factory: Callable[..., ResNet1d]) -> None:
    model = factory(2, pooling="attention")
    width = model.width
    assert n_parameters(model) - n_parameters(factory(2)) == 3 * (width * width + width) + width
    assert model(torch.randn(2, 2, 200)).shape == (2, width)


@pytest.mark.parametrize("factory", [resnet1d18, resnet1d50, cnn1d])
def test_with_group_norm_a_recording_does_not_see_the_others_of_its_batch(
    factory: Callable[..., nn.Module],
) -> None:
    torch.manual_seed(0)
    signal = torch.randn(4, 2, 300, dtype=torch.float64)
    for norm, alike in (("group", True), ("batch", False)):
        model = factory(2, norm=norm).double().train()
        assert torch.allclose(model(signal)[:2], model(signal[:2]), atol=1e-10) is alike
        assert n_parameters(model) == n_parameters(factory(2))


def test_group_norm_worked_by_hand() -> None:
    norm = make_norm("group", 64)
    signal = torch.randn(2, 64, 50, generator=torch.Generator().manual_seed(0))
    pair = signal[1, 6:8]
    expected = (pair - pair.mean()) / (pair.var(correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(norm(signal)[1, 6:8], expected)


def test_a_transformer_block_equals_torchs() -> None:
    torch.manual_seed(0)
    block = TransformerBlock(24, 3).double()
    oracle = nn.TransformerEncoderLayer(
        24, 3, 96, dropout=0, activation="gelu", batch_first=True, norm_first=True
    ).double()
    theirs = {"query_key_value.": "self_attn.in_proj_", "out.": "self_attn.out_proj."}
    state = randomised(block).state_dict()
    for name in list(state):
        for ours, other in theirs.items():
            if name.startswith(ours):
                state[other + name.removeprefix(ours)] = state.pop(name)
    oracle.load_state_dict(state)
    tokens = torch.randn(2, 7, 24, dtype=torch.float64)
    torch.testing.assert_close(block(tokens), oracle.train()(tokens))


def test_positions_worked_by_hand() -> None:
    found = positions(3, 4)
    expected = [
        [0, 0, 1, 1],
        [np.sin(1), np.sin(1 / 100), np.cos(1), np.cos(1 / 100)],
        [np.sin(2), np.sin(2 / 100), np.cos(2), np.cos(2 / 100)],
    ]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    torch.testing.assert_close(positions(500, 192)[:100], positions(100, 192))


def test_at_first_a_patch_of_an_ecg_is_as_large_as_its_position() -> None:
    torch.manual_seed(0)
    signal_mv = 0.25 * torch.randn(4, 12, 5000)
    with torch.no_grad():
        size = vit1d_tiny(12).embed_patch(signal_mv).std().item()
    place = positions(100, 192).square().mean().sqrt().item()
    assert place == pytest.approx(0.5**0.5)
    assert size == pytest.approx(place, rel=0.3)


def test_a_transformer_reads_patches_and_the_order_of_time() -> None:
    torch.manual_seed(0)
    model = ViT1d(2, patch=25, width=24, depth=2, heads=3).double()
    signal = torch.randn(1, 2, 100, dtype=torch.float64)
    swapped = torch.cat([signal[:, :, 50:], signal[:, :, :50]], dim=2)
    assert not torch.allclose(model(signal), model(swapped), atol=1e-6)
    # Not filled up, and filled up with what stands for no reading, are the same.
    padded = nn.functional.pad(signal[:, :, :90], (0, 10))
    torch.testing.assert_close(model(signal[:, :, :90]), model(padded))


def test_the_plain_network_halves_with_every_block() -> None:
    model = Cnn1d(12)
    with torch.no_grad():
        assert model.layers(as_image(torch.zeros(1, 12, 5000))).shape == (1, 256, 1, 156)
    # A feature sees 1 + 7 (1 + 2 + 4 + 8 + 16) = 218 samples: all of them, and no others.
    weights = [layer.weight for layer in model.layers if isinstance(layer, nn.Conv1d)]
    reach = torch.ones(1, 1, 1)
    for weight in reversed(weights):
        reach = nn.functional.conv_transpose1d(reach, torch.ones(1, 1, 2), stride=2)
        reach = nn.functional.conv_transpose1d(reach, torch.ones(1, 1, weight.shape[2]))
    assert reach.shape[2] == 218
    signal = torch.randn(1, 12, 1000, requires_grad=True)
    model.eval().layers(as_image(signal))[0, :, 0, 15].sum().backward()
    assert signal.grad is not None
    reached = signal.grad[0].abs().sum(dim=0).nonzero()
    assert 150 < int(reached.max() - reached.min()) + 1 <= 218


@pytest.mark.parametrize("intervals", [False, True])
@pytest.mark.parametrize("name", get_args(EncoderName))
def test_a_width_is_known_without_weights(name: str, intervals: bool) -> None:
    built = build_encoder(name, 12, 500, "mean", "batch", intervals)
    assert encoder_width(name, 12, 500, intervals) == built.width
