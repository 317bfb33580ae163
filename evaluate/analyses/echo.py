"""The findings of echocardiography, each scored by the sentence that says it.

Owns that an ECG counts for a finding only where its echocardiogram says whether it is there. What
is unknown is left out finding by finding, never taken for not shown. N = ECGs with an
echocardiogram, C = findings.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.records_table import Record
from ecgpipe.evaluate.analyses.analysis import Analysis, AnalysisContext, LeftOutError
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.results import Tasks
from ecgpipe.evaluate.scoring import bootstrap_metrics, class_metrics, pooled
from ecgpipe.evaluate.table import Table, column
from ecgpipe.evaluate.tasks.echo_definitions import EchoDefinition
from ecgpipe.evaluate.words import both

Scores = npt.NDArray[np.float32]


def echo_entry(
    definition: EchoDefinition,
    records: Sequence[Record],
    scores_N: Scores,
    untrained: Sequence[Scores],
    draws: PatientDraws,
    min_positives: int,
) -> dict[str, Any]:
    """One finding, ready for JSON.

    Args:
        definition: the finding.
        records: the ECGs with an echocardiogram.
        scores_N: their scores of the finding.
        untrained: the same of each untrained model.
        draws: bootstrap draws of the records.
        min_positives: ECGs that must show the finding, and as many that must not, for metrics.
    """
    known_N = np.array([definition.id in record.echo_known for record in records], np.bool_)
    shown_N = np.array([definition.id in record.echo_shown for record in records], np.bool_)
    n_known, n_shown = int(known_N.sum()), int(shown_N.sum())
    entry: dict[str, Any] = {
        "class": definition.id,
        "names": definition.names,
        "n_known": n_known,
        "n": n_shown,
        "auroc": None,
        "auprc": None,
        "random_encoder": None,
    }
    if min(n_shown, n_known - n_shown) < max(min_positives, 1):
        return entry
    truth_K1, chosen = shown_N[known_N, None], draws.chosen(known_N)
    found = [
        bootstrap_metrics(scores[known_N, None], truth_K1, chosen, min_positives)
        for scores in (scores_N, *untrained)
    ]
    metrics: Any = class_metrics(found[0], 0)
    aurocs = [{"auroc": each.by_class["auroc"][:, 0]} for each in found[1:]]
    return entry | {
        "auroc": metrics["auroc"],
        "auprc": metrics["auprc"],
        "random_encoder": pooled(aurocs)["auroc"],
    }


def compute(context: AnalysisContext) -> dict[str, Any]:
    """Score every finding of the definitions on the ECGs that have an echocardiogram."""
    if context.echo is None:
        raise LeftOutError("data.echo names no table of echocardiograms")
    has_echo_N = np.array([bool(record.echo_known) for record in context.scored.records], np.bool_)
    if not has_echo_N.any():
        raise LeftOutError("no scored ECG has an echocardiogram")
    rows = np.flatnonzero(has_echo_N).tolist()
    records = [context.scored.records[row] for row in rows]
    names = [each.names[context.language] for each in context.echo.definitions]
    slots = context.scored.slots[has_echo_N]
    scores = [
        model.encode_ecg(slots) @ model.encode_text(names, context.language).T
        for model in (context.model, *context.untrained)
    ]
    draws, least = context.draws.chosen(has_echo_N), context.config.min_positives
    findings = [
        echo_entry(
            definition,
            records,
            scores[0][:, number],
            [scores_NC[:, number] for scores_NC in scores[1:]],
            draws,
            least,
        )
        for number, definition in enumerate(context.echo.definitions)
    ]
    return {"n": len(rows), "findings": findings}


def tables(block: Any, tasks: Tasks) -> Iterator[Table]:
    """One row a finding."""
    columns = (
        column("class", "words"),
        column("n_known", "count", both("判定可能", "Known")),
        column("n", "count", both("所見あり", "Shown")),
        column("auroc", "area"),
        column("auprc", "area"),
        column("random_encoder", "area", both("未学習のAUROC", "AUROC, untrained")),
    )
    rows = tuple(
        (each["names"], *(each[each_column.key] for each_column in columns[1:]))
        for each in block["findings"]
    )
    yield Table("echo", ANALYSIS.title, columns, rows)


ANALYSIS = Analysis(
    title=both("心エコーの所見", "Findings of echocardiography"), compute=compute, tables=tables
)
