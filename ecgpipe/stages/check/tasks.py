"""Check whether every task can be scored: its file, its wording, its ECGs.

A task that cannot be scored does not hide the others.
"""

from ecgpipe.cache.records_table import RecordsTable
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.errors import TaxonomyError
from ecgpipe.evaluate.tasks.echo_definitions import EchoDefinitions
from ecgpipe.evaluate.tasks.task import Task
from ecgpipe.evaluate.tasks.taxonomy import Taxonomy
from ecgpipe.stages.check.report import Problem, Severity
from ecgpipe.stages.experiment import measurable, try_tasks


def check_tasks(
    records: RecordsTable,
    taxonomy: Taxonomy,
    echo: EchoDefinitions | None,
    config: PipelineConfig,
    problems: list[Problem],
) -> tuple[list[Task], list[str]]:
    """Read every task of eval.tasks, and count the ECGs that it scores.

    Returns:
        The readable tasks, and a line about each; what is wrong is added to `problems`.
    """
    split = config.eval.split
    scored = records.of_split(split).of_sources(config.eval.sources).records
    tasks: list[Task] = []
    lines: list[str] = []
    reports_only = not records.findings and config.text.reads_reports
    best_by = measurable(config.train, records).best_by
    if reports_only:
        lines.append(
            "no ECG has findings, so the task is to find the ECG of a report (retrieval), and"
            f" {best_by} chooses the epoch"
        )
    elif not config.eval.tasks:
        lines.append(
            f"none, so the measure is to find the ECG of a text (retrieval), and {best_by} chooses"
            " the epoch"
        )
    for name, found in try_tasks(config, taxonomy, records, echo):
        if not isinstance(found, Task):
            problems.append(_unusable(name, found))
            continue
        tasks.append(found)
        if reports_only:
            continue
        answers = found.answers(scored)
        n_scored = int(answers.scored(found.kind).sum())
        n_classes = int(answers.shown_NC.any(axis=0).sum())
        lines.append(
            f"{found.name}: {n_classes} of {len(found.classes)} classes on {n_scored:,} {split}"
            " ECGs"
        )
        if not n_scored and len(records.of_split(split)):  # an empty split is reported elsewhere
            problems.append(_without_positives(found, split))
        elif n_scored and found.kind == "partly_known" and not answers.enough(1).any():
            problems.append(_one_sided(found, split))
    measured = any(record.echo_known for record in records.records)
    if measured and tasks and all(task.kind != "partly_known" for task in tasks):
        problems.append(
            Problem(
                Severity.LOOK,
                "echo not scored",
                "no task of eval.tasks is about echocardiograms",
                "Add echo and echo-any to eval.tasks to see how well their findings are told.",
            )
        )
    return tasks, lines


def _unusable(name: str, why: str | TaxonomyError) -> Problem:
    if isinstance(why, TaxonomyError):
        return Problem(Severity.STOPS, "malformed task", f"eval.tasks, {name}: {why}")
    return Problem(
        Severity.LOOK,
        "task left out",
        f"the task {name} will not be scored: {why}",
        "Map the findings in a taxonomy of your own, or remove the task from eval.tasks.",
    )


def _one_sided(task: Task, split: str) -> Problem:
    return Problem(
        Severity.LOOK,
        "task one-sided",
        f"the task {task.name} has no AUROC: of no class do some {split} ECGs show it and others"
        " surely not",
        "A finding with any_of is known not to be there only if all it lists are; list in a file of"
        " definitions of your own what is measured (docs/echo.md). Or remove it from eval.tasks.",
    )


def _without_positives(task: Task, split: str) -> Problem:
    if task.kind == "partly_known":
        return Problem(
            Severity.WRONG,
            "task without positives",
            f"the task {task.name} cannot be scored: of no {split} ECG does an echocardiogram say"
            f" anything about its {len(task.classes)} classes",
            "See what data.echo joins, and data.split; or remove it from eval.tasks.",
        )
    what = "exactly one" if task.kind == "single_label" else "any"
    return Problem(
        Severity.WRONG,
        "task without positives",
        f"the task {task.name} cannot be scored: no {split} ECG has {what} of its"
        f" {len(task.classes)} classes",
        "Check its members or group, and data.split; or remove it from eval.tasks.",
    )
