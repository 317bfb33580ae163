"""A plane through the space that ECGs and texts share.

Owns the projection. Each side is centred on its own mean before both are decomposed together: the
two lie in separate cones of the space, and the first component would show nothing but that gap.
N = ECGs, C = classes, D = width.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.evaluate.scored_task import ScoredTask

Vectors = npt.NDArray[np.float32]

MOST_ECGS = 2000
METHOD = "principal components (SVD) of ECG and text vectors, each side centred on its own mean"


def mapped_records(scored: ScoredTask, seed: int, most: int = MOST_ECGS) -> npt.NDArray[np.int64]:
    """Which records of the split are mapped: all that the task scores, or a drawn part of them."""
    places = np.flatnonzero(scored.chosen_N)
    if len(places) > most:
        places = np.sort(np.random.default_rng(seed).choice(places, most, replace=False))
    return places


def embedding_map(
    ecg_ND: Vectors, text_CD: Vectors, scored: ScoredTask, records: Sequence[int]
) -> dict[str, Any]:
    """ECGs and class wordings in two dimensions, ready for the results file.

    Args:
        ecg_ND: unit vectors of the mapped ECGs.
        text_CD: unit vectors of the task's classes.
        scored: the task as the model scored it; its scores say which text is nearest.
        records: (N,) the place of each mapped ECG in the split.

    Returns:
        The block `map`: an ECG's class is its only one, or None where it shows several.
    """
    ids = [c.id for c in scored.task.classes]
    ecgs = ecg_ND.astype(np.float64) - ecg_ND.mean(axis=0, dtype=np.float64)
    texts = text_CD.astype(np.float64) - text_CD.mean(axis=0, dtype=np.float64)
    # Each side counts the same, however many ECGs there are: else the texts would have no say.
    both = np.concatenate([ecgs / np.sqrt(len(ecgs)), texts / np.sqrt(len(texts))])
    _, sizes, axes = np.linalg.svd(both, full_matrices=False)
    axes = _turned(axes[:2])
    variance = sizes**2 / max(float((sizes**2).sum()), 1e-30)
    explained = [float(share) for share in variance[:2]]
    flat_ecgs, flat_texts = ecgs @ axes.T, texts @ axes.T
    # The two clouds differ in size; each is drawn at its own scale, so that both are seen.
    flat_texts *= _spread(flat_ecgs) / max(_spread(flat_texts), 1e-12)
    nearest = scored.scores_NC[records].argmax(axis=1)
    truth = scored.truth_NC[records]
    return {
        "method": METHOD + "; the texts are drawn at the ECGs' scale",
        "task": scored.task.name,
        "explained": explained,
        "ecgs": [
            {
                "x": round(float(x), 5),
                "y": round(float(y), 5),
                "class": ids[int(shown.argmax())] if shown.sum() == 1 else None,
                "right": bool(shown[near]),
            }
            for (x, y), shown, near in zip(flat_ecgs, truth, nearest, strict=True)
        ],
        "texts": [
            {"x": round(float(x), 5), "y": round(float(y), 5), "id": class_id}
            for (x, y), class_id in zip(flat_texts, ids, strict=True)
        ],
    }


def _turned(axes_2D: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Components have no sign: each is turned so that its largest part is positive, always."""
    if len(axes_2D) < 2:
        axes_2D = np.concatenate([axes_2D, np.zeros((2 - len(axes_2D), axes_2D.shape[1]))])
    largest = axes_2D[np.arange(2), np.abs(axes_2D).argmax(axis=1)]
    return axes_2D * np.where(largest < 0, -1.0, 1.0)[:, None]


def _spread(points: npt.NDArray[np.float64]) -> float:
    return float(np.sqrt((points**2).sum(axis=1).mean())) if len(points) else 0.0
