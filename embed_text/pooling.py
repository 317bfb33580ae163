"""From the hidden states of a batch to one vector per text.

Owns which tokens a text's vector is taken from. Rows are padded on the right.

R = rows of a batch, T = tokens of the padded length, W = width of the model.
"""

import torch

from ecgpipe.config.text import Pooling


def pool(hidden_RTW: torch.Tensor, lengths_R: torch.Tensor, pooling: Pooling) -> torch.Tensor:
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
