"""The plan of batches: every text once, little padding, never over the budget."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgpipe.embed_text.batches import padded_length, plan_batches


@given(st.lists(st.integers(1, 600), max_size=200), st.integers(600, 5000))
def test_every_text_is_in_one_batch_and_no_batch_is_over_budget(
    lengths: list[int], budget: int
) -> None:
    batches = plan_batches(lengths, budget)
    places = [int(place) for batch in batches for place in batch.places]
    assert sorted(places) == list(range(len(lengths)))
    for batch in batches:
        assert batch.padded_length % 8 == 0
        assert all(-(-lengths[p] // 8) * 8 == batch.padded_length for p in batch.places)
        assert len(batch.places) <= batch.rows
        assert batch.rows * batch.padded_length <= max(budget, batch.padded_length)
        full = max(1, budget // batch.padded_length)
        assert batch.rows in (full, full // 2, full // 4)


def test_a_text_is_padded_the_same_whatever_its_neighbours() -> None:
    alone = plan_batches([20], 1000)[0]
    among = next(b for b in plan_batches([20, 500, 17, 90], 1000) if 0 in b.places)
    assert (alone.padded_length, alone.rows) == (among.padded_length, among.rows) == (24, 10)


@pytest.mark.parametrize(
    ("n_texts", "rows"),
    [(1, [10]), (10, [10]), (11, [20]), (20, [20]), (21, [41]), (41, [41]), (42, [41, 10])],
)
def test_the_last_batch_of_a_length_is_filled_to_a_quarter_a_half_or_all_of_the_rows(
    n_texts: int, rows: list[int]
) -> None:
    # 1000 // 24 = 41 rows; a half is 20, a quarter 10.
    assert [batch.rows for batch in plan_batches([20] * n_texts, 1000)] == rows


def test_a_budget_of_one_row_still_gives_every_text_one() -> None:
    assert [batch.rows for batch in plan_batches([20, 20], 24)] == [1, 1]


def test_the_longest_come_first() -> None:
    lengths = [5, 300, 40, 299]
    batches = plan_batches(lengths, 1024)
    assert [batch.places.tolist() for batch in batches] == [[1, 3], [2], [0]]


@pytest.mark.parametrize(("length", "padded"), [(1, 8), (8, 8), (9, 16), (512, 512)])
def test_lengths_are_padded_to_a_multiple_of_8(length: int, padded: int) -> None:
    assert padded_length(np.array([length])).tolist() == [padded]
