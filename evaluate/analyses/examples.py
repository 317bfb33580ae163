"""ECGs worth looking at: the best, the worst, the most confidently wrong.

Owns the choice, not the drawing. C = classes, N = records.

best               a true class comes first, with the greatest lead over the best false class
worst              the best-ranked true class is furthest down the list
confidently_wrong  a false class comes first, with the greatest lead over the second
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.evaluate.analyses.analysis import Analysis, AnalysisContext
from ecgpipe.evaluate.results import Tasks
from ecgpipe.evaluate.scored_task import ScoredTask
from ecgpipe.evaluate.table import Table, column
from ecgpipe.evaluate.words import LIST, both, class_names, joined, word

_TOP = 5
_OF_EACH_KIND = (2, 1)  # for the first task and the next: as many as a reader looks at


def choose_examples(
    scored: ScoredTask, record_ids: Sequence[str], of_each: int = 1
) -> list[dict[str, Any]]:
    """The chosen ECGs of a task, each once, ready for the results file.

    Args:
        scored: the task's scores and truth.
        record_ids: of every record of the split, whether the task scores it or not.
        of_each: how many of each kind; fewer where there are no more.
    """
    places = np.flatnonzero(scored.chosen_N)
    scores_NC, truth_NC = scored.scores, scored.truth
    if not len(places) or scores_NC.shape[1] < 2:
        return []
    ids = [c.id for c in scored.task.classes]
    found = []
    taken: set[int] = set()
    for kind, order in _orders(scores_NC.astype(np.float64), truth_NC).items():
        for n in [n for n in order if n not in taken][:of_each]:
            taken.add(n)
            found.append(
                {
                    "kind": kind,
                    "record_id": record_ids[places[n]],
                    **_facts(scores_NC[n], truth_NC[n], ids),
                }
            )
    return found


def _orders(
    scores_NC: npt.NDArray[np.float64], truth_NC: npt.NDArray[np.bool_]
) -> dict[str, list[int]]:
    """By kind, the records it applies to, the most extreme first."""
    of_truth = np.where(truth_NC, scores_NC, -np.inf).max(axis=1)
    of_rest = np.where(truth_NC, -np.inf, scores_NC).max(axis=1)
    lead_N = of_truth - of_rest  # infinite where every class is true
    rank_N = (scores_NC > of_truth[:, None]).sum(axis=1) + 1
    two_N2 = np.sort(scores_NC, axis=1)[:, -2:]
    sure_N = two_N2[:, 1] - two_N2[:, 0]
    wrong_N = lead_N < 0
    right_N = (lead_N > 0) & np.isfinite(lead_N)
    return {
        "best": _picked(right_N, lead_N),
        "worst": _picked(wrong_N, rank_N - lead_N / 10),  # leads stay below 2: they break ties
        "confidently_wrong": _picked(wrong_N, sure_N),
    }


def _picked(chosen_N: npt.NDArray[np.bool_], key_N: npt.NDArray[np.float64]) -> list[int]:
    order = np.argsort(-np.where(chosen_N, key_N, -np.inf), kind="stable")
    return [int(n) for n in order if chosen_N[n]]


def _facts(
    scores_C: npt.NDArray[np.float32], truth_C: npt.NDArray[np.bool_], ids: Sequence[str]
) -> dict[str, Any]:
    order = np.argsort(-scores_C, kind="stable")
    return {
        "findings": [ids[c] for c in order if truth_C[c]],
        "top": [{"id": ids[c], "score": round(float(scores_C[c]), 4)} for c in order[:_TOP]],
        "rank_of_truth": int((scores_C > scores_C[truth_C].max()).sum()) + 1,
    }


def compute(context: AnalysisContext) -> dict[str, Any]:
    """The best, the worst and the most confidently wrong, for the first two tasks."""
    record_ids = [record.record_id for record in context.scored.records]
    pairs = zip(context.fully_known_tasks, _OF_EACH_KIND, strict=False)
    return {scored.task.name: choose_examples(scored, record_ids, n) for scored, n in pairs}


def tables(block: Any, tasks: Tasks) -> Iterator[Table]:
    """For each task, one row a candidate of a chosen ECG."""
    columns = (
        column("record", "text", both("記録", "Record")),
        column("kind", "words", both("種類", "Kind")),
        column("findings", "words"), column("rank", "count"), column("candidate", "words"),
        column("score", "number"),
    )  # fmt: skip
    for name, examples in block.items():
        task = tasks[name]
        rows = tuple(
            (
                chosen["record_id"],
                word("examples", chosen["kind"]),
                joined([class_names(task, finding) for finding in chosen["findings"]], LIST),
                place,
                class_names(task, candidate["id"]),
                candidate["score"],
            )
            for chosen in examples
            for place, candidate in enumerate(chosen["top"], 1)
        )
        yield Table(f"{name}-examples", task["title"], columns, rows)


ANALYSIS = Analysis(title=both("心電図の実例", "Example ECGs"), compute=compute, tables=tables)
