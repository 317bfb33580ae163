"""ResNet1d-18 against an independent plain implementation, in NumPy, with the same weights."""

import numpy as np
import numpy.typing as npt
import torch

from ecgpipe.train_ecg.encoders.layers import as_image
from ecgpipe.train_ecg.encoders.resnet1d import ResNet1d, resnet1d18

Array = npt.NDArray[np.float64]


def conv(signal: Array, weight: Array, stride: int, padding: int) -> Array:
    """(B, C, S) by (O, C, K), written as the definition says: a sum over channels and taps."""
    padded = np.pad(signal, ((0, 0), (0, 0), (padding, padding)))
    length = (padded.shape[2] - weight.shape[2]) // stride + 1
    out = np.zeros((len(signal), len(weight), length))
    for place in range(length):
        window = padded[:, :, place * stride : place * stride + weight.shape[2]]
        out[:, :, place] = np.einsum("bck,ock->bo", window, weight)
    return out


def norm(signal: Array, weights: dict[str, Array], name: str) -> Array:
    mean, variance, scale, shift = (
        weights[f"{name}.{part}"][:, None]
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (signal - mean) / np.sqrt(variance + 1e-5) * scale + shift


def max_pool(signal: Array) -> Array:
    padded = np.pad(signal, ((0, 0), (0, 0), (1, 1)), constant_values=-np.inf)
    length = (padded.shape[2] - 3) // 2 + 1
    return np.stack([padded[:, :, 2 * p : 2 * p + 3].max(axis=2) for p in range(length)], axis=2)


def plain_resnet18(signal: Array, weights: dict[str, Array]) -> Array:
    hidden = np.maximum(norm(conv(signal, weights["stem.0.weight"], 2, 3), weights, "stem.1"), 0)
    hidden = max_pool(hidden)
    for number in range(8):
        name, stride = f"stages.{number}", 2 if number in (2, 4, 6) else 1
        inner = conv(hidden, weights[f"{name}.conv1.weight"], stride, 1)
        inner = np.maximum(norm(inner, weights, f"{name}.norm1"), 0)
        inner = norm(conv(inner, weights[f"{name}.conv2.weight"], 1, 1), weights, f"{name}.norm2")
        if f"{name}.shortcut.0.weight" in weights:
            hidden = conv(hidden, weights[f"{name}.shortcut.0.weight"], stride, 0)
            hidden = norm(hidden, weights, f"{name}.shortcut.1")
        hidden = np.maximum(inner + hidden, 0)
    return hidden.mean(axis=2)


def randomised(model: ResNet1d) -> ResNet1d:
    """With running statistics and affine parameters that are not 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if name.endswith(("running_var",)):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        elif name.endswith(("running_mean", "norm1.weight", "norm2.bias", "1.bias")):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3 + 0.5)
    return model.eval()


def test_the_output_equals_a_plain_implementation() -> None:
    model = randomised(resnet1d18(12)).double()
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    signal = np.random.default_rng(0).normal(size=(2, 12, 333))
    with torch.no_grad():
        features = model(torch.from_numpy(signal)).numpy()
    expected = plain_resnet18(signal, weights)
    assert features.shape == (2, 512)
    np.testing.assert_allclose(features, expected, rtol=1e-6, atol=1e-6)


def test_the_shape_is_the_papers() -> None:
    model = resnet1d18(12)
    assert sum(parameter.numel() for parameter in model.parameters()) == 3_848_832
    with torch.no_grad():
        hidden = model.stages(model.stem(as_image(torch.zeros(1, 12, 5000))))
    assert hidden.shape == (1, 512, 1, 157)


def test_any_length_and_number_of_leads_goes_in() -> None:
    for leads, samples in ((2, 1000), (12, 97), (12, 16)):
        assert resnet1d18(leads)(torch.zeros(2, leads, samples)).shape == (2, 512)
