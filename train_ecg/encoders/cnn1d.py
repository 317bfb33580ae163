"""A plain convolutional network: what an encoder must beat.

It has no shortcuts and few layers, and serves the encoder ablation.
B = batch, L = leads, S = samples.
"""

from collections.abc import Sequence

import torch
from torch import nn

from ecgpipe.train_ecg.encoders.layers import (
    Convolution,
    Norm,
    as_image,
    make_norm,
    max_pool,
    mean_over_time,
)


class Cnn1d(nn.Module):
    """Blocks of a 7-wide convolution, norm, ReLU and halving by max-pooling; then the mean.

    With five blocks a feature sees 218 samples, and the signal becomes 32 times shorter, so a
    recording needs at least 32 samples. 12 x 5000 becomes 256 x 156 before the mean.
    """

    def __init__(
        self, n_leads: int, widths: Sequence[int] = (32, 64, 128, 256, 256), norm: Norm = "batch"
    ) -> None:
        super().__init__()
        self.width = widths[-1]
        layers: list[nn.Module] = []
        for channels_in, channels_out in zip((n_leads, *widths), widths, strict=False):
            convolution = Convolution(channels_in, channels_out, 7)
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            layers += [convolution, make_norm(norm, channels_out), nn.ReLU(), max_pool(2, 2)]
        self.layers = nn.Sequential(*layers)

    def feature_map(self, signal_BLS: torch.Tensor) -> torch.Tensor:
        """(B, L, S) to features before the mean (B, width, S / 32)."""
        hidden_BC1S: torch.Tensor = self.layers(as_image(signal_BLS))
        return hidden_BC1S.squeeze(2)

    def forward(self, signal_BLS: torch.Tensor) -> torch.Tensor:
        """(B, L, S) to features (B, width)."""
        return mean_over_time(self.layers(as_image(signal_BLS)))


def cnn1d(n_leads: int, *, norm: Norm = "batch") -> Cnn1d:
    """Five blocks: 0.8 M parameters for 12 leads."""
    return Cnn1d(n_leads, norm=norm)
