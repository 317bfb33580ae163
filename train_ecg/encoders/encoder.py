"""What every encoder is: a module that turns (B, L, S), of any length of a second or more, into
features (B, width)."""

from typing import Protocol

import torch


class Encoder(Protocol):
    """A module that turns ECGs into features."""

    width: int

    def __call__(self, signal_BLS: torch.Tensor) -> torch.Tensor:
        """(B, L, S) to (B, width)."""

    def feature_map(self, signal_BLS: torch.Tensor) -> torch.Tensor:
        """(B, L, S) to what is pooled over time, (B, width, places)."""
