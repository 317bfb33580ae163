"""Check whether every task can be scored: its file, its wording, its ECGs.

A task that cannot be scored does not hide the others.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

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
    """The readable tasks, one line about each, and what is wrong with the others."""

    tasks: tuple[Task, ...]
    lines: tuple[str, ...]
    problems: tuple[Problem, ...]


def check_tasks(records: RecordsTable, taxonomy: Taxonomy, config: PipelineConfig) -> CheckedTasks:
    """Read every task of eval.tasks, and count the ECGs that it scores."""
    candidates = candidate_findings(records, config)
    split = config.eval.split
    scored = records.of_split(split).of_sources(config.eval.sources).records
    tasks: list[Task] = []
    lines: list[str] = []
    problems: list[Problem] = []
    for name in config.eval.tasks:
        task = _load(name, taxonomy, candidates, config, tasks)
        if isinstance(task, Problem):
            problems.append(task)
            continue
        tasks.append(task)
        truth_NC = task.truth([record.findings for record in scored])
        n_scored = int(scored_records(task.kind, truth_NC).sum())
        n_classes = int(truth_NC.any(axis=0).sum())
        lines.append(
            f"{task.name}: {n_classes} of {len(task.classes)} classes on {n_scored:,} {split} ECGs"
        )
        if not n_scored and len(records.of_split(split)):  # an empty split is reported elsewhere
            problems.append(_without_positives(task, split))
    return CheckedTasks(tuple(tasks), tuple(lines), tuple(problems))


def _load(
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
                f"the task {name} will not be scored: {why}",
                "Map the findings in a taxonomy of your own, or remove the task from eval.tasks.",
            )
        task = load_task(name, taxonomy, candidates, config.eval.language)
        check_other_name(task, others)
    except TaxonomyError as error:
        return Problem(Severity.STOPS, "malformed task", f"eval.tasks, {name}: {error}")
    return task


def _without_positives(task: Task, split: str) -> Problem:
    what = "exactly one" if task.kind == "single_label" else "any"
    return Problem(
        Severity.WRONG,
        "task without positives",
        f"the task {task.name} cannot be scored: no {split} ECG has {what} of its"
        f" {len(task.classes)} classes",
        "Check its members or group, and data.split; or remove it from eval.tasks.",
    )
