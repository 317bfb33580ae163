"""The axes on which text vectors differ by what they say, rather than by how they say it.

Owns their fit: a linear discriminant analysis of the training's texts, each of which may be worded
in several ways. A language model's vectors of two findings in one sentence are far closer together
than those of one finding in two sentences, or two languages. So the variation among the wordings of
a text is whitened, and the axes kept are those on which the means of texts then differ most.
Knows texts and their wordings, no ECG and no label of one.
F = texts, R = sentences, W = width of a text vector, K = axes, n = the smaller of R and W.

Source: Fisher 1936; Hatch, Kajarekar and Stolcke 2006 (within-class covariance normalisation).
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_SHRINKAGE = 0.01
"""What is added to the variance of wordings in every direction, as a share of the mean variance of
a direction: there are fewer wordings than directions."""


def fit_text_axes(
    vectors_RW: npt.NDArray[np.float32], chances_FR: Floats, n_axes: int
) -> npt.NDArray[np.float32]:
    """(W, K) the map from a vector, minus any mean, to its coordinates on the axes.

    All texts count alike, however many records have them. The variance of wordings is the same on
    every axis, and the mean square of the texts' means is 1 over all. Where every text is one
    sentence, these are the principal axes, scaled alike. There is one axis fewer than texts; what
    is wanted beyond that is 0.

    Args:
        vectors_RW: of the sentences.
        chances_FR: the chance that each sentence words each text; every row sums to 1.
        n_axes: K.
    """
    points_Rn, basis_nW = within_span(vectors_RW)
    axes_nK = axes_of_points(points_Rn, chances_FR, n_axes, vectors_RW.shape[1])
    return (basis_nW.T @ axes_nK).astype(np.float32)


def within_span(vectors_RW: npt.NDArray[np.float32]) -> tuple[Floats, Floats]:
    """(R, n) coordinates of the sentences in the space that they span, from their mean on, and
    (n, W) its orthonormal basis."""
    centred_RW = (vectors_RW - vectors_RW.mean(axis=0)).astype(np.float64)
    # By products of sentences: they are fewer than directions, and these products far fewer.
    squares_R, rotation_RR = np.linalg.eigh(centred_RW @ centred_RW.T)
    spans_R = squares_R > 1e-10 * max(squares_R[-1], 0)
    basis_nW = (rotation_RR[:, spans_R] / np.sqrt(squares_R[spans_R])).T @ centred_RW
    return centred_RW @ basis_nW.T, basis_nW


def axes_of_points(points_Rn: Floats, chances_FR: Floats, n_axes: int, width: int) -> Floats:
    """(n, K) as `fit_text_axes`, of sentences in the space that they span.

    Args:
        points_Rn: from `within_span`.
        chances_FR: as there.
        n_axes: K.
        width: W, over whose directions the floor of the variance is shared out.
    """
    axes_nK = np.zeros((points_Rn.shape[1], n_axes))
    weights_R = chances_FR.mean(axis=0)
    centred_Rn = points_Rn - weights_R @ points_Rn
    means_Fn = chances_FR @ centred_Rn
    all_nn = (centred_Rn.T * weights_R) @ centred_Rn
    between_nn = means_Fn.T @ means_Fn / len(means_Fn)
    floor = _SHRINKAGE * np.trace(all_nn) / width
    if floor == 0:  # a single text
        return axes_nK
    within_nn = all_nn - between_nn + floor * np.eye(len(all_nn))
    whitened_nn = np.linalg.inv(np.linalg.cholesky(within_nn))
    ratios_n, rotated_nn = np.linalg.eigh(whitened_nn @ between_nn @ whitened_nn.T)  # ascending
    directions_nn = whitened_nn.T @ rotated_nn
    n_found = int((ratios_n > 1e-9 * ratios_n[-1]).sum())
    n_found = min(n_found, n_axes, len(means_Fn) - 1)
    found_nK = directions_nn[:, : -n_found - 1 : -1]
    axes_nK[:, :n_found] = found_nK / np.sqrt(ratios_n[-n_found:].mean())
    return axes_nK
