"""From the hidden states of a batch to one vector per text.

Owns which tokens and layers a text's vector is taken from. Rows are padded on the right.

R = rows of a batch, T = tokens of the padded length, W = width of the model, J = of a joined
vector.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch.nn import functional


def joined_layers(n_layers: int) -> list[int]:
    """The hidden layers that a joined vector is taken from: the embeddings, one after each quarter
    of the depth, and so the last; fewer in a model of less than four layers."""
    return sorted({round(n_layers * quarter / 4) for quarter in range(5)})


def join(states: Sequence[torch.Tensor], lengths_R: torch.Tensor) -> torch.Tensor:
    """Several readings of each text side by side (R, J), float32: for each layer the mean of the
    tokens, then for each but the first the last token. The embedding of the last token says nothing
    of a text: it is how every prompt ends. Each part has length 1, since layers differ in scale.

    Args:
        states: hidden states (R, T, W) of the `joined_layers`.
        lengths_R: tokens of each text.
    """
    parts = [pool(hidden_RTW, lengths_R, "mean") for hidden_RTW in states]
    parts += [pool(hidden_RTW, lengths_R, "last_token") for hidden_RTW in states[1:]]
    return torch.cat([functional.normalize(part_RW, dim=1) for part_RW in parts], dim=1)


def pool(
    hidden_RTW: torch.Tensor, lengths_R: torch.Tensor, pooling: Literal["last_token", "mean"]
) -> torch.Tensor:
    """One float32 vector per row (R, W), summed in float32.

    Args:
        hidden_RTW: hidden states.
        lengths_R: tokens of each text.
        pooling: the last of these tokens, or their mean.
    """
    if pooling == "last_token":
        rows_R = torch.arange(len(hidden_RTW), device=hidden_RTW.device)
        return hidden_RTW[rows_R, lengths_R - 1].float()
    places_T = torch.arange(hidden_RTW.shape[1], device=hidden_RTW.device)
    is_text_RT = places_T < lengths_R[:, None]
    # Set padding to 0 instead of multiplying by 0: its hidden states may be NaN.
    text_RTW = torch.where(is_text_RT[:, :, None], hidden_RTW.float(), 0.0)
    return text_RTW.sum(dim=1) / lengths_R[:, None]
