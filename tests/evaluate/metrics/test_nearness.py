"""How near texts lie to those trained on, worked by hand."""

import numpy as np
import pytest

from ecgpipe.evaluate.metrics.nearness import nearest, unit_rows


def test_the_nearest_text_has_the_greatest_cosine_whatever_the_length() -> None:
    trained = unit_rows(np.array([[2, 0], [0, -3]], np.float32)).astype(np.float16)
    texts = np.array([[3, 4], [0, -9], [-1, 0]], np.float32)
    assert nearest(texts, trained) == pytest.approx([0.6, 1, 0], abs=1e-3)


def test_without_trained_texts_nothing_is_known() -> None:
    assert np.isnan(nearest(np.ones((2, 3), np.float32), np.empty((0, 3), np.float16))).all()


def test_a_row_of_zeros_stays_one() -> None:
    assert unit_rows(np.zeros((1, 3), np.float32)).tolist() == [[0, 0, 0]]
