"""What the convolutional encoders normalise with: the batch, or groups of channels.

Group norm looks at one recording alone, so that several processes give exactly the gradients of
one, and a recording's features in training do not depend on which others it meets.
"""

from typing import Literal

from torch import nn

Norm = Literal["batch", "group"]

_GROUPS = 32


def make_norm(norm: Norm, channels: int) -> nn.Module:
    """For images of height 1 (time_layers). Groups: 32, or fewer so that each has two channels.

    Source: Ioffe and Szegedy 2015; Wu and He 2018 (arXiv 1803.08494), whose 32 groups these are.
    """
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(min(_GROUPS, channels // 2), channels)
