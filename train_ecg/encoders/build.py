"""The ECG encoders by name.

Owns the list, and which settings apply to which encoder.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn

from ecgpipe.train_ecg.encoders.beat_intervals import WithBeatIntervals
from ecgpipe.train_ecg.encoders.cnn1d import cnn1d
from ecgpipe.train_ecg.encoders.encoder import Encoder
from ecgpipe.train_ecg.encoders.layers import Norm, keep_channels_last
from ecgpipe.train_ecg.encoders.resnet1d import resnet1d18, resnet1d34, resnet1d50
from ecgpipe.train_ecg.encoders.vit1d import vit1d_tiny

_RESNETS: dict[str, Callable[..., Any]] = {
    "resnet1d18": resnet1d18,
    "resnet1d34": resnet1d34,
    "resnet1d50": resnet1d50,
}
_PATCH_S = 0.1


def build_encoder(
    name: str, n_leads: int, rate_hz: int, pooling: str, norm: str, intervals: bool
) -> Encoder:
    """An encoder with random weights.

    Args:
        name: train.encoder.
        n_leads: L.
        rate_hz: of the signals; vit1d's patches are 0.1 s long.
        pooling: train.encoder_pooling.
        norm: train.encoder_norm.
        intervals: train.beat_intervals.

    `TrainConfig` has refused a pooling or norm that the encoder does not have.
    """
    encoder = _of_signal(name, n_leads, rate_hz, pooling, norm)
    return WithBeatIntervals(encoder, rate_hz) if intervals else encoder


def _of_signal(name: str, n_leads: int, rate_hz: int, pooling: str, norm: str) -> Encoder:
    kind: Norm = "group" if norm == "group" else "batch"
    if name == "vit1d":
        return cast(Encoder, vit1d_tiny(n_leads, patch=max(1, round(_PATCH_S * rate_hz))))
    if name == "cnn1d":
        encoder: nn.Module = cnn1d(n_leads, norm=kind)
    else:
        encoder = _RESNETS[name](n_leads, norm=kind, pooling=pooling)
    keep_channels_last(encoder)
    return cast(Encoder, encoder)


def encoder_width(name: str, n_leads: int, rate_hz: int, intervals: bool) -> int:
    """The width of an encoder's features, without its weights. Arguments as `build_encoder`."""
    with torch.device("meta"):
        return build_encoder(name, n_leads, rate_hz, "mean", "batch", intervals).width
