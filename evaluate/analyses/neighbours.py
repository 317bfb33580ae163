"""The findings of the nearest training ECGs, as a vote: no text and no learning.

Owns the vote. It is taken in the joint space, because the question is whether ECGs that are close
there share their findings; the probe looks at the encoder's features.
N = ECGs, M = training ECGs, C = classes, D = width of the joint space.

Source: k = 20 and weights of exp(cosine / 0.07) are those of Wu et al. 2018 (arXiv 1805.01978)
section 3.4 and Caron et al. 2021 (arXiv 2104.14294), who find 20 best.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.evaluate.analyses.analysis import Analysis, AnalysisContext, LeftOutError
from ecgpipe.evaluate.results import Tasks
from ecgpipe.evaluate.table import Table, column
from ecgpipe.evaluate.words import Words, both, metric_words, word

K = 20
_TEMPERATURE = 0.07
_SIMILARITIES_AT_ONCE = 4_000_000
_KNOWN_AT_ONCE = 65_536


def neighbour_votes(
    ecg_ND: npt.NDArray[np.float32],
    known_MD: npt.NDArray[np.float32],
    truth_MC: npt.NDArray[np.bool_],
    k: int = K,
) -> npt.NDArray[np.float32]:
    """The share of the weighted votes of the k nearest that each class gets.

    Args:
        ecg_ND: unit vectors of the ECGs.
        known_MD: unit vectors of the voting ECGs, at least one; all vote if there are fewer than k.
        truth_MC: which classes these show; one may show several or none.
        k: how many vote.

    Returns:
        (N, C), between 0 and 1.
    """
    k = min(k, len(known_MD))
    votes_NC = np.empty((len(ecg_ND), truth_MC.shape[1]), np.float32)
    step = max(1, _SIMILARITIES_AT_ONCE // min(len(known_MD), _KNOWN_AT_ONCE))
    for start in range(0, len(ecg_ND), step):
        rows = slice(start, start + step)
        nearest, near = _nearest(ecg_ND[rows], known_MD, k)
        weights = np.exp((near - near.max(axis=1, keepdims=True)) / _TEMPERATURE)
        weights /= weights.sum(axis=1, keepdims=True)
        votes_NC[rows] = np.einsum("nk,nkc->nc", weights, truth_MC[nearest].astype(np.float32))
    return votes_NC


def _nearest(
    ecg_ND: npt.NDArray[np.float32], known_MD: npt.NDArray[np.float32], k: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The places and the cosines of the k nearest, (N, k) each, in any order.

    A part of the known at a time: with a million, a product of few rows would only read vectors.
    """
    places, cosines, first = [], [], 0
    for part in np.array_split(known_MD, -(-len(known_MD) // _KNOWN_AT_ONCE)):
        cosine = ecg_ND @ part.T
        best = _places_of_greatest(cosine, k)
        places.append(best + first)
        first += len(part)
        cosines.append(np.take_along_axis(cosine, best, axis=1))
    if len(places) == 1:
        return places[0], cosines[0]
    place, cosine = np.concatenate(places, axis=1), np.concatenate(cosines, axis=1)
    best = _places_of_greatest(cosine, k)
    return np.take_along_axis(place, best, axis=1), np.take_along_axis(cosine, best, axis=1)


def _places_of_greatest(values_NM: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    k = min(k, values_NM.shape[1])
    return np.argpartition(-values_NM, k - 1, axis=1)[:, :k]


def compute(context: AnalysisContext) -> dict[str, Any]:
    """The vote of the nearest training ECGs, for the model and one untrained encoder."""
    context.need_other_split("train")
    tasks = context.scorable_tasks
    if not len(context.train):
        raise LeftOutError("no training record has a text")
    vectors = []
    for model in (context.model, context.untrained[0]):
        context.check_stop()
        vectors.append(
            (model.encode_ecg(context.scored.slots), model.encode_ecg(context.train.slots))
        )
    findings = [record.findings for record in context.train.records]
    block: dict[str, Any] = {}
    for task in tasks:
        truth_MC = task.task.truth(findings)
        trained, untrained = [
            context.summary(task, neighbour_votes(ecg_ND, known_MD, truth_MC))
            for ecg_ND, known_MD in vectors
        ]
        block[task.task.name] = {"summary": trained, "random_encoder": {"summary": untrained}}
    return {"k": min(K, len(context.train)), "tasks": block}


def about(block: Any, tasks: Tasks) -> Words:
    """How many vote."""
    return both(
        f"学習データの近い {block['k']} 件の多数決。",
        f"By the {block['k']} nearest ECGs of the training split.",
    )


def tables(block: Any, tasks: Tasks) -> Iterator[Table]:
    """One row for each task and metric."""
    rows, metrics = [], []
    for name, entry in block["tasks"].items():
        task = tasks[name]
        for metric, value in entry["summary"].items():
            if not metric.endswith("_all"):
                random = entry["random_encoder"]["summary"].get(metric)
                rows.append((task["title"], metric_words(task["kind"], metric), value, random))
                metrics.append(metric)
    columns = (
        column("task", "words"), column("metric", "words"), column("model", "metric"),
        column("random_encoder", "metric", word("baselines", "random_encoder")),
    )  # fmt: skip
    yield Table("neighbours", ANALYSIS.title, columns, tuple(rows), tuple(metrics))


ANALYSIS = Analysis(
    title=both("k近傍", "Nearest neighbours"), compute=compute, tables=tables, about=about
)
