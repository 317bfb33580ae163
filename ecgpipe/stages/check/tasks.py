"""Whether every task can be scored: its file, its wording, its ECGs.

Owns what is asked of a task before a run. Each is tried by itself.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ecgpipe.cache.records_table import RecordsTable
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.errors import TaxonomyError
from ecgpipe.evaluate.scoring import scored_records
from ecgpipe.evaluate.tasks.task import Task, check_other_name, load_task, misfit
from ecgpipe.evaluate.tasks.taxonomy import Taxonomy
from ecgpipe.stages.check.report import Problem, Severity
from ecgpipe.stages.experiment import candidate_findings


@dataclass(frozen=True)
class CheckedTasks:
    """The tasks that can be read, and what is wrong with the others."""

    tasks: tuple[Task, ...]
    problems: tuple[Problem, ...]


def checked_tasks(
    records: RecordsTable, taxonomy: Taxonomy, config: PipelineConfig
) -> CheckedTasks:
    """Read every task of eval.tasks."""
    candidates = candidate_findings(records, config)
    tasks: list[Task] = []
    problems: list[Problem] = []
    for name in config.eval.tasks:
        found = _checked(name, taxonomy, candidates, config, tasks)
        if isinstance(found, Task):
            tasks.append(found)
            problems += list(_without_positives(found, records, config))
        else:
            problems.append(found)
    return CheckedTasks(tuple(tasks), tuple(problems))


def task_figures(task: Task, records: RecordsTable, config: PipelineConfig) -> str:
    """Classes and ECGs of a task."""
    shown = _shown(task, records, config)
    return (
        f"{task.name}: {int((shown.sum(axis=0) > 0).sum())} of {len(task.classes)} classes on"
        f" {_scored(task, shown):,} {config.eval.split} ECGs"
    )


def _checked(
    name: str,
    taxonomy: Taxonomy,
    candidates: Collection[str] | None,
    config: PipelineConfig,
    others: Iterable[Task],
) -> Task | Problem:
    try:
        if why := misfit(name, taxonomy):
            return Problem(
                Severity.LOOK,
                "task left out",
                f"the task {name} is left out: {why}",
                "Map the findings in a taxonomy of your own, or take the task out of eval.tasks.",
            )
        task = load_task(name, taxonomy, candidates, config.eval.language)
        check_other_name(task, others)
    except TaxonomyError as error:
        return Problem(Severity.STOPS, "malformed task", f"eval.tasks, {name}: {error}", "")
    return task


def _without_positives(
    task: Task, records: RecordsTable, config: PipelineConfig
) -> Iterator[Problem]:
    split = config.eval.split
    if not any(record.split == split for record in records.records):
        return  # told once, as an empty split
    if not _scored(task, _shown(task, records, config)):
        what = "exactly one" if task.kind == "single_label" else "any"
        yield Problem(
            Severity.WRONG,
            "task without positives",
            f"the task {task.name} cannot be scored: no {split} ECG shows {what} of its"
            f" {len(task.classes)} classes",
            "Check its members or group, and data.split; or take it out of eval.tasks.",
        )


def _shown(task: Task, records: RecordsTable, config: PipelineConfig) -> np.ndarray:
    scored = records.of_split(config.eval.split).of_sources(config.eval.sources)
    return task.truth([record.findings for record in scored.records])


def _scored(task: Task, shown: np.ndarray) -> int:
    return int(scored_records(task.kind, shown).sum())
