"""What a text may mean: the chances of a discriminant analysis, as sure as they turn out right."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import multivariate_normal

from ecgpipe.train_ecg.text_axes import fit_text_axes
from ecgpipe.train_ecg.text_meanings import meaning_logits

Vectors = npt.NDArray[np.float32]

N_TEXTS, WIDTH, AXES = 12, 30, 6
MEANT = np.arange(N_TEXTS).repeat(8)
CENTRES = np.random.default_rng(1).normal(0, 1, (N_TEXTS, WIDTH))


def worded(spread: float, seed: int = 0) -> Vectors:
    """(R, W) eight wordings of each text around its centre."""
    noise = np.random.default_rng(seed).normal(0, spread, (len(MEANT), WIDTH))
    return (CENTRES[MEANT] + noise).astype(np.float32)


def evenly(vectors: Vectors) -> npt.NDArray[np.float64]:
    return np.eye(N_TEXTS)[:, MEANT] / (len(vectors) // N_TEXTS)


def fitted(vectors: Vectors) -> tuple[Vectors, Vectors, Vectors, Vectors]:
    """The mean, the axes, and what `meaning_logits` returns."""
    mean, chances = vectors.mean(axis=0), evenly(vectors)
    axes = fit_text_axes(vectors, chances, AXES)
    return mean, axes, *meaning_logits(vectors - mean, chances, axes)


def chances_of(texts: Vectors, vectors: Vectors) -> npt.NDArray[np.float64]:
    mean, axes, weights, added = fitted(vectors)
    logits = (texts - mean) @ axes @ weights.T + added
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float64)


def log_likelihood(chances: npt.NDArray[np.float64]) -> float:
    return float(np.log(chances[np.arange(len(MEANT)), MEANT] + 1e-300).mean())


def test_the_chances_are_those_of_equal_normal_distributions_around_the_texts() -> None:
    vectors = worded(0.8)
    mean, axes, weights, _ = fitted(vectors)
    points = (vectors - mean) @ axes
    means = evenly(vectors) @ points
    sureness = float(weights[0, 0] / means[0, 0])  # one over the variance of every axis
    density = np.stack(
        [multivariate_normal(each, np.eye(AXES) / sureness).pdf(points) for each in means], axis=1
    )
    expected = density / density.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(chances_of(vectors, vectors), expected, atol=1e-3)


@pytest.mark.parametrize("spread", [0.7, 1.0, 2.0])
def test_wordings_never_read_are_judged_as_surely_as_they_are_judged_rightly(spread: float) -> None:
    """Any other sureness would make them less likely."""
    vectors, new = worded(spread), worded(spread, seed=5)
    mean, axes, weights, added = fitted(vectors)
    logits = (new - mean) @ axes @ weights.T + added
    of_factor = {}
    for factor in (0.25, 1.0, 4.0):
        raised = np.exp(factor * (logits - logits.max(axis=1, keepdims=True)))
        of_factor[factor] = log_likelihood(raised / raised.sum(axis=1, keepdims=True))
    assert max(of_factor, key=lambda factor: of_factor[factor]) == 1.0


def test_the_less_wordings_differ_by_text_the_less_sure_is_any_meaning() -> None:
    highest = [chances_of(worded(s, 5), worded(s)).max(axis=1).mean() for s in (0.3, 1.0, 3.0)]
    assert highest[0] > 0.95 > highest[1] > highest[2]
    assert highest[2] < 0.5


def test_a_text_that_resembles_two_may_mean_either() -> None:
    vectors = worded(0.5)
    between = ((CENTRES[2] + CENTRES[7]) / 2)[None].astype(np.float32)
    chances = chances_of(between, vectors)[0]
    assert set(np.argsort(chances)[-2:]) == {2, 7}
    assert chances[[2, 7]].sum() > 0.8


def test_texts_of_one_sentence_each_have_nothing_to_leave_out() -> None:
    vectors = CENTRES.astype(np.float32)
    mean = vectors.mean(axis=0)
    axes = fit_text_axes(vectors, np.eye(N_TEXTS), AXES)
    weights, added = meaning_logits(vectors - mean, np.eye(N_TEXTS), axes)
    np.testing.assert_allclose(weights, (vectors - mean) @ axes, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(added, -np.square(weights).sum(axis=1) / 2, rtol=1e-4)


def test_the_name_of_a_text_is_never_left_out() -> None:
    """It is drawn most often, and the text is scored by it: whatever else is left out, it stays."""
    vectors = worded(0.5)[::4]  # a name and one other
    chances = np.eye(N_TEXTS)[:, np.arange(N_TEXTS).repeat(2)] * np.tile([0.7, 0.3], N_TEXTS)
    mean = chances.mean(axis=0) @ vectors
    weights, added = meaning_logits(vectors - mean, chances, fit_text_axes(vectors, chances, AXES))
    assert np.isfinite(weights).all()
    assert np.isfinite(added).all()
