"""Encoder, two projections and a temperature: everything that is trained, as one module.

Owns the shape of the joint space, and the mean by which text vectors are centred: vectors of one
language model share a large common part, which says nothing.
B = batch, L = leads, S = samples, W = width of a text vector, D = joint width.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from ecgpipe.train_ecg.inputs import to_model_input
from ecgpipe.train_ecg.resnet1d import ResNet1d, resnet1d18

ENCODERS: dict[str, Callable[[int], ResNet1d]] = {"resnet1d18": resnet1d18}

_MAX_LOG_SCALE = math.log(100)


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """What must be known to build the module, and to feed it rightly."""

    encoder: str
    n_leads: int
    samples: int
    rate_hz: int
    normalisation: str
    text_width: int
    projection_dim: int
    temperature: float
    learn_temperature: bool


class TwoTowers(nn.Module):
    """An ECG side and a text side that meet on the unit sphere."""

    text_mean_W: torch.Tensor

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = ENCODERS[shape.encoder](shape.n_leads)
        self.ecg_projection = nn.Linear(self.encoder.width, shape.projection_dim)
        self.text_projection = nn.Linear(shape.text_width, shape.projection_dim)
        log_scale = torch.tensor(-math.log(shape.temperature))
        self.log_scale = nn.Parameter(log_scale, requires_grad=shape.learn_temperature)
        self.register_buffer("text_mean_W", torch.zeros(shape.text_width))

    def forward(
        self, signal_BLS: torch.Tensor, text_BW: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Both sides of a batch, (B, D) each of unit length, and the scale 1/temperature."""
        return self.encode_ecg(signal_BLS), self.encode_text(text_BW), self.log_scale.exp()

    def encode_ecg(self, signal_BLS: torch.Tensor) -> torch.Tensor:
        """int16 µV as stored (B, L, S) to unit vectors (B, D)."""
        input_BLS = to_model_input(signal_BLS, self.shape.normalisation)
        return functional.normalize(self.ecg_projection(self.encoder(input_BLS)), dim=1)

    def encode_text(self, text_BW: torch.Tensor) -> torch.Tensor:
        """Vectors of the language model (B, W) to unit vectors (B, D)."""
        return functional.normalize(self.text_projection(text_BW - self.text_mean_W), dim=1)

    @torch.no_grad()
    def clamp_temperature(self) -> None:
        """Keep the scale in 1 to 100, as CLIP does: beyond, training is unstable."""
        self.log_scale.clamp_(0, _MAX_LOG_SCALE)


def initialised(shape: ModelShape, seed: int) -> TwoTowers:
    """A model with the random weights of `seed`, the same on every machine's CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TwoTowers(shape)
