"""Pooling over time by attention: the encoder learns where to look.

Owns one decision: there are no positions, so that any length goes in, and a beat counts the same
wherever it falls in the recording. B = batch, C = channels, S' = places in time.
"""

import torch
from torch import nn
from torch.nn import functional


class AttentionPooling(nn.Module):
    """One learned query asks all places, in several heads.

    Source: CLIP's attention pooling (arXiv 2103.00020 section 2.4), in one dimension. There the
    query is the mean of all places and each place has a learned position.
    """

    def __init__(self, channels: int, heads: int = 8) -> None:
        super().__init__()
        self.heads = heads
        self.query_C = nn.Parameter(torch.randn(channels) / channels**0.5)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, features_BCS: torch.Tensor) -> torch.Tensor:
        """(B, C, S') to (B, C)."""
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
        """(B, S', C) to (B, heads, S', C / heads)."""
        return places_BSC.reshape(*places_BSC.shape[:2], self.heads, -1).transpose(1, 2)
