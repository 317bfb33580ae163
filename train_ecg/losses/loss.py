"""The losses: InfoNCE with four ways to treat equal texts, SigLIP, and one over all findings.

Knows no model and no processes: it is given unit vectors, those of one part of the global batch (a
process's rows) and those of all. The mean of a loss over equal parts is the loss of the global
batch; so are the gradients, if those of each part flow back to the vectors of all.

b = rows of a part, B = rows of the global batch, D = joint width, F = findings, R = their prompts.
A matrix over pairs has ECGs in its rows and texts in its columns.
"""

import math
from typing import Literal, NamedTuple

import torch
from torch.nn import functional

from ecgpipe.train_ecg.losses.text_overlap import equal_texts

Duplicates = Literal["infonce", "mask", "unique", "soft"]

SIGLIP_LOG_SCALE = math.log(10)
SIGLIP_BIAS = -10.0
"""The initial values of the SigLIP paper, with which the loss starts small although nearly all
pairs are negative."""


class Pairs(NamedTuple):
    """What one part needs of a (B, B) matrix over (ECG, text), for both directions."""

    rows_bB: torch.Tensor
    """The part's ECGs against all texts."""

    columns_Bb: torch.Tensor
    """All ECGs against the part's texts."""

    @classmethod
    def symmetric(cls, rows_bB: torch.Tensor) -> "Pairs":
        """From the rows of a symmetric matrix, such as the Jaccard index of the labels."""
        return cls(rows_bB, rows_bB.T)


def clip_loss(
    ecg_bD: torch.Tensor,
    text_bD: torch.Tensor,
    ecg_BD: torch.Tensor,
    text_BD: torch.Tensor,
    scale: torch.Tensor,
    first_row: int = 0,
    *,
    duplicates: Duplicates = "infonce",
    text_ids_B: torch.Tensor | None = None,
    target: Pairs | None = None,
    also_true: Pairs | None = None,
) -> torch.Tensor:
    """The loss of a part's rows against the whole global batch: the mean of two directions.

    With s_ij = scale e_i . t_j, and p(j|i) = exp(s_ij) / sum_k exp(s_ik) from ECG i to the texts,
    p(i|j) = exp(s_ij) / sum_k exp(s_kj) from text j to the ECGs:

        infonce   ECG to text   mean_i -log p(i|i)
                  text to ECG   mean_j -log p(j|j)
        mask      as infonce, but k leaves out other rows with the row's own text, so no ECG is
                  pushed away from its own words.
        unique    ECG to text   mean_i -log p(text of i|i), where k runs over distinct texts
                  text to ECG   mean_u mean_(i with text u) -log p(i|u), where u runs over distinct
                                texts, k over all ECGs: common and rare texts weigh the same.
        soft      ECG to text   mean_i -sum_j q_ij log p(j|i),  q_ij = T_ij / sum_k T_ik
                  text to ECG   mean_j -sum_i r_ij log p(i|j),  r_ij = T_ij / sum_k T_kj
                  with the caller's targets T.

    If equal texts have equal vectors, `soft` with T = 1 for equal texts has the value and the
    gradients of `infonce`: sharing the target among duplicates changes nothing.

    Args:
        ecg_bD: the part's ECGs, unit vectors.
        text_bD: their texts.
        ecg_BD: all parts' ECGs; `ecg_bD` itself if that is the whole batch.
        text_BD: all parts' texts.
        scale: 1/temperature.
        first_row: the part's first row in the global batch.
        duplicates: which of the four.
        text_ids_B: int64 of the global batch; equal ids are equal texts. All differ by default.
        target: T, at least 0; for `soft`. A row whose targets are all 0 costs nothing.
        also_true: bool; whether text j is true of ECG i though it is not its text in this step.
            Such pairs are left out of k in both directions and have no target, except a row's own
            pair and pairs with equal texts, which `duplicates` decides about.

    Returns:
        A scalar; its mean over parts is the loss of the global batch.

    Raises:
        ValueError: `mask` or `unique` without `text_ids_B`, `soft` without `target`.

    Source: infonce is arXiv 2504.09302 equations 2-4 (METS equations 2-4).
    """
    logits = scale * ecg_bD @ text_BD.T, scale * text_bD @ ecg_BD.T
    rows = len(ecg_bD)
    own_b = torch.arange(rows, device=ecg_bD.device) + first_row
    if text_ids_B is not None:
        equal_bB = equal_texts(text_ids_B, first_row, rows)
    elif duplicates in ("mask", "unique"):
        raise ValueError(f"duplicates={duplicates!r} needs text_ids_B")
    else:
        equal_bB = own_b[:, None] == torch.arange(len(ecg_BD), device=ecg_bD.device)
    if also_true is not None:
        logits = (
            _without(logits[0], also_true.rows_bB & ~equal_bB),
            _without(logits[1], also_true.columns_Bb.T & ~equal_bB),
        )
    ecg_to_text, text_to_ecg = _both_directions(
        logits, duplicates, equal_bB, own_b, text_ids_B, target
    )
    return (ecg_to_text + text_to_ecg) / 2


def _both_directions(
    logits: tuple[torch.Tensor, torch.Tensor],
    duplicates: Duplicates,
    equal_bB: torch.Tensor,
    own_b: torch.Tensor,
    text_ids_B: torch.Tensor | None,
    target: Pairs | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The losses from ECG to text and from text to ECG, as `clip_loss` defines them."""
    if duplicates == "soft":
        if target is None:
            raise ValueError("duplicates='soft' needs target")
        return (
            _soft_cross_entropy(logits[0], target.rows_bB),
            _soft_cross_entropy(logits[1], target.columns_Bb.T),
        )
    if duplicates == "unique":
        assert text_ids_B is not None
        return _over_distinct_texts(logits, text_ids_B, equal_bB, own_b)
    if duplicates == "mask":
        others_bB = equal_bB.scatter(1, own_b[:, None], False)
        logits = _without(logits[0], others_bB), _without(logits[1], others_bB)
    return (
        functional.cross_entropy(logits[0], own_b),
        functional.cross_entropy(logits[1], own_b),
    )


def siglip_loss(
    ecg_bD: torch.Tensor,
    text_BD: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    first_row: int = 0,
    *,
    target_bB: torch.Tensor | None = None,
    also_true_bB: torch.Tensor | None = None,
) -> torch.Tensor:
    """Binary cross-entropy of every pair: is this text true of this ECG?

    With x_ij = scale e_i . t_j + bias and targets y_ij in 0 to 1:

        -1/b sum_i sum_j  y_ij log sigmoid(x_ij) + (1 - y_ij) log sigmoid(-x_ij)

    which is SigLIP's if y_ij is 1 for i = j and 0 elsewhere. It divides by ECGs, not by pairs. Each
    pair of the global batch is counted once, by the process that has its ECG; so every process
    needs all texts, but only its own ECGs.

    Args:
        ecg_bD: the part's ECGs, unit vectors.
        text_BD: all parts' texts.
        scale: initially exp(SIGLIP_LOG_SCALE) in the source.
        bias: initially SIGLIP_BIAS in the source.
        first_row: the part's first row in the global batch.
        target_bB: y, for instance `equal_texts` or `label_jaccard`. By default only a row's own
            pair is true, so two rows with the same text contradict each other.
        also_true_bB: bool; whether text j is true of ECG i though it is not its text in this step.
            Such pairs are left out, except a row's own.

    Returns:
        A scalar; its mean over parts is the loss of the global batch.

    Source: Zhai et al. 2023 (arXiv 2303.15343), algorithm 1; graded targets are cross-entropies.
    """
    logits_bB = scale * ecg_bD @ text_BD.T + bias
    columns_B = torch.arange(len(text_BD), device=ecg_bD.device)
    own_bB = columns_B[: len(ecg_bD), None] + first_row == columns_B
    target_bB = (own_bB if target_bB is None else target_bB).to(logits_bB.dtype)
    costs_bB = functional.binary_cross_entropy_with_logits(logits_bB, target_bB, reduction="none")
    if also_true_bB is not None:
        costs_bB = costs_bB.masked_fill(also_true_bB & ~own_bB, 0)
    return costs_bB.sum() / len(ecg_bD)


def findings_loss(
    ecg_bD: torch.Tensor,
    prompt_RD: torch.Tensor,
    truth_bF: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    positive_weight_F: torch.Tensor | None = None,
    said_bF: torch.Tensor | None = None,
    unknown: "Unknown | None" = None,
) -> torch.Tensor:
    """Every ECG against every finding's prompt: does the ECG have it?

    With x_if = scale e_i . t_f + bias, truth y_if, and weights w_f:

        mean over i and f of  -w_f y_if log sigmoid(x_if) - (1 - y_if) log sigmoid(-x_if)

    What is unknown is left out of the sum, and the mean divides by the findings that an ECG of the
    whole training set has known on average: so the loss of a part depends on no other part.

    With the mean over findings, losses of different lists of findings are comparable. Nothing is
    gathered: an ECG's loss does not depend on other rows.

    Args:
        ecg_bD: the part's ECGs, unit vectors.
        prompt_RD: the findings' prompts, unit vectors.
        truth_bF: 1 or true where the ECG has the finding.
        scale: 1/temperature.
        bias: added to every pair; negative, since most findings are absent.
        positive_weight_F: see `positive_weights`; 1 by default.
        said_bF: int64, the prompt that words each finding for each ECG; by default prompt f does.
        unknown: where the truth is not known; by default it is known everywhere.

    Returns:
        A scalar; its mean over parts is the loss of the global batch.
    """
    logits_bF = scale * ecg_bD @ prompt_RD.T + bias
    if said_bF is not None:
        logits_bF = logits_bF.gather(1, said_bF)
    target_bF = truth_bF.to(logits_bF.dtype)
    if unknown is None:
        return functional.binary_cross_entropy_with_logits(
            logits_bF, target_bF, pos_weight=positive_weight_F
        )
    costs_bF = functional.binary_cross_entropy_with_logits(
        logits_bF, target_bF, pos_weight=positive_weight_F, reduction="none"
    )
    return costs_bF.masked_fill(unknown.where_bF, 0).sum() / (len(ecg_bD) * unknown.mean_known)


class Unknown(NamedTuple):
    """The findings of which an ECG is neither known to have them nor known not to."""

    where_bF: torch.Tensor
    """bool, of the part's ECGs."""

    mean_known: float
    """How many findings are known of an ECG, on average over the training set."""


def positive_weights(counts_F: torch.Tensor, n_known: int | torch.Tensor) -> torch.Tensor:
    """The weight of an ECG that has a finding, against 1 for one that has not; (F,) float32.

    sqrt((N - n) / n). Without the root, a finding of one ECG in ten thousand would weigh 9,999, and
    a single wrong label with it. A finding that no ECG has gets 1.

    Args:
        counts_F: n, how many training records have each finding.
        n_known: N, training records of which it is known; (F,) where that differs by finding.

    Raises:
        ValueError: a count is negative or greater than N.
    """
    if bool(((counts_F < 0) | (counts_F > n_known)).any()):
        raise ValueError(f"counts of findings must be 0 to {n_known}, the number of records")
    odds_F = (n_known - counts_F).double() / counts_F.clamp(min=1)
    return torch.where(counts_F > 0, odds_F.sqrt(), 1.0).float()


def _without(logits_bB: torch.Tensor, left_out_bB: torch.Tensor) -> torch.Tensor:
    return logits_bB.masked_fill(left_out_bB, -math.inf)


def _soft_cross_entropy(logits_bB: torch.Tensor, target_bB: torch.Tensor) -> torch.Tensor:
    """Mean over rows, with targets normalised over the pairs that are not left out."""
    left_out_bB = logits_bB == -math.inf
    target_bB = target_bB.to(logits_bB.dtype).masked_fill(left_out_bB, 0)
    sum_b = target_bB.sum(dim=1, keepdim=True)
    target_bB = target_bB / sum_b.clamp(min=torch.finfo(target_bB.dtype).tiny)
    # 0 times minus infinity would be NaN.
    log_share_bB = logits_bB.log_softmax(dim=1).masked_fill(left_out_bB, 0)
    return -(target_bB * log_share_bB).sum(dim=1).mean()


def _over_distinct_texts(
    logits: tuple[torch.Tensor, torch.Tensor],
    text_ids_B: torch.Tensor,
    equal_bB: torch.Tensor,
    own_b: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both directions of `unique`. The first row that has a distinct text represents it.

    Without torch.unique: its output size depends on the data, so it waits for the GPU.
    """
    n_rows = len(text_ids_B)
    is_repeat_B = equal_texts(text_ids_B).tril(diagonal=-1).any(dim=1)
    columns_B = torch.arange(n_rows, device=text_ids_B.device)
    first_b = torch.where(equal_bB, columns_B, n_rows).amin(dim=1)
    ecg_to_text = functional.cross_entropy(_without(logits[0], is_repeat_B), first_b)
    costs_b = functional.cross_entropy(logits[1], own_b, reduction="none")
    # The mean over distinct texts of the means over their rows, as row weights whose mean is 1.
    n_texts = (~is_repeat_B).sum()
    weights_b = n_rows / (n_texts * equal_bB.sum(dim=1)).to(costs_b.dtype)
    return ecg_to_text, (weights_b * costs_b).mean()
