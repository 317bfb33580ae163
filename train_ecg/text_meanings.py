"""What a text may mean: for each text that training names, the chance of being a wording of it.

Owns the fit of these chances: they are those of the discriminant analysis whose axes `text_axes`
finds, with every text equally likely beforehand. That analysis has seen each wording and is far too
sure of it, so how sure to be of others is chosen on wordings left out: as little as these allow,
since many a text to come is no wording of any, but between several.
F = texts, R = sentences, W = width of a text vector, K = axes, M = sentences left out.

Source: Hastie, Tibshirani and Friedman, The Elements of Statistical Learning (2009), sections 4.3
and 7.10 (the one-standard-error rule).
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ecgpipe.train_ecg.text_axes import Floats, axes_of_points, within_span

_PARTS = 4
_SURENESS = np.geomspace(0.01, 10, 61)


def meaning_logits(
    vectors_RW: npt.NDArray[np.float32], chances_FR: Floats, axes_WK: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The linear map from a text's coordinates to the log of its chances, but for a constant.

    Args:
        vectors_RW: of the sentences, minus the mean that is subtracted from every text vector.
        chances_FR: the chance that each sentence words each text; every row sums to 1.
        axes_WK: from `fit_text_axes`.

    Returns:
        (F, K) weights, and (F,) what is added.
    """
    means_FK = chances_FR @ (vectors_RW.astype(np.float64) @ axes_WK)
    sureness = _sureness(vectors_RW, chances_FR, axes_WK.shape[1])
    added_F = sureness * _added(means_FK)
    return (sureness * means_FK).astype(np.float32), added_F.astype(np.float32)


def _added(means_FK: Floats) -> Floats:
    """(F,) what makes a point's products with the means half its squared distances from them,
    negated, but for what is the same for all; so a mean of all points need not be subtracted."""
    added_F: Floats = -np.square(means_FK).sum(axis=1) / 2
    return added_F


def _sureness(vectors_RW: npt.NDArray[np.float32], chances_FR: Floats, n_axes: int) -> float:
    """The least factor under which sentences left out are as likely to word the texts that they do
    as under the best, but for the standard error of its mean over texts, since the sentences of one
    are alike; 1 if none can be left out."""
    logits_and_texts = list(_left_out(vectors_RW, chances_FR, n_axes))
    if not logits_and_texts:
        return 1.0
    logits_MF = np.concatenate([logits for logits, _ in logits_and_texts])
    texts_M = np.concatenate([texts for _, texts in logits_and_texts])
    likelihood_XT = np.stack([_log_likelihoods(each * logits_MF, texts_M) for each in _SURENESS])
    mean_X = likelihood_XT.mean(axis=1)
    best_T = likelihood_XT[mean_X.argmax()]
    enough_X = mean_X >= best_T.mean() - best_T.std() / np.sqrt(len(best_T))
    return float(_SURENESS[enough_X.argmax()])


def _left_out(
    vectors_RW: npt.NDArray[np.float32], chances_FR: Floats, n_axes: int
) -> Iterator[tuple[Floats, npt.NDArray[np.int64]]]:
    """A quarter of the sentences of each text in turn, never its likeliest, by which it is scored:
    (M, F) their logits by a fit without them, and (M,) the texts that they word."""
    points_Rn, _ = within_span(vectors_RW)
    texts, rows = (chances_FR > 0).nonzero()
    place = np.arange(len(texts)) - np.searchsorted(texts, texts)  # within its text
    spared = rows == chances_FR.argmax(axis=1)[texts]
    for part in range(_PARTS):
        out = (place % _PARTS == part) & ~spared
        if not out.any():
            continue
        rest_FR = chances_FR.copy()
        rest_FR[texts[out], rows[out]] = 0
        rest_FR /= rest_FR.sum(axis=1, keepdims=True)
        points_RK = points_Rn @ axes_of_points(points_Rn, rest_FR, n_axes, vectors_RW.shape[1])
        means_FK = rest_FR @ points_RK
        yield points_RK[rows[out]] @ means_FK.T + _added(means_FK), texts[out]


def _log_likelihoods(logits_MF: Floats, texts_M: npt.NDArray[np.int64]) -> Floats:
    """(T,) of each text that has sentences: the mean of these to word it."""
    totals_M = np.logaddexp.reduce(logits_MF, axis=1)
    likelihood_M = logits_MF[np.arange(len(texts_M)), texts_M] - totals_M
    counts_F = np.bincount(texts_M)
    means_T: Floats = np.bincount(texts_M, likelihood_M)[counts_F > 0] / counts_F[counts_F > 0]
    return means_T
