"""ResNet1d-18: ResNet-18 with its two-dimensional convolutions made one-dimensional.

Source: He et al. 2016; METS (arXiv 2303.12311) section 3, whose encoder the paper takes over.
B = batch, L = leads, S = samples, C = channels.
"""

from collections.abc import Sequence

import torch
from torch import nn


class Block(nn.Module):
    """Two 3-wide convolutions with a shortcut; the first may halve the length."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm1d(channels_out)
        self.conv2 = nn.Conv1d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm1d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv1d(channels_in, channels_out, 1, stride, bias=False),
                nn.BatchNorm1d(channels_out),
            )

    def forward(self, signal_BCS: torch.Tensor) -> torch.Tensor:
        """(B, channels_in, S) to (B, channels_out, ceil(S / stride))."""
        hidden_BCS = torch.relu(self.norm1(self.conv1(signal_BCS)))
        hidden_BCS = self.norm2(self.conv2(hidden_BCS))
        return torch.relu(hidden_BCS + self.shortcut(signal_BCS))


class ResNet1d(nn.Module):
    """Stem (7 wide, stride 2, max-pool 3 stride 2), four stages, mean over time.

    12 x 5000 becomes 512 x 157 before the mean.
    """

    def __init__(
        self,
        n_leads: int,
        blocks: Sequence[int] = (2, 2, 2, 2),
        widths: Sequence[int] = (64, 128, 256, 512),
    ) -> None:
        super().__init__()
        self.width = widths[-1]
        self.stem = nn.Sequential(
            nn.Conv1d(n_leads, widths[0], 7, 2, padding=3, bias=False),
            nn.BatchNorm1d(widths[0]),
            nn.ReLU(),
            nn.MaxPool1d(3, 2, padding=1),
        )
        stages: list[nn.Module] = []
        channels = widths[0]
        for number, (n_blocks, width) in enumerate(zip(blocks, widths, strict=True)):
            stride = 1 if number == 0 else 2
            stages += [Block(channels, width, stride)]
            stages += [Block(width, width, 1) for _ in range(n_blocks - 1)]
            channels = width
        self.stages = nn.Sequential(*stages)
        for module in self.modules():
            if isinstance(module, nn.Conv1d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, signal_BLS: torch.Tensor) -> torch.Tensor:
        """(B, L, S) to features (B, width)."""
        features_BC: torch.Tensor = self.stages(self.stem(signal_BLS)).mean(dim=2)
        return features_BC


def resnet1d18(n_leads: int) -> ResNet1d:
    """The paper's encoder: 3.8 M parameters for 12 leads."""
    return ResNet1d(n_leads)
