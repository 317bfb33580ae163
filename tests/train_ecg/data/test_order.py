"""The order of records: a function of seed and epoch."""

import numpy as np

from ecgpipe.train_ecg.data.order import epoch_batches


def test_the_same_epoch_comes_out_the_same_and_another_does_not() -> None:
    first = epoch_batches(100, 8, seed=1, epoch=5)
    assert np.array_equal(first, epoch_batches(100, 8, seed=1, epoch=5))
    assert not np.array_equal(first, epoch_batches(100, 8, seed=1, epoch=6))
    assert not np.array_equal(first, epoch_batches(100, 8, seed=2, epoch=5))


def test_no_record_comes_twice_in_an_epoch() -> None:
    batches = epoch_batches(100, 8, seed=1, epoch=5)
    assert batches.shape == (12, 8)
    assert len(np.unique(batches)) == 96


def test_what_one_epoch_leaves_out_another_brings() -> None:
    seen = {place for epoch in range(5) for place in epoch_batches(100, 32, 0, epoch).ravel()}
    assert seen == set(range(100))


def test_fewer_records_than_a_batch_give_no_batch() -> None:
    assert epoch_batches(5, 8, 0, 0).shape == (0, 8)
