"""ViT1d: a vision transformer whose patches are short segments of all leads.

Owns two decisions: positions are sinusoids, since a learned table fits one length only, and the
features are the mean over patches, so there is no class token.
B = batch, L = leads, S = samples, P = patches, C = channels.
"""

import math

import torch
from torch import nn
from torch.nn import functional


class TransformerBlock(nn.Module):
    """Self-attention, then two linear layers with GELU; each after a norm, and added to its input.

    Source: Dosovitskiy et al. 2021 (arXiv 2010.11929) equations 2 and 3.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.linear1 = nn.Linear(channels, 4 * channels)
        self.linear2 = nn.Linear(4 * channels, channels)

    def forward(self, tokens_BPC: torch.Tensor) -> torch.Tensor:
        """(B, P, C) to (B, P, C)."""
        tokens_BPC = tokens_BPC + self._attend(self.norm1(tokens_BPC))
        hidden = functional.gelu(self.linear1(self.norm2(tokens_BPC)))
        added_BPC: torch.Tensor = tokens_BPC + self.linear2(hidden)
        return added_BPC

    def _attend(self, tokens_BPC: torch.Tensor) -> torch.Tensor:
        split = self.query_key_value(tokens_BPC).unflatten(2, (3, self.heads, -1))
        query_BHPc, key_BHPc, value_BHPc = split.permute(2, 0, 3, 1, 4)
        seen_BHPc = functional.scaled_dot_product_attention(query_BHPc, key_BHPc, value_BHPc)
        seen_BPC: torch.Tensor = self.out(seen_BHPc.transpose(1, 2).flatten(2))
        return seen_BPC


class ViT1d(nn.Module):
    """Patches of `patch` samples, linear; blocks; the mean over patches; a norm.

    The last patch is padded with 0, which is what the encoders get where there is no reading.
    """

    def __init__(
        self, n_leads: int, patch: int = 50, width: int = 192, depth: int = 12, heads: int = 3
    ) -> None:
        """Initialise with random weights.

        Args:
            n_leads: L.
            patch: samples in a patch; the sequence has S / patch of them.
            width: C; even, and a multiple of `heads`.
            depth: number of blocks.
            heads: of each block's attention.
        """
        super().__init__()
        self.width = width
        self.patch = patch
        self.embed_patch = nn.Conv1d(n_leads, width, patch, patch)
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        # An ECG's standard deviation is 0.2 to 0.3 mV, a position's 0.7. So that positions do not
        # drown the ECG, patch weights start three times larger than for a signal of unit variance.
        nn.init.trunc_normal_(self.embed_patch.weight, std=3 / (n_leads * patch) ** 0.5)

    def feature_map(self, signal_BLS: torch.Tensor) -> torch.Tensor:
        """(B, L, S) to features of each patch before the mean (B, width, S / patch)."""
        return self._patches(signal_BLS).transpose(1, 2)

    def forward(self, signal_BLS: torch.Tensor) -> torch.Tensor:
        """(B, L, S) to features (B, width)."""
        features_BC: torch.Tensor = self.norm(self._patches(signal_BLS).mean(dim=1))
        return features_BC

    def _patches(self, signal_BLS: torch.Tensor) -> torch.Tensor:
        """(B, L, S) to (B, P, width), after all blocks."""
        missing = -signal_BLS.shape[2] % self.patch
        patches_BCP: torch.Tensor = self.embed_patch(functional.pad(signal_BLS, (0, missing)))
        tokens_BPC = patches_BCP.transpose(1, 2)
        place_PC = positions(tokens_BPC.shape[1], self.width, tokens_BPC.device)
        tokens_BPC = tokens_BPC + place_PC.to(tokens_BPC.dtype)
        seen_BPC: torch.Tensor = self.blocks(tokens_BPC)
        return seen_BPC


def positions(n_patches: int, width: int, device: torch.device | None = None) -> torch.Tensor:
    """(P, width) float32: sines and cosines of wavelengths from 2 pi to 20,000 pi patches.

    Source: Vaswani et al. 2017 (arXiv 1706.03762) section 3.5; sines first, then cosines.
    """
    exponent = torch.arange(width // 2, device=device) / (width // 2)
    turn_per_patch = torch.exp(-math.log(10000) * exponent)
    angle_Pc = torch.arange(n_patches, device=device)[:, None] * turn_per_patch
    return torch.cat([angle_Pc.sin(), angle_Pc.cos()], dim=1)


def vit1d_tiny(n_leads: int, *, patch: int = 50) -> ViT1d:
    """ViT-Ti's 192 channels, 12 blocks, 3 heads: 5.5 M parameters for 12 leads and patches of 50.

    Source: these are MERL's (arXiv 2403.06659) numbers, at 500 Hz: patches of 0.1 s, 100 of them in
    10 s. There the positions are learned, for that length only.
    """
    return ViT1d(n_leads, patch)
