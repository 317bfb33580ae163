"""Stored int16 signals to the encoder's input.

Owns scaling. It runs on the device, since int16 is half the bytes to copy. B = batch, L = leads,
S = samples.
"""

import torch

NO_READING = -32768
_MV_PER_STEP = 1e-3


def to_millivolts(
    signal_BLS: torch.Tensor, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """mV in `dtype`, and which samples are readings (bool), from int16 µV; both (B, L, S)."""
    known_BLS = signal_BLS != NO_READING
    signal_mv_BLS = signal_BLS.to(dtype) * _MV_PER_STEP
    return torch.where(known_BLS, signal_mv_BLS, 0.0), known_BLS


def normalise(
    signal_mv_BLS: torch.Tensor, known_BLS: torch.Tensor, normalisation: str
) -> torch.Tensor:
    """The encoder's input (B, L, S); a sample without a reading is 0, before and after.

    fixed: millivolts. record: z-score over all leads together, so that ratios between leads stay.
    """
    if normalisation == "record":
        return torch.where(known_BLS, _z_score(signal_mv_BLS, known_BLS), 0.0)
    return signal_mv_BLS


def to_model_input(
    signal_BLS: torch.Tensor, normalisation: str, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Both: int16 µV as stored (B, L, S) to the encoder's input, in the dtype of its weights."""
    return normalise(*to_millivolts(signal_BLS, dtype), normalisation)


def _z_score(signal_BLS: torch.Tensor, known_BLS: torch.Tensor) -> torch.Tensor:
    n_B = known_BLS.sum(dim=(1, 2), keepdim=True).clamp(min=1)
    mean_B = (signal_BLS * known_BLS).sum(dim=(1, 2), keepdim=True) / n_B
    centred_BLS = signal_BLS - mean_B
    variance_B = (centred_BLS.square() * known_BLS).sum(dim=(1, 2), keepdim=True) / n_B
    return centred_BLS / variance_B.sqrt().clamp(min=1e-6)
