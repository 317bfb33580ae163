"""ResNet1d-18, -34 and -50: ResNets with one-dimensional convolutions.

Source: He et al. 2016; METS (arXiv 2303.12311) section 3, whose ResNet1d-18 the paper uses.
B = batch, L = leads, S = samples, C = channels; signals are images of height 1 (layers).
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from ecgpipe.train_ecg.encoders.layers import (
    AttentionPooling,
    Convolution,
    Norm,
    as_image,
    make_norm,
    max_pool,
    mean_over_time,
)

Pooling = Literal["mean", "attention"]


class Block(nn.Module):
    """Two 3-wide convolutions with a shortcut; the first may halve the length."""

    expansion = 1

    def __init__(self, channels_in: int, width: int, stride: int, norm: Norm = "batch") -> None:
        super().__init__()
        self.conv1 = Convolution(channels_in, width, 3, stride)
        self.norm1 = make_norm(norm, width)
        self.conv2 = Convolution(width, width, 3)
        self.norm2 = make_norm(norm, width)
        self.shortcut = _shortcut(channels_in, width, stride, norm)

    def forward(self, image_BC1S: torch.Tensor) -> torch.Tensor:
        """(B, channels_in, 1, S) to (B, width, 1, ceil(S / stride))."""
        hidden_BC1S = torch.relu(self.norm1(self.conv1(image_BC1S)))
        hidden_BC1S = self.norm2(self.conv2(hidden_BC1S))
        return torch.relu(hidden_BC1S + self.shortcut(image_BC1S))


class Bottleneck(nn.Module):
    """1-wide to fewer channels, 3-wide, 1-wide to four times as many, with a shortcut.

    The 3-wide convolution halves the length, as in torchvision ("v1.5"); in the paper the first
    1-wide one does, which ignores every other sample.
    """

    expansion = 4

    def __init__(self, channels_in: int, width: int, stride: int, norm: Norm = "batch") -> None:
        super().__init__()
        channels_out = width * self.expansion
        self.conv1 = Convolution(channels_in, width, 1)
        self.norm1 = make_norm(norm, width)
        self.conv2 = Convolution(width, width, 3, stride)
        self.norm2 = make_norm(norm, width)
        self.conv3 = Convolution(width, channels_out, 1)
        self.norm3 = make_norm(norm, channels_out)
        self.shortcut = _shortcut(channels_in, channels_out, stride, norm)

    def forward(self, image_BC1S: torch.Tensor) -> torch.Tensor:
        """(B, channels_in, 1, S) to (B, 4 * width, 1, ceil(S / stride))."""
        hidden_BC1S = torch.relu(self.norm1(self.conv1(image_BC1S)))
        hidden_BC1S = torch.relu(self.norm2(self.conv2(hidden_BC1S)))
        hidden_BC1S = self.norm3(self.conv3(hidden_BC1S))
        return torch.relu(hidden_BC1S + self.shortcut(image_BC1S))


def _shortcut(channels_in: int, channels_out: int, stride: int, norm: Norm) -> nn.Module:
    if stride == 1 and channels_in == channels_out:
        return nn.Identity()
    return nn.Sequential(
        Convolution(channels_in, channels_out, 1, stride), make_norm(norm, channels_out)
    )


class ResNet1d(nn.Module):
    """Stem (7 wide, stride 2, max-pool 3 stride 2), four stages, pooling over time.

    12 x 5000 becomes 512 x 157 before pooling (2048 x 157 with bottlenecks). A recording may have
    any length of a second or more.
    """

    def __init__(
        self,
        n_leads: int,
        blocks: Sequence[int] = (2, 2, 2, 2),
        widths: Sequence[int] = (64, 128, 256, 512),
        *,
        block: type[Block] | type[Bottleneck] = Block,
        norm: Norm = "batch",
        pooling: Pooling = "mean",
    ) -> None:
        """Initialise with random weights.

        Args:
            n_leads: L.
            blocks: blocks in each stage.
            widths: channels of each stage, before a bottleneck's expansion.
            block: the kind of block.
            norm: over the batch, or over groups of channels.
            pooling: over time.
        """
        super().__init__()
        self.width = widths[-1] * block.expansion
        self.stem = nn.Sequential(
            Convolution(n_leads, widths[0], 7, 2),
            make_norm(norm, widths[0]),
            nn.ReLU(),
            max_pool(3, 2, padding=1),
        )
        stages: list[nn.Module] = []
        channels = widths[0]
        for number, (n_blocks, width) in enumerate(zip(blocks, widths, strict=True)):
            for place in range(n_blocks):
                stride = 2 if place == 0 and number > 0 else 1
                stages.append(block(channels, width, stride, norm))
                channels = width * block.expansion
        self.stages = nn.Sequential(*stages)
        for module in self.modules():
            if isinstance(module, Convolution):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.pooling = AttentionPooling(self.width) if pooling == "attention" else None

    def feature_map(self, signal_BLS: torch.Tensor) -> torch.Tensor:
        """(B, L, S) to features before pooling (B, width, S / 32)."""
        return self._stages(signal_BLS).squeeze(2)

    def _stages(self, signal_BLS: torch.Tensor) -> torch.Tensor:
        hidden_BC1S: torch.Tensor = self.stages(self.stem(as_image(signal_BLS)))
        return hidden_BC1S

    def forward(self, signal_BLS: torch.Tensor) -> torch.Tensor:
        """(B, L, S) to features (B, width)."""
        hidden_BC1S = self._stages(signal_BLS)
        if self.pooling is None:
            return mean_over_time(hidden_BC1S)
        features_BC: torch.Tensor = self.pooling(hidden_BC1S.squeeze(2))
        return features_BC


def resnet1d18(n_leads: int, *, norm: Norm = "batch", pooling: Pooling = "mean") -> ResNet1d:
    """The paper's encoder: 3.8 M parameters for 12 leads."""
    return ResNet1d(n_leads, norm=norm, pooling=pooling)


def resnet1d34(n_leads: int, *, norm: Norm = "batch", pooling: Pooling = "mean") -> ResNet1d:
    """Twice as deep: 7.2 M parameters for 12 leads."""
    return ResNet1d(n_leads, (3, 4, 6, 3), norm=norm, pooling=pooling)


def resnet1d50(n_leads: int, *, norm: Norm = "batch", pooling: Pooling = "mean") -> ResNet1d:
    """With bottlenecks and 2048 features: 16.0 M parameters for 12 leads."""
    return ResNet1d(n_leads, (3, 4, 6, 3), block=Bottleneck, norm=norm, pooling=pooling)
