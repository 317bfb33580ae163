"""Which wording a text has: drawn fairly, for each ECG anew, the same in every process."""

import numpy as np
import torch
from scipy import stats

from benchmarks.operation_count import launching, operations
from ecgpipe.train_ecg.data.pairing import pad_rows
from ecgpipe.train_ecg.data.wording_draws import WordingDraws, as_often_as_drawn

WORDINGS = pad_rows([[0, 1, 2], [3], [4, 5, 6, 7]])
CPU = torch.device("cpu")


def draws(n_records: int = 3000, seed: int = 0, epoch: int = 0) -> torch.Tensor:
    """(N, 3) of every text of every record."""
    drawing = WordingDraws(WORDINGS, n_records, seed, CPU)
    drawing.begin_epoch(epoch)
    return drawing.of_every_text(torch.arange(n_records))


def test_each_wording_of_a_text_is_drawn_as_often_as_its_others() -> None:
    drawn = draws().numpy()
    for text, own in enumerate(([0, 1, 2], [3], [4, 5, 6, 7])):
        counts = [int((drawn[:, text] == row).sum()) for row in own]
        assert sum(counts) == 3000
        assert len(own) == 1 or stats.chisquare(counts).pvalue > 1e-3


def test_a_third_of_the_draws_are_of_the_name() -> None:
    slots = pad_rows([as_often_as_drawn([0, 1, 2, 3]), as_often_as_drawn([4])])
    drawn = WordingDraws(slots, 6000, 0, CPU).of_every_text(torch.arange(6000)).numpy()
    counts = np.bincount(drawn[:, 0], minlength=4)
    assert stats.chisquare(counts, 6000 * np.array([3, 2, 2, 2]) / 9).pvalue > 1e-3
    assert (drawn[:, 1] == 4).all()


def test_texts_and_records_draw_independently_of_each_other() -> None:
    drawn = draws().numpy()
    together = np.zeros((3, 4))
    np.add.at(together, (drawn[:, 0], drawn[:, 2] - 4), 1)
    assert stats.chi2_contingency(together).pvalue > 1e-3
    neighbours = np.zeros((4, 4))
    np.add.at(neighbours, (drawn[:-1, 2] - 4, drawn[1:, 2] - 4), 1)
    assert stats.chi2_contingency(neighbours).pvalue > 1e-3


def test_a_draw_depends_on_seed_epoch_record_and_text_alone() -> None:
    first = draws(50)
    assert torch.equal(first, draws(200)[:50])
    assert not torch.equal(first, draws(50, epoch=1))
    assert not torch.equal(first, draws(50, seed=1))
    drawing = WordingDraws(WORDINGS, 50, 0, CPU)
    drawing.begin_epoch(7)
    drawing.begin_epoch(0)
    places = torch.tensor([31, 4, 4])
    assert torch.equal(drawing.of_every_text(places), first[places])


def test_a_paired_text_is_worded_as_it_is_among_all() -> None:
    drawing = WordingDraws(WORDINGS, 300, 0, CPU)
    texts = torch.arange(300) % 3
    among_all = drawing.of_every_text(torch.arange(300))
    assert torch.equal(drawing.of_one_text(texts), among_all[torch.arange(300), texts])


def test_a_draw_takes_few_operations_whatever_the_number_of_texts() -> None:
    """Of a whole batch at once: on a GPU each operation costs its launch."""
    for n_texts in (3, 98):
        drawing = WordingDraws(pad_rows([[0, 1]] * n_texts), 64, 0, CPU)
        seen = operations(lambda each=drawing: each.of_every_text(torch.arange(32)))
        assert launching(seen) <= 24, seen
