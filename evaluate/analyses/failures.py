"""Where a model fails: which finding is taken for which, and how the coarse diagnoses do.

Owns the definition of a confusion where an ECG shows several findings. N = records, C = classes.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.evaluate.analyses.analysis import Analysis, AnalysisContext
from ecgpipe.evaluate.analyses.text_space import class_vectors, cosines, text_confusion_correlation
from ecgpipe.evaluate.results import Tasks
from ecgpipe.evaluate.scored_task import ScoredTask
from ecgpipe.evaluate.scoring import wilson_metric
from ecgpipe.evaluate.table import Table, column
from ecgpipe.evaluate.words import LANGUAGES, LIST, Words, both, class_names, joined, same

Floats = npt.NDArray[np.float64]

_WORST = 20
_NONE = "none"
_PERMUTATIONS = 999
_COARSE = "superclass"
"""The taxonomy's column of coarse classes."""


def overtaken(
    scores_NC: npt.NDArray[np.float32], truth_NC: npt.NDArray[np.bool_], min_positives: int
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """How often a class j that an ECG does not show scores as high as a class i that it does.

    Returns:
        The rate (C, C), NaN where fewer than `min_positives` ECGs show i and not j; and how many
        those are.
    """
    n_classes = scores_NC.shape[1]
    rates = np.full((n_classes, n_classes), np.nan)
    counts = truth_NC.T.astype(np.int64) @ (~truth_NC).astype(np.int64)
    for i in range(n_classes):
        own = truth_NC[:, i]
        over = (scores_NC[own] >= scores_NC[own, i][:, None]) & ~truth_NC[own]
        enough = counts[i] >= max(min_positives, 1)
        rates[i, enough] = over.sum(axis=0)[enough] / counts[i, enough]
    np.fill_diagonal(rates, np.nan)
    return rates, counts


def taken_for(
    scored: ScoredTask, similarity_CC: Floats | None, min_positives: int
) -> list[dict[str, Any]]:
    """The pairs of findings confused most often, by the lower bound of the rate, so that a pair
    with few ECGs does not come first by chance.

    Args:
        scored: the task.
        similarity_CC: cosines of the class prompts in the language model, shown with each pair.
        min_positives: the ECGs that a pair needs.
    """
    rates, counts = overtaken(scored.scores, scored.truth, min_positives)
    ids = [each.id for each in scored.task.classes]
    entries: list[dict[str, Any]] = []
    for i, j in np.argwhere(np.isfinite(rates)).tolist():
        n = int(counts[i, j])
        entries.append(
            {
                "shown": ids[i],
                "taken_for": ids[j],
                "n": n,
                "rate": wilson_metric(float(rates[i, j]), n),
                "text_cosine": None if similarity_CC is None else float(similarity_CC[i, j]),
            }
        )
    return sorted(entries, key=lambda entry: -entry["rate"]["low"])[:_WORST]


def by_coarse_class(
    scored: ScoredTask, coarse_of: Sequence[str | None], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Hits among the ECGs of each coarse class, and the coarse classes of their first guesses.

    An ECG counts for the coarse class of each of its findings.

    Args:
        scored: a task whose classes are findings.
        coarse_of: the coarse class of each of the task's classes; None for those without one.
        names: the coarse classes.
    """
    first_guess = scored.scores.argmax(axis=1) if len(scored.scores) else np.empty(0, np.int64)
    right = scored.truth[np.arange(len(first_guess)), first_guess]
    better = _ranks_of_best_truth(scored)
    entries = []
    for name in names:
        own = np.array([coarse == name for coarse in coarse_of])
        shown = scored.truth[:, own].any(axis=1)
        n = int(shown.sum())
        if n == 0:
            continue
        guesses = [coarse_of[guess] or _NONE for guess in first_guess[shown]]
        entries.append(
            {
                "class": name,
                "n": n,
                "any_hit": wilson_metric(int(right[shown].sum()) / n, n),
                "median_rank": float(np.median(better[shown])),
                "first_guess": {
                    guess: guesses.count(guess) for guess in (*names, _NONE) if guess in guesses
                },
            }
        )
    return entries


def _ranks_of_best_truth(scored: ScoredTask) -> npt.NDArray[np.int64]:
    """The rank of each ECG's best-scored true finding, from 1; ties count against the model."""
    best = np.where(scored.truth, scored.scores, -np.inf).max(axis=1, initial=-np.inf)
    ahead = (scored.scores >= best[:, None]) & ~scored.truth
    ranks: npt.NDArray[np.int64] = ahead.sum(axis=1) + 1
    return ranks


def compute(context: AnalysisContext) -> dict[str, Any]:
    """By task: which class is taken for which, and how the coarse diagnoses do."""
    config = context.config
    coarse = {f.id: f.groups.get(_COARSE) for f in context.taxonomy.findings}
    block: dict[str, Any] = {}
    for scored in context.fully_known_tasks:
        ids = [each.id for each in scored.task.classes]
        similarity = cosines(class_vectors(context, scored) - context.model.text_mean)
        rates, _ = overtaken(scored.scores, scored.truth, config.min_positives)
        entry = {
            "taken_for": taken_for(scored, similarity, config.min_positives),
            "text_correlation": text_confusion_correlation(
                similarity, rates, _PERMUTATIONS, config.seed
            ),
            "by_coarse_class": [],
        }
        if set(ids) <= coarse.keys():  # the classes are findings
            own = [coarse[each] for each in ids]
            names = sorted({name for name in own if name is not None})
            entry["by_coarse_class"] = by_coarse_class(scored, own, names)
        block[scored.task.name] = entry
    return block


def tables(block: Any, tasks: Tasks) -> Iterator[Table]:
    """Whether alike texts are confused; then the worst pairs and the coarse classes by task."""
    yield Table(
        "failures-texts",
        both(
            "取り違えはテキストの近さで説明できるか",
            "Whether texts that are alike are confused",
        ),
        (
            column("task", "words"), column("correlation", "number"),
            column("p", "number", both("p値", "p")),
            column("pairs", "count", both("組の数", "Pairs")),
        ),
        tuple(
            (
                tasks[name]["title"],
                *(entry["text_correlation"][key] for key in ("value", "p", "pairs")),
            )
            for name, entry in block.items()
        ),
    )  # fmt: skip
    for name, entry in block.items():
        if entry["taken_for"]:
            yield _taken_for_table(name, entry["taken_for"], tasks)
        if entry["by_coarse_class"]:
            yield _coarse_table(name, entry["by_coarse_class"], tasks)


def _taken_for_table(name: str, entries: list[dict[str, Any]], tasks: Tasks) -> Table:
    task = tasks[name]
    return Table(
        f"failures-{name}-taken_for",
        both(f"取り違え：{task['title']['ja']}", f"Confused findings: {task['title']['en']}"),
        (
            column("class", "words"),
            column("taken_for", "words", both("誤って上位になったクラス", "Taken for")),
            column("n", "count"), column("rate", "share", both("割合", "Rate")),
            column("text_cosine", "number", both("テキストの余弦", "Cosine of the texts")),
        ),
        tuple(
            (
                class_names(task, each["shown"]), class_names(task, each["taken_for"]), each["n"],
                each["rate"], each["text_cosine"],
            )
            for each in entries
        ),
    )  # fmt: skip


def _coarse_table(name: str, entries: list[dict[str, Any]], tasks: Tasks) -> Table:
    title = tasks[name]["title"]
    return Table(
        f"failures-{name}-by_coarse_class",
        both(f"上位分類ごとの成績：{title['ja']}", f"By coarse class: {title['en']}"),
        (
            column("class", "text"), column("n", "count"),
            column("any_hit", "share", both("第1候補が正解", "First guess right")),
            column("median_rank", "number"),
            column("first_guess", "words", both("第1候補の分類", "First guesses")),
        ),
        tuple(
            (
                each["class"], each["n"], each["any_hit"], each["median_rank"],
                _guesses(each["first_guess"]),
            )
            for each in entries
        ),
    )  # fmt: skip


def _guesses(counts: Mapping[str, int]) -> Words:
    """Each coarse class with how often it came first."""
    names = {_NONE: both("分類なし", "none")}
    said = [(names.get(guess, same(guess)), n) for guess, n in counts.items()]
    return joined([{lang: f"{name[lang]} {n}" for lang in LANGUAGES} for name, n in said], LIST)


ANALYSIS = Analysis(title=both("誤りの傾向", "Patterns of failure"), compute=compute, tables=tables)
