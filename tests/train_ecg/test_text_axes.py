"""The axes of text vectors: what texts say counts, how they say it does not."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from ecgpipe.train_ecg.text_axes import fit_text_axes

N_TEXTS, N_WORDINGS, WIDTH = 6, 40, 10
MEANT = np.arange(N_TEXTS).repeat(N_WORDINGS)


def bank(meaning: float = 1.0, manner: float = 30.0) -> np.ndarray:
    """(R, W) vectors of sentences: meaning in three directions, manner in another, far stronger,
    and a little of everything."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(0, 0.1, (len(MEANT), WIDTH)) + 5
    vectors[:, :3] += meaning * rng.normal(0, 1, (N_TEXTS, 3))[MEANT]
    vectors[:, 3] += manner * rng.choice([-1, 1], len(MEANT))
    return vectors.astype(np.float32)


def evenly() -> np.ndarray:
    return np.eye(N_TEXTS)[:, MEANT] / N_WORDINGS


def on_axes(vectors: np.ndarray, n_axes: int, chances: np.ndarray | None = None) -> np.ndarray:
    axes = fit_text_axes(vectors, evenly() if chances is None else chances, n_axes)
    return np.asarray((vectors - vectors.mean(axis=0)) @ axes, np.float64)


def test_the_wordings_of_a_text_come_to_lie_together() -> None:
    points = on_axes(bank(), 3)
    centres = np.stack([points[MEANT == text].mean(axis=0) for text in range(N_TEXTS)])
    apart = np.linalg.norm(points[:, None] - centres, axis=2)
    assert (apart.argmin(axis=1) == MEANT).all()
    raw = bank()  # where the manner hides the meaning
    raw_centres = np.stack([raw[MEANT == text].mean(axis=0) for text in range(N_TEXTS)])
    nearest = np.linalg.norm(raw[:, None] - raw_centres, axis=2).argmin(axis=1)
    assert (nearest == MEANT).mean() < 0.6


def test_the_axes_are_those_of_a_linear_discriminant_analysis() -> None:
    vectors = bank(manner=1.0)
    theirs = LinearDiscriminantAnalysis(solver="svd", n_components=3).fit_transform(vectors, MEANT)
    ours = on_axes(vectors, 3)
    for axis in range(3):
        assert abs(np.corrcoef(ours[:, axis], theirs[:, axis])[0, 1]) > 0.999


def test_on_every_axis_wordings_vary_alike_and_texts_have_length_1_on_average() -> None:
    points = on_axes(bank(manner=1.0), 4)
    means = np.stack([points[MEANT == text].mean(axis=0) for text in range(N_TEXTS)])
    within = (points - means[MEANT]).std(axis=0)
    np.testing.assert_allclose(within, within.mean(), rtol=0.15)  # some of it is shrinkage
    assert np.square(means).mean() == pytest.approx(1, rel=1e-3)


def test_texts_of_one_sentence_each_get_their_principal_axes() -> None:
    vectors = bank()[::N_WORDINGS]
    centred = (vectors - vectors.mean(axis=0)).astype(np.float64)
    principal = np.linalg.svd(centred, full_matrices=False)[2]
    points = on_axes(vectors, 2, np.eye(N_TEXTS))
    for axis in range(2):
        assert abs(np.corrcoef(points[:, axis], centred @ principal[axis])[0, 1]) > 0.999


@pytest.mark.parametrize(("n_texts", "n_axes"), [(1, 4), (2, 4), (6, 64)])
def test_axes_that_do_not_exist_are_0(n_texts: int, n_axes: int) -> None:
    axes = fit_text_axes(bank()[::N_WORDINGS][:n_texts], np.eye(n_texts), n_axes)
    assert axes.shape == (WIDTH, n_axes)
    assert np.isfinite(axes).all()
    assert (np.abs(axes).sum(axis=0) > 0).sum() == n_texts - 1


def test_how_often_a_wording_is_drawn_counts() -> None:
    """One that is never drawn changes nothing."""
    vectors = bank()
    odd = np.vstack([vectors, np.full((1, WIDTH), 1000)]).astype(np.float32)
    without = fit_text_axes(vectors, evenly(), 3)
    with_odd = fit_text_axes(odd, np.pad(evenly(), ((0, 0), (0, 1))), 3)
    np.testing.assert_allclose(np.abs(with_odd), np.abs(without), rtol=1e-3, atol=1e-5)
