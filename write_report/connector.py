"""From an encoder's feature map to vectors that stand in place of words before a report.

Owns the module. Only this is trained: encoder and language model are frozen. B = batch, P = tokens,
F = width of the encoder, W = width of the language model.

Source: Linear, GELU, Linear, as in LLaVA-1.5 (arXiv 2310.03744) and ELM's connector. Other kinds
are hardly better: MEIT (arXiv 2403.04945) has .529, .527 and .543 with three of them.
"""

import torch
from torch import nn
from torch.nn import functional


class Connector(nn.Module):
    """Standardises features, then Linear, GELU, Linear."""

    mean_F: torch.Tensor
    std_F: torch.Tensor

    def __init__(self, features: int, width: int) -> None:
        """Initialise with random weights.

        Args:
            features: F.
            width: W.
        """
        super().__init__()
        self.register_buffer("mean_F", torch.zeros(features))
        self.register_buffer("std_F", torch.ones(features))
        self.linear1 = nn.Linear(features, width)
        self.linear2 = nn.Linear(width, width)

    def standardise_by(self, tokens_NPF: torch.Tensor) -> None:
        """Take mean and spread from training ECGs, since encoders differ in scale."""
        flat = tokens_NPF.float().flatten(0, 1)
        self.mean_F.copy_(flat.mean(dim=0))
        self.std_F.copy_(flat.std(dim=0).clamp(min=1e-3))

    def forward(self, tokens_BPF: torch.Tensor) -> torch.Tensor:
        """(B, P, F) to (B, P, W)."""
        hidden = self.linear1((tokens_BPF - self.mean_F) / self.std_F)
        placed: torch.Tensor = self.linear2(functional.gelu(hidden))
        return placed
