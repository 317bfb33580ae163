"""The first task on changed ECGs: leads missing, noise, a low sampling rate, electrodes swapped.

Owns the block and its table; the changes are `conditions`'.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import xxhash

from ecgpipe.evaluate.analyses.analysis import Analysis, AnalysisContext, Slots, Stored
from ecgpipe.evaluate.analyses.conditions import Condition, conditions, to_millivolts, to_stored
from ecgpipe.evaluate.results import Tasks, headline_metrics
from ecgpipe.evaluate.scoring import bootstrap_metrics
from ecgpipe.evaluate.table import Table, column, metric_column
from ecgpipe.evaluate.words import Words, both


def compute(context: AnalysisContext) -> dict[str, Any]:
    """The first task under every condition that these signals allow."""
    scored, signals, config = context.scorable_tasks[0], context.signals, context.config
    task = scored.task
    slots = context.scored.slots[scored.chosen_N]
    draws = context.draws.chosen(scored.chosen_N)
    number_of = {
        record.slot: xxhash.xxh3_64_intdigest(record.record_id.encode())
        for record in context.scored.records
    }
    made, left_out = [], {}
    for condition in conditions(
        signals.leads, signals.samples, context.rate_hz, config.seed, context.resample
    ):
        context.check_stop()
        if condition.cannot:
            left_out[condition.name] = condition.cannot
            continue
        ecg_ND = context.model.encode_changed(slots, _on_stored(condition, number_of))
        scores_NC = context.scores(context.model, task, ecg_ND)
        found = bootstrap_metrics(
            scores_NC, scored.truth, draws, config.min_positives, known_NC=scored.known
        )
        summary = found.summary_metrics()
        made.append({"name": condition.name, "about": dict(condition.about), "summary": summary})
    return {"task": task.name, "conditions": made, "left_out": left_out}


def _on_stored(
    condition: Condition, number_of: dict[int, int]
) -> Callable[[Stored, Slots], Stored]:
    """A condition as a change of stored signals."""

    def change(stored_BLS: Stored, slots_B: Slots) -> Stored:
        numbers = np.array([number_of[slot] for slot in slots_B.tolist()], np.uint64)
        return to_stored(condition.change(to_millivolts(stored_BLS), numbers))

    return change


def about(block: Any, tasks: Tasks) -> Words:
    """Which task."""
    title = tasks[block["task"]]["title"]
    return both(
        f"課題「{title['ja']}」を、信号を変えて採点し直したもの。",
        f"The task {title['en']}, scored again on changed signals.",
    )


def tables(block: Any, tasks: Tasks) -> Iterator[Table]:
    """One row for each condition."""
    task, conditions = tasks[block["task"]], block["conditions"]
    wanted = dict.fromkeys((*headline_metrics(task), "hit@1_micro", "macro_auroc"))
    names = [name for name in wanted if any(name in each["summary"] for each in conditions)]
    columns = (
        column("condition", "words", both("条件", "Condition")),
        *(metric_column(task["kind"], name) for name in names),
    )
    rows = tuple(
        (each["about"], *(each["summary"].get(name) for name in names)) for each in conditions
    )
    yield Table("robustness", ANALYSIS.title, columns, rows)


ANALYSIS = Analysis(
    title=both("頑健性", "Robustness"), of_echos=True, compute=compute, tables=tables, about=about
)
