"""What the nearest training ECGs show: a vote, without any text and without learning.

Owns the vote. It runs in the joint space and not on the encoder's features, because it asks whether
ECGs that lie together where texts and ECGs meet share their findings; the probe asks the features.
N = ECGs asked about, M = training ECGs, C = classes, D = joint width.

Source: k = 20 and weights of exp(cosine / 0.07) are those of Wu et al. 2018 (arXiv 1805.01978)
section 3.4 and Caron et al. 2021 (arXiv 2104.14294), who find 20 best.
"""

import numpy as np
import numpy.typing as npt

K = 20
_TEMPERATURE = 0.07
_SIMILARITIES_AT_ONCE = 4_000_000


def neighbour_votes(
    ecg_ND: npt.NDArray[np.float32],
    known_MD: npt.NDArray[np.float32],
    truth_MC: npt.NDArray[np.bool_],
    k: int = K,
) -> npt.NDArray[np.float32]:
    """The share of the weighted votes of the k nearest that each class gets.

    Args:
        ecg_ND: unit vectors of the ECGs asked about.
        known_MD: unit vectors of the ECGs that vote; at least one. All vote where there are fewer
            than k.
        truth_MC: which classes these show; one may show several or none.
        k: how many vote.

    Returns:
        (N, C), between 0 and 1.
    """
    k = min(k, len(known_MD))
    votes_NC = np.empty((len(ecg_ND), truth_MC.shape[1]), np.float32)
    step = max(1, _SIMILARITIES_AT_ONCE // len(known_MD))
    for start in range(0, len(ecg_ND), step):
        rows = slice(start, start + step)
        cosine = ecg_ND[rows] @ known_MD.T
        nearest = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
        near = np.take_along_axis(cosine, nearest, axis=1)
        weights = np.exp((near - near.max(axis=1, keepdims=True)) / _TEMPERATURE)
        weights /= weights.sum(axis=1, keepdims=True)
        votes_NC[rows] = np.einsum("nk,nkc->nc", weights, truth_MC[nearest].astype(np.float32))
    return votes_NC
