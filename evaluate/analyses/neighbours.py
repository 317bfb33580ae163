"""The findings of the nearest training ECGs, as a vote: no text and no learning.

Owns the vote. It is taken in the joint space, because the question is whether ECGs that are close
there share their findings; the probe looks at the encoder's features.
The voters are the ECGs that the probe learns from.
N = ECGs, M = training ECGs, C = classes, D = width of the joint space.

Source: k = 20 and weights of exp(cosine / 0.07) are those of Wu et al. 2018 (arXiv 1805.01978)
section 3.4 and Caron et al. 2021 (arXiv 2104.14294), who find 20 best.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.evaluate.analyses.analysis import Analysis, AnalysisContext, LeftOutError
from ecgpipe.evaluate.analyses.probe import MOST_ECGS, at_most
from ecgpipe.evaluate.results import Tasks
from ecgpipe.evaluate.table import Table, column
from ecgpipe.evaluate.words import Words, both, metric_words, word

K = 20
_TEMPERATURE = 0.07
_SIMILARITIES_AT_ONCE = 4_000_000


def nearest(
    ecg_ND: npt.NDArray[np.float32], known_MD: npt.NDArray[np.float32], k: int = K
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Who votes for each ECG, and with which weight.

    Args:
        ecg_ND: unit vectors of the ECGs.
        known_MD: unit vectors of the voting ECGs, at least one; all vote if there are fewer than k.
        k: how many vote.

    Returns:
        Places among the voting ECGs, and weights that sum to 1; (N, k) each, in any order.
    """
    k = min(k, len(known_MD))
    places_NK = np.empty((len(ecg_ND), k), np.int64)
    cosines_NK = np.empty((len(ecg_ND), k), np.float32)
    step = max(1, _SIMILARITIES_AT_ONCE // len(known_MD))
    for start in range(0, len(ecg_ND), step):
        rows = slice(start, start + step)
        cosine = ecg_ND[rows] @ known_MD.T
        places_NK[rows] = np.argpartition(cosine, -k, axis=1)[:, -k:]
        cosines_NK[rows] = np.take_along_axis(cosine, places_NK[rows], axis=1)
    weights_NK = np.exp((cosines_NK - cosines_NK.max(axis=1, keepdims=True)) / _TEMPERATURE)
    return places_NK, weights_NK / weights_NK.sum(axis=1, keepdims=True)


def votes(
    places_NK: npt.NDArray[np.int64],
    weights_NK: npt.NDArray[np.float32],
    truth_MC: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float32]:
    """The share of the weighted votes that each class gets, (N, C), between 0 and 1.

    Args:
        places_NK: from `nearest`.
        weights_NK: from `nearest`.
        truth_MC: which classes the voting ECGs show; one may show several or none.
    """
    votes_NC = np.zeros((len(places_NK), truth_MC.shape[1]), np.float32)
    for places_N, weights_N in zip(places_NK.T, weights_NK.T, strict=True):
        votes_NC += weights_N[:, None] * truth_MC[places_N]
    return votes_NC


def compute(context: AnalysisContext) -> dict[str, Any]:
    """The vote of the nearest training ECGs, for the model and one untrained encoder."""
    context.need_other_split("train")
    tasks = context.fully_known_tasks
    if not len(context.train):
        raise LeftOutError("no training record has a text")
    known = at_most(context.train, [task.task for task in tasks], MOST_ECGS, context.config.seed)
    voters = []
    for model in (context.model, context.untrained[0]):
        context.check_stop()
        voters.append(
            nearest(model.encode_ecg(context.scored.slots), model.encode_ecg(known.slots))
        )
    findings = [record.findings for record in known.records]
    block: dict[str, Any] = {}
    for task in tasks:
        truth_MC = task.task.truth(findings)
        trained, untrained = [context.summary(task, votes(*each, truth_MC)) for each in voters]
        block[task.task.name] = {"summary": trained, "random_encoder": {"summary": untrained}}
    return {"k": min(K, len(known)), "tasks": block}


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
