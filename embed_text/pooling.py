"""From the hidden states of a batch to one vector a text.

Owns which token speaks for a text. R = rows of a batch, T = tokens of the padded length, W = width
of the model. Rows are padded on the right, so the tokens of a row are its first ones.
"""

import torch


def pool(
    hidden_RTW: torch.Tensor, lengths_R: torch.Tensor, pooling: str, ends_R: torch.Tensor
) -> torch.Tensor:
    """One float32 vector (R, W) a row; sums are made in float32.

    Args:
        hidden_RTW: hidden states.
        lengths_R: tokens of each text, without an end-of-text token that was put behind it.
        pooling: last_token: the last of these tokens. mean: all of them. weighted_mean: all of
            them, the i-th with weight i (Muennighoff 2022, SGPT, eq. 3). eos: the token at ends_R.
        ends_R: where the end-of-text token stands.
    """
    rows_R = torch.arange(len(hidden_RTW), device=hidden_RTW.device)
    if pooling == "last_token":
        return hidden_RTW[rows_R, lengths_R - 1].float()
    if pooling == "eos":
        return hidden_RTW[rows_R, ends_R].float()
    places_T = torch.arange(hidden_RTW.shape[1], device=hidden_RTW.device)
    weights_RT = (places_T < lengths_R[:, None]).float()
    if pooling == "weighted_mean":
        weights_RT = weights_RT * (places_T + 1)
    # Padding is made 0 first: its hidden states may be anything, and 0 times NaN is NaN.
    known_RTW = torch.where(weights_RT[:, :, None] > 0, hidden_RTW.float(), 0.0)
    sum_RW = (known_RTW * weights_RT[:, :, None]).sum(dim=1)
    return sum_RW / weights_RT.sum(dim=1, keepdim=True)
