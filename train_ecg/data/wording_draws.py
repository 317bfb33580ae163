"""Which sentence words a text for a record, where a text may be worded in several ways.

Owns the drawing, on the device: a function of (seed, epoch, record, text) alone, so that a resumed
run and any number of processes draw the same, and a step waits for nothing. N = records,
b = records of a part, F = texts, V = most wordings of one text.
"""

from collections.abc import Sequence

import torch

from ecgpipe.train_ecg.data.counter_random import counters, hashes, integers, record_keys
from ecgpipe.train_ecg.data.pairing import Rows

_STREAM = 8  # of the numbers of a record; 1 to 7 are augmentation's


def as_often_as_drawn(rows: Sequence[int]) -> list[int]:
    """The sentences of one text, each as often as it is to be drawn relative to the others: the
    first, by which the text is scored, in a third of the draws; the others alike in the rest.

    Args:
        rows: of the name, then of its other wordings.
    """
    return [rows[0]] * max(len(rows) - 1, 1) + 2 * list(rows[1:])


class WordingDraws:
    """The draws of one run; the text number f of a record is drawn with its f-th number."""

    def __init__(self, wordings_FV: Rows, n_records: int, seed: int, device: torch.device) -> None:
        """Prepare for epoch 0.

        Args:
            wordings_FV: rows of sentences, from `pad_rows`; every text has at least one.
            n_records: N; they are numbered in an order that does not change between runs.
            seed: of the run.
            device: where draws are wanted.
        """
        self._seed = seed
        self._wordings_FV = torch.from_numpy(wordings_FV).to(device)
        self._last_F = (self._wordings_FV >= 0).sum(dim=1) - 1
        self._counters_F = counters(len(wordings_FV), device)
        self._texts_F = torch.arange(len(wordings_FV), device=device)
        self._records_N = torch.arange(n_records, device=device)
        self._keys_N = torch.empty_like(self._records_N)
        self.begin_epoch(0)

    def begin_epoch(self, epoch: int) -> None:
        """Compute each record's key for an epoch, counted from 0."""
        # Into the same memory, which a captured CUDA graph reads.
        self._keys_N.copy_(record_keys(self._seed, epoch, self._records_N, _STREAM))

    def of_every_text(self, records_b: torch.Tensor) -> torch.Tensor:
        """(b, F) the row of the sentence that words each text for each of these records."""
        bits_bF = hashes(self._keys_N[records_b, None] + self._counters_F)
        return self._wordings_FV[self._texts_F, integers(bits_bF, 0, self._last_F)]

    def of_one_text(self, texts_N: torch.Tensor) -> torch.Tensor:
        """(N,) the row of the sentence that words for each record the text it is paired with."""
        bits_N = hashes(self._keys_N + self._counters_F[texts_N])
        return self._wordings_FV[texts_N, integers(bits_N, 0, self._last_F[texts_N])]
