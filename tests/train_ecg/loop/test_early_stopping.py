"""Which epoch is kept and where training ends, worked by hand."""

import pytest

from ecgpipe.train_ecg.loop.early_stopping import best_epoch, last_epoch


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ([], 0),
        ([0.3], 1),
        ([0.3, 0.5, 0.5, 0.1], 2),  # of equals the first
        ([None, 0.2, None], 2),
        ([None, None], 2),  # where none has a figure, the last
    ],
)
def test_the_best_epoch(values: list[float | None], best: int) -> None:
    assert best_epoch(values) == best


@pytest.mark.parametrize(
    ("values", "epochs", "patience", "last"),
    [
        ([0.1, 0.2], 3, None, None),
        ([0.1, 0.2, 0.3], 3, None, 3),
        ([0.1, 0.2, 0.3, 0.4], 3, None, 3),  # it trained for longer than the settings say
        ([0.5, 0.4], 9, 2, None),
        ([0.5, 0.4, 0.3], 9, 2, 3),
        ([0.5, 0.4, 0.6, 0.1], 9, 2, None),
        # With more patience it found a better one; with 2 it would have ended before.
        ([0.5, 0.4, 0.4, 0.4, 0.9], 9, 2, 3),
        ([0.5, 0.4, 0.4, 0.4, 0.9], 9, 4, None),
        ([None, None, None], 9, 1, None),
        ([], 3, 1, None),
    ],
)
def test_the_last_epoch(
    values: list[float | None], epochs: int, patience: int | None, last: int | None
) -> None:
    assert last_epoch(values, epochs, patience) == last
