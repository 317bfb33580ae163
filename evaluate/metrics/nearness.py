"""How near texts lie to those that were trained on.

Owns the measure: the cosine of two places, which are vectors of the language model minus the mean
of the training texts, on the model's axes if it has any. N = texts, K = texts trained on, W = width
of a place.
"""

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


def nearest(placed_NW: Vectors, trained_KW: npt.NDArray[np.float16]) -> Vectors:
    """(N,) the greatest cosine of each text and any of K trained ones; NaN if K is 0.

    Args:
        placed_NW: places of texts.
        trained_KW: places of the trained ones, of length 1.
    """
    if not len(trained_KW):
        return np.full(len(placed_NW), np.nan, np.float32)
    best: Vectors = (unit_rows(placed_NW) @ trained_KW.astype(np.float32).T).max(axis=1)
    return best


def unit_rows(vectors_NW: Vectors) -> Vectors:
    """(N, W) the same directions with length 1; a row of zeros stays one."""
    lengths_N1 = np.linalg.norm(vectors_NW, axis=1, keepdims=True)
    unit_NW: Vectors = vectors_NW / np.maximum(lengths_N1, np.float32(1e-12))
    return unit_NW
