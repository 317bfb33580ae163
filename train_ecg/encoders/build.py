"""The ECG encoders by name.

Owns the list, and what each of the settings means to which. Every encoder takes (B, L, S) of any
length from a second on to features (B, width).
"""

from collections.abc import Callable
from typing import Any, Protocol, cast

import torch

from ecgpipe.train_ecg.encoders.cnn1d import cnn1d
from ecgpipe.train_ecg.encoders.norm import Norm
from ecgpipe.train_ecg.encoders.resnet1d import resnet1d18, resnet1d34, resnet1d50
from ecgpipe.train_ecg.encoders.vit1d import vit1d_tiny

_RESNETS: dict[str, Callable[..., Any]] = {
    "resnet1d18": resnet1d18,
    "resnet1d34": resnet1d34,
    "resnet1d50": resnet1d50,
}
_PATCH_S = 0.1


class Encoder(Protocol):
    """A module that turns ECGs into features."""

    width: int

    def __call__(self, signal_BLS: torch.Tensor) -> torch.Tensor:
        """(B, L, S) to (B, width)."""


def build_encoder(name: str, n_leads: int, rate_hz: int, pooling: str, norm: str) -> Encoder:
    """An encoder with random weights.

    Args:
        name: train.encoder.
        n_leads: L.
        rate_hz: of the signals; vit1d's patches are of 0.1 s.
        pooling: train.encoder_pooling.
        norm: train.encoder_norm.

    That an encoder has no such pooling or norm is known of the settings (`TrainConfig`).
    """
    kind: Norm = "group" if norm == "group" else "batch"
    if name in _RESNETS:
        return cast(Encoder, _RESNETS[name](n_leads, norm=kind, pooling=pooling))
    if name == "cnn1d":
        return cast(Encoder, cnn1d(n_leads, norm=kind))
    return cast(Encoder, vit1d_tiny(n_leads, patch=max(1, round(_PATCH_S * rate_hz))))
