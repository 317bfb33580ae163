"""The tasks' metrics by sex, age and site.

Owns the groups and how many ECGs one needs. A group's macro metrics are over the classes of which
the group itself has enough ECGs, so two groups' need not be over the same classes; their number is
given. N = records, D = draws.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.records_table import Record
from ecgpipe.evaluate.analyses.analysis import Analysis, AnalysisContext, LeftOutError
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.results import Tasks, headline_metrics
from ecgpipe.evaluate.scored_task import ScoredTask
from ecgpipe.evaluate.scoring import bootstrap_metrics
from ecgpipe.evaluate.table import Table, column, metric_column
from ecgpipe.evaluate.tasks.answers import Answers
from ecgpipe.evaluate.words import Words, both

LEAST = 20
"""ECGs that a group needs to have metrics."""

OTHER, UNKNOWN = "other", "unknown"
_AGE_BANDS = ((40, "<40"), (65, "40-64"), (80, "65-79"))


def age_band(age: float | None) -> str | None:
    """The band of an age in years; None where it is unknown or negative.

    No upper limit: PTB-XL writes 300 for everybody above 89.
    """
    if age is None or not age >= 0:
        return None
    return next((name for below, name in _AGE_BANDS if age < below), ">=80")


ATTRIBUTES: Mapping[str, Callable[[Record], str | None]] = {
    "sex": lambda record: record.sex,
    "age": lambda record: age_band(record.age),
    "site": lambda record: record.site,
}


def group_metrics(
    scored: ScoredTask,
    records: Sequence[Record],
    draws: PatientDraws,
    min_positives: int,
) -> dict[str, Any]:
    """The metrics of one task for every group, ready for JSON.

    Args:
        scored: the task's scores and truth.
        records: (N,) the records of the split.
        draws: bootstrap draws of the records.
        min_positives: macro metrics are over classes with at least this many ECGs in the group.

    Returns:
        By attribute, then by group: n, patients, summary, and how many classes are in the macro
        metrics. Groups below `LEAST` ECGs are counted together as `other`, records without the
        value as `unknown`, both without metrics. An attribute that no record has is left out.
    """
    found: dict[str, Any] = {}
    for attribute, value_of in ATTRIBUTES.items():
        values = [value_of(r) or UNKNOWN for r in records]
        if set(values) == {UNKNOWN}:
            continue
        groups = _groups(np.array(values, object), scored.chosen_N)
        found[attribute] = {
            name: _entry(name, chosen, scored, records, draws, min_positives)
            for name, chosen in groups.items()
        }
    return found


def _groups(
    values_N: npt.NDArray[np.object_], chosen_N: npt.NDArray[np.bool_]
) -> dict[str, npt.NDArray[np.bool_]]:
    """The scored records of each group; empty groups are left out."""
    groups: dict[str, npt.NDArray[np.bool_]] = {}
    other = np.zeros(len(values_N), np.bool_)
    for name in sorted(set(values_N.tolist()) - {UNKNOWN}, key=_place):
        members = chosen_N & (values_N == name)
        if members.sum() >= LEAST and name != OTHER:
            groups[name] = members
        else:
            other |= members
    groups[OTHER] = other
    groups[UNKNOWN] = chosen_N & (values_N == UNKNOWN)
    return {name: members for name, members in groups.items() if members.any()}


def _place(name: str) -> tuple[bool, int, str]:
    """Sorts age bands by age, everything else by name."""
    bands = [*(band for _, band in _AGE_BANDS), ">=80"]
    return name not in bands, bands.index(name) if name in bands else 0, name


def _entry(
    name: str,
    chosen_N: npt.NDArray[np.bool_],
    scored: ScoredTask,
    records: Sequence[Record],
    draws: PatientDraws,
    min_positives: int,
) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "n": int(chosen_N.sum()),
        "patients": len({records[place].patient_id for place in np.flatnonzero(chosen_N).tolist()}),
        "classes_scored": 0,
        "summary": {},
    }
    if name in (OTHER, UNKNOWN):
        return entry
    answers = Answers(scored.truth_NC, scored.known_NC).of(chosen_N)
    metrics = bootstrap_metrics(
        scored.scores_NC[chosen_N],
        answers.shown_NC,
        draws.chosen(chosen_N),
        min_positives,
        known_NC=answers.known_NC,
    )
    return entry | {
        "classes_scored": int(answers.enough(min_positives).sum()),
        "summary": metrics.summary_metrics(),
    }


def compute(context: AnalysisContext) -> dict[str, Any]:
    """By task, its metrics for every group with enough ECGs."""
    records, least = context.scored.records, context.config.min_positives
    block = {
        scored.task.name: group_metrics(scored, records, context.draws, least)
        for scored in context.scorable_tasks
    }
    if not any(block.values()):
        raise LeftOutError("no record has sex, age or site")
    return block


def about(block: Any, tasks: Tasks) -> Words:
    """What `other` means."""
    return both(
        f"{LEAST} 件未満の群は「少数の群」にまとめます。",
        f"Groups of fewer than {LEAST} ECGs are counted together, as “small groups”.",
    )


def tables(block: Any, tasks: Tasks) -> Iterator[Table]:
    """For each task and attribute, one row a group."""
    for name, attributes in block.items():
        task = tasks[name]
        for attribute, groups in attributes.items():
            summaries = [entry["summary"] for entry in groups.values()]
            wanted = dict.fromkeys((*headline_metrics(task), "hit@1_micro"))
            metrics = [metric for metric in wanted if any(metric in each for each in summaries)]
            kind = _WORDS[attribute]
            columns = (
                column("group", "words", kind), column("n", "count"), column("patients", "count"),
                *(metric_column(task["kind"], metric) for metric in metrics),
            )  # fmt: skip
            rows = tuple(
                (
                    _WORDS.get(group, both(group, group)),
                    entry["n"],
                    entry["patients"],
                    *(entry["summary"].get(metric) for metric in metrics),
                )
                for group, entry in groups.items()
            )
            title = both(
                f"{task['title']['ja']}：{kind['ja']}", f"{task['title']['en']}: {kind['en']}"
            )
            yield Table(f"{name}-by-{attribute}", title, columns, rows)


_WORDS = {
    "sex": both("性別", "Sex"),
    "age": both("年齢", "Age"),
    "site": both("施設", "Site"),
    "male": both("男性", "male"),
    "female": both("女性", "female"),
    OTHER: both("少数の群", "small groups"),
    UNKNOWN: both("不明", "unknown"),
}

ANALYSIS = Analysis(
    title=both("群別", "Subgroups"), of_echos=True, compute=compute, tables=tables, about=about
)
