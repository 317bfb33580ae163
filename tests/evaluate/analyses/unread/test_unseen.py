"""Findings that training never named: which trained finding is the nearest, worked by hand."""

import numpy as np
import pytest

from ecgpipe.evaluate.analyses.unread.unseen import nearest_of


def test_the_nearest_finding_is_that_of_the_greatest_cosine_whatever_its_length() -> None:
    known = np.array([[10, 0], [0, 0.1], [-1, -1]], np.float32)
    unseen = np.array([[3, 4], [1, 0], [-5, -5]], np.float32)
    places, cosines = nearest_of(unseen, known)
    assert places.tolist() == [1, 0, 2]
    assert cosines == pytest.approx([0.8, 1, 1])


def test_a_vector_of_zeros_is_near_to_nothing() -> None:
    _, cosines = nearest_of(np.zeros((1, 2), np.float32), np.ones((3, 2), np.float32))
    assert cosines == pytest.approx([0])
