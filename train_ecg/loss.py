"""The contrastive loss.

Source: arXiv 2504.09302 equations 2-4 (METS equations 2-4): with unit vectors e_i, t_i and
s_ij = e_i . t_j, the mean over i of the row softmax's and the column softmax's cross-entropy at the
diagonal, halved. b = rows of this process, B = rows of the global batch, D = joint width.
"""

import torch
from torch.nn import functional


def clip_loss(
    ecg_bD: torch.Tensor,
    text_bD: torch.Tensor,
    ecg_BD: torch.Tensor,
    text_BD: torch.Tensor,
    scale: torch.Tensor,
    first_row: int = 0,
) -> torch.Tensor:
    """The loss of this process's rows against the whole global batch.

    Args:
        ecg_bD: this process's ECGs, unit vectors.
        text_bD: their texts.
        ecg_BD: all processes' ECGs; the same tensor as `ecg_bD` where there is one process.
        text_BD: all processes' texts.
        scale: 1/temperature.
        first_row: where this process's rows stand in the global batch.

    Returns:
        A scalar; its mean over processes is the loss of the global batch.
    """
    target_b = torch.arange(len(ecg_bD), device=ecg_bD.device) + first_row
    ecg_to_text = functional.cross_entropy(scale * ecg_bD @ text_BD.T, target_b)
    text_to_ecg = functional.cross_entropy(scale * text_bD @ ecg_BD.T, target_b)
    return (ecg_to_text + text_to_ecg) / 2
