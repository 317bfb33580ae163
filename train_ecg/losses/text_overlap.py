"""How the texts of one batch overlap: equal texts, shared findings, and the least loss they allow.

Knows no vectors. b = rows of this process, B = rows of the global batch, n = batches, F = findings.
"""

import numpy as np
import numpy.typing as npt
import torch

Rows = npt.NDArray[np.int64]


def equal_texts(
    text_ids_B: torch.Tensor, first_row: int = 0, rows: int | None = None
) -> torch.Tensor:
    """(b, B) whether two rows have the same text; a row and itself always do.

    Args:
        text_ids_B: int64; equal ids are equal texts.
        first_row: this process's first row in the global batch.
        rows: b; all the rest by default.
    """
    own_b = text_ids_B[first_row:] if rows is None else text_ids_B[first_row : first_row + rows]
    return own_b[:, None] == text_ids_B


def label_jaccard(findings_bF: torch.Tensor, findings_BF: torch.Tensor) -> torch.Tensor:
    """(b, B) float: the findings that two ECGs share, over those that either has.

    Two ECGs without any finding are alike: 1.

    Args:
        findings_bF: bool, of this process's rows.
        findings_BF: bool, of all rows.
    """
    own_bF, all_BF = findings_bF.float(), findings_BF.float()
    both_bB = own_bF @ all_BF.T
    either_bB = own_bF.sum(dim=1)[:, None] + all_BF.sum(dim=1) - both_bB
    return torch.where(either_bB > 0, both_bB / either_bB.clamp(min=1), 1.0)


def duplicate_share(text_ids_nB: Rows) -> float:
    """The share of rows, over n batches, whose text is also that of another row of the batch."""
    return float((_counts(text_ids_nB) > 1).mean())


def duplicate_floor(text_ids_nB: Rows, duplicates: str = "infonce") -> float:
    """The lowest value of `clip_loss` that any vectors can reach with these texts: the mean over n
    batches.

    If c_i rows have the text of row i, then in either direction c_i candidates are equally right
    and a softmax can give each at most 1/c_i: plain InfoNCE is at least mean_i log c_i. `mask`
    removes the others: 0. `unique` has one candidate from ECG to text, and one term per distinct
    text u from text to ECG: half of mean_u log c_u. All are approached as the scale grows.

    Raises:
        ValueError: another value of `duplicates`; the floor of `soft` depends on its targets.
    """
    if duplicates == "mask":
        return 0.0
    counts_nB = _counts(text_ids_nB)
    if duplicates == "infonce":
        return float(np.log(counts_nB).mean())
    if duplicates == "unique":
        # A text with c rows is counted c times with weight 1/c.
        weights_nB = 1 / counts_nB
        floors_n = (weights_nB * np.log(counts_nB)).sum(axis=1) / weights_nB.sum(axis=1) / 2
        return float(floors_n.mean())
    raise ValueError(f"no floor for duplicates={duplicates!r}; wanted infonce, mask or unique")


def _counts(text_ids_nB: Rows) -> npt.NDArray[np.int64]:
    """(n, B) how many rows of the batch have each row's text."""
    n_texts = int(text_ids_nB.max(initial=0)) + 1
    of_batch_nB = text_ids_nB + n_texts * np.arange(len(text_ids_nB))[:, None]
    _, inverse, counts = np.unique(of_batch_nB, return_inverse=True, return_counts=True)
    counts_nB: npt.NDArray[np.int64] = counts[inverse.reshape(text_ids_nB.shape)]
    return counts_nB
