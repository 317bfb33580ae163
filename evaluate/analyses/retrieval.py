"""ECG to report and report to ECG: the rank of the right one among all.

Owns what counts as right. ECGs with the same text have the same vector, so no model can tell their
texts apart: the distinct texts compete, and every ECG with a text is a right answer for it. A tie
with a wrong answer counts against the model, so a model that encodes everything alike finds
nothing. N = ECGs, T = distinct texts, D = width of the joint space.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.evaluate.analyses.analysis import Analysis, AnalysisContext, LeftOutError
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.results import Summary, Tasks
from ecgpipe.evaluate.scoring import DrawsByName, pooled_over, share_metric
from ecgpipe.evaluate.table import Column, Table, column
from ecgpipe.evaluate.words import Words, both, same, word

Vectors = npt.NDArray[np.float32]
Ranks = npt.NDArray[np.int64]
Encode = Callable[[Sequence[str]], Vectors]

AT = (1, 5, 10)
DIRECTIONS = ("ecg_to_text", "text_to_ecg")
_SIMILARITIES_AT_ONCE = 4_000_000


def retrieval_ranks(
    ecg_ND: Vectors, text_TD: Vectors, text_of_N: npt.NDArray[np.int64]
) -> dict[str, Ranks]:
    """For each ECG, the rank of the right answer by similarity; 1 is the best.

    Args:
        ecg_ND: unit vectors of the ECGs.
        text_TD: unit vectors of the distinct texts.
        text_of_N: which text each ECG has.

    Returns:
        By direction (N,). ecg_to_text: the ECG's text among the distinct texts. text_to_ecg: the
        best ECG with its text, among all ECGs.
    """
    ecg_to_text = np.empty(len(ecg_ND), np.int64)
    for rows in _pieces(len(ecg_ND), len(text_TD)):
        similar = ecg_ND[rows] @ text_TD.T
        own = np.take_along_axis(similar, text_of_N[rows, None], axis=1)
        ecg_to_text[rows] = (similar >= own).sum(axis=1)
    of_text = np.empty(len(text_TD), np.int64)
    for rows in _pieces(len(text_TD), len(ecg_ND)):
        similar = text_TD[rows] @ ecg_ND.T
        right = text_of_N[None, :] == np.arange(len(text_TD))[rows, None]
        best = np.where(right, similar, -np.inf).max(axis=1, keepdims=True)
        of_text[rows] = 1 + ((similar >= best) & ~right).sum(axis=1)
    return {"ecg_to_text": ecg_to_text, "text_to_ecg": of_text[text_of_N]}


def mean_reciprocal_rank(ecg_ND: Vectors, sentences: Sequence[str], encode: Encode) -> float:
    """The mean of 1 / rank of the best right ECG for each ECG's text; NaN below two texts.

    Args:
        ecg_ND: unit vectors of the ECGs.
        sentences: of each ECG, N.
        encode: gives unit vectors of texts.
    """
    distinct, text_of_N = np.unique(np.array(sentences, object), return_inverse=True)
    if len(distinct) < 2:
        return math.nan
    ranks = retrieval_ranks(ecg_ND, encode(distinct.tolist()), text_of_N)
    return float((1 / ranks["text_to_ecg"]).mean())


def recalls(ranks_N: Ranks, weights_DN: npt.NDArray[np.float64]) -> DrawsByName:
    """R@k: the share of ECGs whose right answer is among the k best, by draw.

    Args:
        ranks_N: of the right answer.
        weights_DN: bootstrap weights of the ECGs.

    Returns:
        By name (1 + D,); row 0 is the metric itself.
    """
    weights = np.concatenate([np.ones((1, len(ranks_N))), weights_DN])
    return {f"R@{k}": (weights @ (ranks_N <= k)) / weights.sum(axis=1) for k in AT}


def _pieces(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Rows processed together, so that memory does not grow with both counts."""
    step = max(1, _SIMILARITIES_AT_ONCE // max(n_columns, 1))
    for start in range(0, n_rows, step):
        yield slice(start, start + step)


def compute(context: AnalysisContext) -> dict[str, Any]:
    """ECG to text and text to ECG, over the whole scored split."""
    distinct, text_of_N = np.unique(np.array(context.sentences, object), return_inverse=True)
    if len(distinct) < 2:
        raise LeftOutError(f"all {len(context.scored)} ECGs have the same text")
    ranks = []
    for model in (context.model, *context.untrained):
        context.check_stop()
        ecgs = model.encode_ecg(context.scored.slots)
        ranks.append(retrieval_ranks(ecgs, model.encode_sentences(distinct.tolist()), text_of_N))
    return {
        "n": len(context.scored),
        "distinct_texts": len(distinct),
        **_both_directions(ranks[:1], context.draws),
        "random_encoder": _both_directions(ranks[1:], context.draws),
    }


def _both_directions(models: Sequence[dict[str, Ranks]], draws: PatientDraws) -> dict[str, Any]:
    """Recalls and the median rank of one model, or of several of one kind together."""
    found = {}
    for direction in DIRECTIONS:
        ranks = [model[direction] for model in models]
        median = float(np.median(np.concatenate(ranks)))
        found[direction] = {**_recall_metrics(ranks, draws), "median_rank": median}
    return found


def _recall_metrics(ranks: Sequence[Ranks], draws: PatientDraws) -> Summary:
    """Of several models, each has its part of the draws, as in the tasks' baselines."""

    def of_one(ranks_N: Ranks, part: PatientDraws) -> DrawsByName:
        return recalls(ranks_N, part.weights(0, len(part)).T.astype(np.float64))

    if len(ranks) > 1:
        return pooled_over(ranks, len(ranks), draws, of_one)
    everybody = np.ones((draws.n_records, 1), np.bool_)
    n_patients = float(draws.n_patients(everybody)[0])
    found = of_one(ranks[0], draws)
    return {name: share_metric(values, n_patients) for name, values in found.items()}


def about(block: Any, tasks: Tasks) -> Words:
    """How many ECGs and texts."""
    n, distinct = f"{block['n']:,}", f"{block['distinct_texts']:,}"
    return both(
        f"{n} 件の心電図と {distinct} 種類のテキスト。同じテキストはすべて正解と数えます。",
        f"{n} ECGs against {distinct} distinct texts; equal texts count as right.",
    )


def tables(block: Any, tasks: Tasks) -> Iterator[Table]:
    """One row for each direction, and under it the random encoder's."""
    recall = [f"R@{k}" for k in AT]
    columns = (
        column("direction", "words", both("方向", "Direction")),
        column("scored", "words", word("columns", "model")),
        *(Column(name, same(name), "share") for name in recall),
        column("median_rank", "number"),
    )
    names = {
        "ecg_to_text": both("心電図→テキスト", "ECG → text"),
        "text_to_ecg": both("テキスト→心電図", "text → ECG"),
    }
    rows = tuple(
        (
            names[direction],
            words,
            *(entry[direction][name] for name in (*recall, "median_rank")),
        )
        for direction in DIRECTIONS
        for words, entry in (
            (word("columns", "model"), block),
            (word("baselines", "random_encoder"), block["random_encoder"]),
        )
    )
    yield Table("retrieval", ANALYSIS.title, columns, rows)


ANALYSIS = Analysis(
    title=both("心電図とテキストの検索", "Retrieval"), compute=compute, tables=tables, about=about
)
