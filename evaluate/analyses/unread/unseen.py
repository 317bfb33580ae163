"""Findings that training never named, scored by their names.

Owns the comparison: with the prompt of the nearest finding that was trained on, where the model
places texts, since a name that is merely close to a trained one would score as well; and with
chance. Chance is not always .5: a model may score every name it does not know by how abnormal an
ECG looks, so the names are exchanged as well as the ECGs. N = records, F = findings, K = findings
trained on, W = width of a place.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.evaluate.analyses.analysis import Analysis, AnalysisContext, LeftOutError
from ecgpipe.evaluate.analyses.unread.spoken import names_of
from ecgpipe.evaluate.metrics.baselines import ecg_shuffles, shuffles
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.metrics.nearness import unit_rows
from ecgpipe.evaluate.results import Metric, Tasks
from ecgpipe.evaluate.scoring import (
    DrawsByName,
    TaskDraws,
    bootstrap_metrics,
    class_metrics,
    percentile_metric,
    pooled_over,
)
from ecgpipe.evaluate.table import Table, column
from ecgpipe.evaluate.tasks.taxonomy import Finding
from ecgpipe.evaluate.words import Words, both, word

Scores = npt.NDArray[np.float32]
Truth = npt.NDArray[np.bool_]

_MACRO = "macro_auroc"


def compute(context: AnalysisContext) -> dict[str, Any]:
    """Macro AUROC of the unseen findings by their names, by the nearest trained finding's, and with
    names or ECGs shuffled; beside it that of the findings trained on."""
    if not context.unseen:
        raise LeftOutError("train.unseen_findings is empty: training named every finding")
    unseen, truth_NF = context.scorable_findings(context.taxonomy[id_] for id_ in context.unseen)
    if not unseen:
        raise LeftOutError(f"no unseen finding has {context.config.min_positives} ECGs")
    known = _trained_on(context)
    if not known:
        raise LeftOutError("training named no finding")
    nearest, cosines_F = _nearest(context, unseen, known)
    context.check_stop()
    scores_NF = _cosines(context, unseen)
    own = _found(context, scores_NF, truth_NF)
    by_nearest = _found(context, _cosines(context, nearest), truth_NF)
    shuffled_text, shuffled_ecg = _exchanged(context, scores_NF, truth_NF)
    trained, trained_truth = context.scorable_findings(known)
    return {
        "n": len(context.scored),
        "own": own.summary_metrics()[_MACRO],
        "nearest": by_nearest.summary_metrics()[_MACRO],
        "difference": percentile_metric(own.summary[_MACRO] - by_nearest.summary[_MACRO]),
        "shuffled_text": shuffled_text,
        "shuffled_ecg": shuffled_ecg,
        "trained": (
            _found(context, _cosines(context, trained), trained_truth).summary_metrics()[_MACRO]
            if trained
            else None
        ),
        "n_trained": len(trained),
        "findings": [
            {
                "finding": finding.id,
                "names": names_of(finding),
                "n": int(truth_NF[:, number].sum()),
                "auroc": class_metrics(own, number)["auroc"],
                "nearest": nearest[number].id,
                "nearest_names": names_of(nearest[number]),
                "cosine": float(cosines_F[number]),
                "by_nearest": class_metrics(by_nearest, number)["auroc"],
            }
            for number, finding in enumerate(unseen)
        ],
    }


def nearest_of(
    unseen_FW: npt.NDArray[np.float32], known_KW: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """For each unseen finding the number of the known one of greatest cosine, and that cosine."""
    cosines_FK = unit_rows(unseen_FW) @ unit_rows(known_KW).T
    return cosines_FK.argmax(axis=1), cosines_FK.max(axis=1)


def _trained_on(context: AnalysisContext) -> list[Finding]:
    occurring = context.train.findings - set(context.unseen)
    return [each for each in context.taxonomy.findings if each.id in occurring]


def _nearest(
    context: AnalysisContext, unseen: Sequence[Finding], known: Sequence[Finding]
) -> tuple[list[Finding], npt.NDArray[np.float32]]:
    unseen_FW, known_KW = (
        context.model.place_texts(context.model.text_vectors(_spoken(context, findings), None))
        for findings in (unseen, known)
    )
    places_F, cosines_F = nearest_of(unseen_FW, known_KW)
    return [known[place] for place in places_F], cosines_F


def _spoken(context: AnalysisContext, findings: Sequence[Finding]) -> list[str]:
    return [finding.name(context.language) for finding in findings]


def _cosines(context: AnalysisContext, findings: Sequence[Finding]) -> Scores:
    return context.cosines(context.model, _spoken(context, findings))


def _found(context: AnalysisContext, scores_NF: Scores, truth_NF: Truth) -> TaskDraws:
    return bootstrap_metrics(scores_NF, truth_NF, context.draws, 1)


def _exchanged(
    context: AnalysisContext, scores_NF: Scores, truth_NF: Truth
) -> tuple[Metric | None, Metric | None]:
    """Macro AUROC with the names at the wrong findings, and with the ECGs of other patients."""
    draws, seed = context.draws, context.config.seed
    texts, ecgs = shuffles(truth_NF.shape[1], seed), ecg_shuffles(draws.patient_of_N, seed)

    def of_one(changed_NF: Scores, part: PatientDraws) -> DrawsByName:
        return bootstrap_metrics(changed_NF, truth_NF, part, 1).summary

    return (
        pooled_over((scores_NF[:, order] for order in texts), len(texts), draws, of_one).get(
            _MACRO
        ),
        pooled_over((scores_NF[order] for order in ecgs), len(ecgs), draws, of_one).get(_MACRO),
    )


def about(block: Any, tasks: Tasks) -> Words:
    """What was left out, and what the rows mean."""
    n = len(block["findings"])
    return both(
        f"学習では、これら {n} 所見の言い回しを一切読んでいません（train.unseen_findings）。"
        "これらを持つ心電図は、ほかの所見とともに学習に残っています。「最も近い所見の文で」は、"
        "モデルが文を置く空間で最も近い、学習した所見の名前で同じ所見を採点した値です。",
        f"Training read no wording of these {n} findings (train.unseen_findings); ECGs that show"
        " them stayed, with their other findings. “By the nearest trained finding”: the same"
        " findings scored by the trained name that is nearest where the model places texts.",
    )


def tables(block: Any, tasks: Tasks) -> Iterator[Table]:
    """The summary, and every finding."""
    columns = (
        column("scored", "words", both("採点", "Scored")),
        column("findings", "count", both("所見数", "Findings")),
        column("macro_auroc", "area", word("metrics", "macro_auroc")),
    )
    n = len(block["findings"])
    rows = (
        (_WORDS["own"], n, block["own"]),
        (_WORDS["nearest"], n, block["nearest"]),
        (_WORDS["difference"], n, block["difference"]),
        (_WORDS["shuffled_text"], n, block["shuffled_text"]),
        (_WORDS["shuffled_ecg"], n, block["shuffled_ecg"]),
        (_WORDS["trained"], block["n_trained"], block["trained"]),
    )
    yield Table("unseen", ANALYSIS.title, columns, rows)
    yield _each_table(block)


def _each_table(block: Any) -> Table:
    columns = (
        column("finding", "words", both("所見", "Finding")),
        column("n", "count"),
        column("auroc", "area"),
        column("nearest_names", "words", both("最も近い学習した所見", "Nearest trained finding")),
        column("cosine", "number", both("余弦", "Cosine")),
        column("by_nearest", "area", both("その文で採点", "Scored by it")),
    )
    rows = tuple(
        (each["names"], *(each[key.key] for key in columns[1:])) for each in block["findings"]
    )
    title = both("学習していない所見ごと", "Each unseen finding")
    return Table("unseen-each", title, columns, rows)


_WORDS = {
    "own": both("学習していない所見、自分の名前で", "Unseen findings by their own names"),
    "nearest": both("最も近い所見の文で", "The same by the nearest trained finding"),
    "difference": both("差", "Difference"),
    "shuffled_text": both("名前を所見間で入替（偶然）", "With names exchanged among them (chance)"),
    "shuffled_ecg": both("心電図を患者間で入替（偶然）", "With shuffled ECGs (chance)"),
    "trained": both("学習した所見、名前で", "Findings trained on, by their names"),
}

ANALYSIS = Analysis(
    title=both("学習していない所見", "Findings never trained on"),
    compute=compute,
    tables=tables,
    about=about,
)
