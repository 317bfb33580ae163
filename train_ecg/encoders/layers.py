"""What the convolutional encoders are made of: convolution, pooling over time, norms.

Owns the memory layout: a signal is an image of height 1 whose channels are contiguous
(channels-last). On a CPU that makes ResNet1d-18 1.1 times as fast in float32 as one-dimensional
convolutions, and 1.2 to 1.4 times in bfloat16 (docs/lab-log.md); on GPUs bfloat16 convolutions and
batch norm have kernels for it. Weights keep one-dimensional shapes, and are contiguous in files, so
readers of a model need not know. B = batch, C = channels, O and I = channels out and in, K = kernel
width, S = samples or places in time; 1 = the height.
"""

from typing import Literal

import torch
from torch import nn
from torch.nn import functional

Norm = Literal["batch", "group"]

_GROUPS = 32


class Convolution(nn.Conv1d):
    """`nn.Conv1d` without bias for images of height 1, padded to keep the length at stride 1."""

    def __init__(self, channels_in: int, channels_out: int, width: int, stride: int = 1) -> None:
        padding = width // 2
        super().__init__(channels_in, channels_out, width, stride, padding=padding, bias=False)

    def forward(self, image_BC1S: torch.Tensor) -> torch.Tensor:
        """(B, channels_in, 1, S) to (B, channels_out, 1, ceil(S / stride))."""
        kernel_OI1K, step, padding = self.weight.unsqueeze(2), self.stride[0], int(self.padding[0])
        return functional.conv2d(image_BC1S, kernel_OI1K, None, (1, step), (0, padding))


@torch.no_grad()
def keep_channels_last(encoder: nn.Module) -> None:
    """Lay the weights of all convolutions out as they are used: (O, I, K) with I contiguous.

    Otherwise every step permutes each weight on its way in and each gradient on its way out. Called
    once the weights have their first values, since random numbers are filled in in memory order.
    """
    for module in encoder.modules():
        if isinstance(module, Convolution):
            weight_OIK = module.weight
            weight_OIK.data = weight_OIK.transpose(1, 2).contiguous().transpose(1, 2)


def as_image(signal_BCS: torch.Tensor) -> torch.Tensor:
    """(B, C, S) to (B, C, 1, S), channels-last in memory."""
    return signal_BCS.unsqueeze(2).to(memory_format=torch.channels_last)


def make_norm(norm: Norm, channels: int) -> nn.Module:
    """Batch norm, or group norm in 32 groups, or fewer so that each has two channels.

    Group norm sees one recording at a time, so several processes compute exactly the gradients of
    one, and a recording's features in training do not depend on the rest of its batch.

    Source: Ioffe and Szegedy 2015; Wu and He 2018 (arXiv 1803.08494), whose 32 groups these are.
    """
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(min(_GROUPS, channels // 2), channels)


def max_pool(width: int, stride: int, padding: int = 0) -> nn.MaxPool2d:
    """The maximum of `width` samples, for images of height 1."""
    return nn.MaxPool2d((1, width), (1, stride), (0, padding))


def mean_over_time(image_BC1S: torch.Tensor) -> torch.Tensor:
    """(B, C, 1, S) to (B, C)."""
    return image_BC1S.mean(dim=(2, 3))


class AttentionPooling(nn.Module):
    """Pooling over time by one learned query that attends to all places, with several heads.

    Source: CLIP's attention pooling (arXiv 2103.00020 section 2.4), in one dimension. There the
    query is the mean of all places and each place has a learned position; without positions any
    length fits, and a beat counts the same wherever it falls.
    """

    def __init__(self, channels: int, heads: int = 8) -> None:
        super().__init__()
        self.heads = heads
        self.query_C = nn.Parameter(torch.randn(channels) / channels**0.5)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, features_BCS: torch.Tensor) -> torch.Tensor:
        """(B, C, S) to (B, C)."""
        places_BSC = features_BCS.transpose(1, 2)
        query_1HSc = self.query_C.view(1, self.heads, 1, -1)
        pooled_BHSc = functional.scaled_dot_product_attention(
            query_1HSc.expand(len(places_BSC), -1, -1, -1),
            self._split(self.key(places_BSC)),
            self._split(self.value(places_BSC)),
        )
        pooled_BC: torch.Tensor = self.out(pooled_BHSc.flatten(1))
        return pooled_BC

    def _split(self, places_BSC: torch.Tensor) -> torch.Tensor:
        """(B, S, C) to (B, heads, S, C / heads)."""
        return places_BSC.reshape(*places_BSC.shape[:2], self.heads, -1).transpose(1, 2)
