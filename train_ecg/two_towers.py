"""Encoder, two projections and a temperature: everything that is trained, as one module.

Owns the joint embedding space, and what becomes of a text vector before its projection: a mean is
subtracted, since the vectors of a language model have a large part in common, which carries no
information; and the place of the rest on axes (`text_axes`) may say what the text may mean
(`text_meanings`), which then is all that a projection sees of it.
B = batch, L = leads, S = samples, F = width of the encoder, W = width of a text vector, K = axes,
M = meanings, T = texts of a step, D = joint width.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from ecgpipe.config.train import TrainConfig
from ecgpipe.train_ecg.data.inputs import to_model_input
from ecgpipe.train_ecg.encoders.build import build_encoder

_MAX_LOG_SCALE = math.log(100)

TEXT_MAP = ("text_mean_W", "text_axes_WK", "meaning_weights_MK", "meaning_added_M")
"""What becomes of a text vector before its projection: buffers of `TwoTowers`, of which it has
those that its shape asks for."""


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """What it takes to build the module and to give it the right input."""

    encoder: str
    n_leads: int
    samples: int
    rate_hz: int
    normalisation: str
    text_width: int
    projection_dim: int
    temperature: float
    learn_temperature: bool
    encoder_pooling: str = "mean"
    encoder_norm: str = "batch"
    beat_intervals: bool = False
    pair_bias: bool = False
    """Whether a pair's logit has a bias, as in SigLIP."""

    text_axes: int = 0
    """K; 0: text vectors are centred, and stay as wide as they are."""

    text_meanings: int = 0
    """M, the texts that training names, each of which another may mean; 0 without axes, and until
    these texts are known."""

    @classmethod
    def of(
        cls, config: TrainConfig, n_leads: int, samples: int, rate_hz: int, text_width: int
    ) -> "ModelShape":
        """The shape that these settings give, for these signals and text vectors, but for the
        meanings, which the texts of the training decide."""
        return cls(
            encoder=config.encoder,
            n_leads=n_leads,
            samples=samples,
            rate_hz=rate_hz,
            normalisation=config.normalisation,
            text_width=text_width,
            projection_dim=config.projection_dim,
            temperature=config.temperature,
            learn_temperature=config.learn_temperature,
            encoder_pooling=config.encoder_pooling,
            encoder_norm=config.encoder_norm,
            beat_intervals=config.beat_intervals,
            pair_bias=config.loss == "siglip",
            text_axes=config.text_axes,
        )


class TowerOutputs(NamedTuple):
    """The outputs of both towers for a step."""

    ecg_BD: torch.Tensor
    """Unit vectors of the ECGs."""

    text_TD: torch.Tensor
    """Unit vectors of the step's texts."""

    scale: torch.Tensor
    """1/temperature."""

    bias: torch.Tensor
    """Added to a pair's logit; 0 if the model has none."""


class TwoTowers(nn.Module):
    """An ECG tower and a text tower whose outputs are unit vectors of one space."""

    text_mean_W: torch.Tensor
    text_axes_WK: torch.Tensor
    meaning_weights_MK: torch.Tensor
    meaning_added_M: torch.Tensor

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = build_encoder(
            shape.encoder,
            shape.n_leads,
            shape.rate_hz,
            shape.encoder_pooling,
            shape.encoder_norm,
            shape.beat_intervals,
        )
        self.ecg_projection = nn.Linear(self.encoder.width, shape.projection_dim)
        text_features = shape.text_meanings or shape.text_axes or shape.text_width
        self.text_projection = nn.Linear(text_features, shape.projection_dim)
        log_scale = torch.tensor(-math.log(shape.temperature))
        self.log_scale = nn.Parameter(log_scale, requires_grad=shape.learn_temperature)
        if shape.pair_bias:
            self.bias = nn.Parameter(torch.zeros(()))
        self.register_buffer("text_mean_W", torch.zeros(shape.text_width))
        if shape.text_axes:
            axes_WK = torch.zeros(shape.text_width, shape.text_axes)
            self.register_buffer("text_axes_WK", axes_WK)
        if shape.text_meanings:
            weights_MK = torch.zeros(shape.text_meanings, shape.text_axes)
            self.register_buffer("meaning_weights_MK", weights_MK)
            self.register_buffer("meaning_added_M", torch.zeros(shape.text_meanings))

    def forward(self, input_BLS: torch.Tensor, text_TW: torch.Tensor) -> TowerOutputs:
        """Encode both sides of a step.

        Args:
            input_BLS: float ECGs, normalised as `shape.normalisation` says.
            text_TW: vectors of the language model.
        """
        bias = self.bias if self.shape.pair_bias else torch.zeros_like(self.log_scale)
        ecg_BD = self._unit(self.ecg_projection(self.encoder(input_BLS)))
        return TowerOutputs(ecg_BD, self.encode_text(text_TW), self.log_scale.exp(), bias)

    def encode_ecg(self, signal_BLS: torch.Tensor) -> torch.Tensor:
        """int16 µV as stored (B, L, S) to unit vectors (B, D)."""
        return self.project_ecg(self.ecg_features(signal_BLS))

    def ecg_features(self, signal_BLS: torch.Tensor) -> torch.Tensor:
        """int16 µV as stored (B, L, S) to the encoder's features (B, F), before the projection."""
        features_BF: torch.Tensor = self.encoder(
            to_model_input(signal_BLS, self.shape.normalisation, self.dtype)
        )
        return features_BF

    def ecg_feature_map(self, signal_BLS: torch.Tensor) -> torch.Tensor:
        """int16 µV as stored (B, L, S) to the encoder's features before pooling, (B, F, places)."""
        return self.encoder.feature_map(
            to_model_input(signal_BLS, self.shape.normalisation, self.dtype)
        )

    def project_ecg(self, features_BF: torch.Tensor) -> torch.Tensor:
        """The encoder's features (B, F) to unit vectors (B, D)."""
        return self._unit(self.ecg_projection(features_BF))

    def encode_text(self, text_BW: torch.Tensor) -> torch.Tensor:
        """Vectors of the language model (B, W) to unit vectors (B, D)."""
        features_BX = self.place_texts(text_BW)
        if self.shape.text_meanings:
            features_BX = self._meanings(features_BX)
        return self._unit(self.text_projection(features_BX))

    def _meanings(self, placed_BK: torch.Tensor) -> torch.Tensor:
        """(B, M) the chances that a text of these coordinates words each text of the training, as
        long as coordinates are: so each has a place of its own in the joint space, which is soon
        learnt, and a wording that may mean several lies between them. Its coordinates themselves
        are not learnt from: what they add is soon learnt by heart."""
        # Not in bfloat16, as the coordinates.
        with torch.autocast(placed_BK.device.type, enabled=False):
            logits_BM = placed_BK @ self.meaning_weights_MK.T + self.meaning_added_M
            return math.sqrt(self.shape.text_axes) * logits_BM.softmax(dim=1)

    @torch.no_grad()
    def take_text_map(self, other: "TwoTowers") -> None:
        """Copy all buffers of the text side, which come from data and not from training, of a model
        of the same shape."""
        for name in TEXT_MAP:
            if hasattr(self, name):
                getattr(self, name).copy_(getattr(other, name))

    def place_texts(self, text_BW: torch.Tensor) -> torch.Tensor:
        """Vectors of the language model (B, W), centred, and on the axes (B, K) if there are any:
        where texts lie for this model before anything that it learnt."""
        centred_BW = text_BW - self.text_mean_W
        if not self.shape.text_axes:
            return centred_BW
        # Not in bfloat16, even under autocast: what tells two findings apart may be a thousandth
        # of the length.
        with torch.autocast(text_BW.device.type, enabled=False):
            return centred_BW @ self.text_axes_WK

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights: float32, whatever torch's default has become since they were made."""
        return self.log_scale.dtype

    def _unit(self, vectors_BD: torch.Tensor) -> torch.Tensor:
        # Not in bfloat16, even under autocast: it cannot tell cosines near 1 apart.
        return functional.normalize(vectors_BD.to(self.dtype), dim=1)

    @torch.no_grad()
    def clamp_temperature(self) -> None:
        """Keep the scale between 1 and 100, as CLIP does: training is unstable beyond."""
        self.log_scale.clamp_(0, _MAX_LOG_SCALE)


def initialised(shape: ModelShape, seed: int) -> TwoTowers:
    """A model with the random weights of `seed`, the same on every machine's CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # leaves GPU generators alone
        return TwoTowers(shape)
