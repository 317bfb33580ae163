"""What a text may mean: the chances of a discriminant analysis, as sure as they turn out right."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import multivariate_normal

from ecgpipe.train_ecg import text_meanings
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
def test_wordings_never_read_are_judged_hardly_less_surely_than_rightly(spread: float) -> None:
    """Less sure, they would be less likely; surer, no likelier by more than texts differ in it."""
    vectors, new = worded(spread), worded(spread, seed=5)
    mean, axes, weights, added = fitted(vectors)
    logits = (new - mean) @ axes @ weights.T + added
    of_factor = {}
    for factor in (0.25, 1.0, 4.0):
        raised = np.exp(factor * (logits - logits.max(axis=1, keepdims=True)))
        chances = raised / raised.sum(axis=1, keepdims=True)
        each = np.log(chances[np.arange(len(MEANT)), MEANT] + 1e-300)
        of_factor[factor] = each.reshape(N_TEXTS, 8).mean(axis=1)
    of_texts = of_factor[4.0] - of_factor[1.0]
    assert of_factor[0.25].mean() < of_factor[1.0].mean()
    assert of_texts.mean() < 2 * of_factor[4.0].std() / np.sqrt(N_TEXTS)


@pytest.mark.parametrize("n_alike", [1, 85])
def test_the_sentences_of_one_text_count_as_one(
    n_alike: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 16 texts 15 are worded rightly, with a logit of 1 to 15 of 0, and one wrongly, with -1; so
    under a factor x their log likelihoods are f(x) and f(-x), where f(x) = x - log(e^x + 15).

    Their mean is largest where e^x = 210.07 (x = 5.35): -.569, and its standard error is
    7.99 sqrt(15) / 16 / sqrt(16) = .483. The least factor with a mean of -1.052 or more: x = 2.57.
    The next that is tried is 10^.45. By sentences, of which one text may have 85, it would be more.
    """
    texts = np.concatenate([np.zeros(n_alike, int), np.arange(1, 16)])
    logits = np.eye(16)[texts]
    logits[-1] *= -1
    monkeypatch.setattr(text_meanings, "_left_out", lambda *_: iter([(logits, texts)]))
    found = text_meanings._sureness(np.zeros((1, 1), np.float32), np.ones((1, 1)), 1)
    assert found == pytest.approx(10**0.45)


def test_texts_that_have_no_sentence_to_leave_out_have_no_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of three texts only the last is known by other sentences; so nothing speaks for less."""
    logits, texts = np.array([[0.0, 0.0, 1.0]] * 4), np.array([2] * 4)
    monkeypatch.setattr(text_meanings, "_left_out", lambda *_: iter([(logits, texts)]))
    found = text_meanings._sureness(np.zeros((1, 1), np.float32), np.ones((1, 1)), 1)
    assert found == pytest.approx(10)


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
