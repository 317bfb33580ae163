"""Several wordings of a class -> one score.

Owns the two ways. Pure arrays: N = ECGs, M = wordings, C = classes, D = width.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ecgpipe.evaluate.tasks.task_file import Ensemble

Floats32 = npt.NDArray[np.float32]


def flattened(wordings: Sequence[Sequence[str]]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """All wordings in a row, and the class of each; every class has at least one."""
    class_of_M = np.repeat(np.arange(len(wordings)), [len(texts) for texts in wordings])
    return [text for texts in wordings for text in texts], class_of_M


def class_scores(
    ecgs_ND: Floats32, texts_MD: Floats32, class_of_M: npt.NDArray[np.int64], how: Ensemble
) -> Floats32:
    """Scores (N, C) of classes with one or several wordings.

    Args:
        ecgs_ND: unit vectors of ECGs.
        texts_MD: unit vectors of wordings.
        class_of_M: the class of each wording, ascending from 0; every class has one.
        how: mean: the wordings' vectors are averaged and set to length 1 again (CLIP's prompt
            ensemble, arXiv 2103.00020 section 3.1.4). max: a class scores as its best wording does.
    """
    starts_C = np.flatnonzero(np.diff(class_of_M, prepend=-1))
    if len(starts_C) == len(class_of_M):
        return ecgs_ND @ texts_MD.T
    if how == "max":
        return np.maximum.reduceat(ecgs_ND @ texts_MD.T, starts_C, axis=1)
    return ecgs_ND @ mean_vectors(texts_MD, starts_C).T


def mean_vectors(texts_MD: Floats32, starts_C: npt.NDArray[np.intp]) -> Floats32:
    """(C, D) the mean of each class's vectors, scaled to length 1; 0 if they cancel out."""
    sums_CD = np.add.reduceat(texts_MD.astype(np.float64), starts_C, axis=0)
    lengths_C1 = np.linalg.norm(sums_CD, axis=1, keepdims=True)
    # Opposite unit vectors in float32 leave a remainder of 1e-8, which is no direction.
    means: Floats32 = np.where(lengths_C1 < 1e-6, 0, sums_CD / np.maximum(lengths_C1, 1e-6)).astype(
        np.float32
    )
    return means
