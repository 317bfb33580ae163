"""Which records form which batch, and which of its texts each record is paired with.

Owns the drawing: pure functions of seed and epoch, so that a resumed run and any number of
processes draw the same. Knows texts only as rows of a table of vectors, and -1 where a record has
fewer. N = records, b = records of a part, B = rows of a batch, K = most texts of one record,
F = number of texts.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

Rows = npt.NDArray[np.int64]

_DRAW = 1  # a random stream apart from the order of records


def epoch_batches(n_records: int, global_batch_size: int, seed: int, epoch: int) -> Rows:
    """The batches of one epoch, over all processes.

    Args:
        n_records: records in the training split.
        global_batch_size: rows of a batch over all processes.
        seed: of the run.
        epoch: counted from 0.

    Returns:
        (batches, global_batch_size) places in the training split. The records that do not fill a
        batch are left out of this epoch; other epochs leave out others.
    """
    order = np.random.default_rng([seed, epoch]).permutation(n_records)
    n_batches = n_records // global_batch_size
    return order[: n_batches * global_batch_size].reshape(n_batches, global_batch_size)


def pad_rows(rows: Sequence[Sequence[int]]) -> Rows:
    """Lists of unequal length as one array (N, longest), padded with -1."""
    table = np.full((len(rows), max(map(len, rows), default=0)), -1, np.int64)
    for place, row in enumerate(rows):
        table[place, : len(row)] = row
    return table


def draw_texts(texts_NK: Rows, seed: int, epoch: int) -> Rows:
    """One of each record's texts, (N,), all equally likely.

    Args:
        texts_NK: from `pad_rows`; -1 is drawn for a record that has none.
        seed: of the run.
        epoch: counted from 0.
    """
    n_N = (texts_NK >= 0).sum(axis=1)
    chances_N = np.random.default_rng([seed, epoch, _DRAW]).random(len(texts_NK))
    drawn: Rows = texts_NK[np.arange(len(texts_NK)), (chances_N * n_N).astype(np.int64)]
    return drawn


def also_true(texts_bK: torch.Tensor, drawn_B: torch.Tensor) -> torch.Tensor:
    """Whether the text of column B is one of the texts of record b: bool (b, B)."""
    return (texts_bK[:, :, None] == drawn_B).any(dim=1)


def truth_of(texts_bK: torch.Tensor, n_texts: int) -> torch.Tensor:
    """Which of all texts are true of each record: bool (b, F)."""
    truth_bF = torch.zeros(len(texts_bK), n_texts + 1, dtype=torch.bool, device=texts_bK.device)
    # -1 goes into an extra column, which is cut off.
    truth_bF.scatter_(1, texts_bK.where(texts_bK >= 0, n_texts), True)
    return truth_bF[:, :n_texts]
