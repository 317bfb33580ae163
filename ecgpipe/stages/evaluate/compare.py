"""compare: evaluated runs side by side.

Owns which runs a name selects, and that only runs of one setting, of different seeds, are averaged.
"""

import fnmatch
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecgpipe.errors import ComparisonError, StoreError
from ecgpipe.evaluate.compare.comparison import (
    Contender,
    KeptScores,
    adjust_over_tasks,
    compare_task,
)
from ecgpipe.evaluate.compare.words import words_beside
from ecgpipe.evaluate.results import Results, read_results
from ecgpipe.evaluate.score_file import read_scores
from ecgpipe.evaluate.tasks.task import title_of_trained
from ecgpipe.files import digest_of
from ecgpipe.provenance import provenance
from ecgpipe.stages.experiment import Experiment
from ecgpipe.workspace import evaluation_of, is_old_run, results_path, scores_path

FORMAT = "ecgpipe-comparison/1"

EvaluatedRun = tuple[str, Path, Results]
"""Its name, its eval folder and its results."""


def run_compare(
    names: Sequence[str],
    open_experiment: Callable[[], Experiment] | None,
    *,
    draws: int = 2000,
    seed: int = 0,
    average_seeds: bool = True,
) -> dict[str, Any]:
    """Compare evaluated runs, each with the first; seeds of a single setting are summarised.

    Args:
        names: folders of runs, or names of runs in the experiment's work_dir, where `*` matches
            anything.
        open_experiment: opens the experiment whose work_dir has the runs; None if there is none.
        draws: resamplings of patients.
        seed: of the draws.
        average_seeds: whether runs that differ only by train.seed are one column, their mean.

    Returns:
        The comparison (`ecgpipe-comparison/1`), ready for JSON.

    Raises:
        ComparisonError: a name matches no run, there is only one run, or no task is common.
        StoreError: a run is not evaluated, or its files are damaged.
    """
    runs = _evaluated_runs(names, open_experiment)
    if len(runs) < 2:
        raise ComparisonError(
            f"A comparison needs two runs, but only {runs[0][0]} matches. Name two or more, or use"
            " a pattern such as 'name+*'."
        )
    groups = _grouped(runs, average_seeds)
    tasks, left_out = {}, {}
    for task in next(iter(groups.values()))[0][2]["tasks"]:
        try:
            tasks[task] = _compared(task, groups, draws, seed)
        except ComparisonError as error:
            left_out[task] = str(error)
    if not tasks:
        why = "\n".join(f"{task}: {why}" for task, why in left_out.items())
        raise ComparisonError(f"These runs have no task that can be compared.\n{why}")
    adjust_over_tasks(tasks)
    return {
        "format": FORMAT,
        "contenders": [
            {"name": name, "runs": [run for run, _, _ in members]}
            for name, members in groups.items()
        ],
        "language": next(iter(groups.values()))[0][2]["config"]["text"]["language"],
        "draws": draws,
        "tasks": tasks,
        "words": words_beside(
            {name: [results for _, _, results in members] for name, members in groups.items()}
        ),
        "left_out": left_out,
        "provenance": provenance(),
    }


def _compared(
    task: str, groups: dict[str, list[EvaluatedRun]], draws: int, seed: int
) -> dict[str, Any]:
    about = next(iter(groups.values()))[0][2]["tasks"][task]
    contenders = []
    for name, members in groups.items():
        runs = {}
        for run, folder, results in members:
            if task not in results["tasks"]:
                raise ComparisonError(f"{run} was not scored on this task; see eval.tasks.")
            if not results["tasks"][task]["n"]:
                raise ComparisonError(f"this task scores no ECG of {run}.")
            runs[run] = _kept_scores(scores_path(folder), task, results)
        contenders.append(Contender(name, runs))
    try:
        compared = compare_task(contenders, about["min_positives"], draws, seed)
    except ComparisonError as error:
        raise ComparisonError(f"{error}{_scored_on(groups)}") from None
    return {
        "title": _title(task, groups),
        "kind": about["kind"],
        "names": {class_id: entry["names"] for class_id, entry in about["classes"].items()},
        **compared,
    }


def _title(task: str, groups: Mapping[str, Sequence[EvaluatedRun]]) -> Mapping[str, str]:
    """The task's title; where only some contenders were trained on its wordings, it names them."""
    titles: dict[bool, Mapping[str, str]] = {}
    trained = []
    for name, members in groups.items():
        for _, _, results in members:
            found = results["tasks"][task]
            read = found.get("trained_on", False)
            titles.setdefault(read, found["title"])
            if read and name not in trained:
                trained.append(name)
    if len(titles) == 1:
        return next(iter(titles.values()))
    return title_of_trained(titles[False], trained)


def _scored_on(groups: Mapping[str, Sequence[EvaluatedRun]]) -> str:
    """A sentence on the splits and sources that the runs were scored on; '' if they are the same.

    Other names of sources alone do not stand against a comparison: the ECGs may be the same.
    """
    parts = {}
    for members in groups.values():
        for run, _, results in members:
            scored = results["config"]["eval"]
            sources = ", ".join(scored["sources"] or ()) or "all sources"
            parts[run] = f"{scored['split']} of {sources}"
    if len(set(parts.values())) == 1:
        return ""
    return f" Scored on: {'; '.join(f'{run}, {part}' for run, part in parts.items())}."


def _kept_scores(path: Path, task: str, results: Results) -> KeptScores:
    file = read_scores(path)
    if file.key != results["key"] or task not in file.tasks:
        raise StoreError(
            f"{path} and results.json are of different evaluations. Run `ecgpipe eval` again."
        )
    kept = file.tasks[task]
    rows = np.flatnonzero(kept.chosen_N).tolist()
    return KeptScores(
        class_ids=kept.class_ids,
        record_ids=tuple(file.record_ids[row] for row in rows),
        patients=file.patients_N[rows],
        scores_NC=kept.scores_NC[rows],
        truth_NC=kept.truth_NC[rows],
        known_NC=None if kept.known_NC is None else kept.known_NC[rows],
    )


def _evaluated_runs(
    names: Sequence[str], open_experiment: Callable[[], Experiment] | None
) -> list[EvaluatedRun]:
    folders: dict[Path, str] = {}
    for name in names:
        for folder in evaluated_folders(name, open_experiment):
            folders.setdefault(evaluation_of(folder).resolve(), _name_of(folder))
    runs = []
    for evaluation, name in folders.items():
        results = read_results(results_path(evaluation))
        if not (path := scores_path(evaluation)).exists():
            raise StoreError(f"{path} is missing. Run `ecgpipe eval`.")
        runs.append((name, evaluation, results))
    return runs


def _name_of(folder: Path) -> str:
    """A run's name; RUN/KEY of a single evaluation."""
    folder = folder.resolve()
    return (
        f"{folder.parent.parent.name}/{folder.name}"
        if evaluation_of(folder) == folder
        else folder.name
    )


def evaluated_folders(name: str, open_experiment: Callable[[], Experiment] | None) -> list[Path]:
    """The folders of evaluated runs that a name means.

    Args:
        name: a folder, of a run or of one of its evaluations, or a run's name in the experiment's
            work_dir, where `*` matches anything.
        open_experiment: opens that experiment; None if there is none.

    Raises:
        ComparisonError: no evaluated run is meant.
    """
    if results_path(evaluation_of(Path(name))).exists():
        return [Path(name)]
    if open_experiment is None:
        raise ComparisonError(
            f"{name} is not the folder of an evaluated run (it has no eval/results.json). To"
            " name a run only, give its pipeline.yaml with -c."
        )
    runs = open_experiment().workspace.runs
    found = sorted(
        folder
        for folder in runs.glob("*")
        if fnmatch.fnmatchcase(folder.name, name)
        # A run that was set aside has to be meant.
        and not (is_old_run(folder) and ".old-" not in name)
        and not folder.name.startswith(".")
    )
    evaluated = [folder for folder in found if results_path(evaluation_of(folder)).exists()]
    if not evaluated:
        what = "holds no run of that name" if not found else "has not evaluated it"
        there = ", ".join(sorted(f.name for f in runs.glob("*") if evaluation_of(f).exists()))
        raise ComparisonError(
            f"{name}: {runs} {what}. Evaluated there: {there or 'none'}. Run `ecgpipe eval`."
        )
    return evaluated


def _grouped(runs: Sequence[EvaluatedRun], average_seeds: bool) -> dict[str, list[EvaluatedRun]]:
    """The runs by column: seeds of one setting are one column.

    Two runs of one setting and one seed differ by their data, or by the version of ecgpipe. Their
    mean would hide just that, so they are columns of their own.
    """
    groups: dict[str, list[EvaluatedRun]] = {}
    for run in runs:
        groups.setdefault(_without_seed(run[2]), []).append(run)
    columns: dict[str, list[EvaluatedRun]] = {}
    for members in itertools.chain.from_iterable(
        [group] if average_seeds and _are_seeds(group) else [[run] for run in group]
        for group in groups.values()
    ):
        name = _column_name(members)
        # Runs of one name in two work_dirs.
        columns[name if name not in columns else f"{name} ({len(columns) + 1})"] = members
    return dict(zip(_without_common_part(list(columns)), columns.values(), strict=True))


def _are_seeds(runs: Sequence[EvaluatedRun]) -> bool:
    seeds = [results["config"]["train"]["seed"] for _, _, results in runs]
    return len(set(seeds)) == len(seeds)


def _without_common_part(names: Sequence[str]) -> list[str]:
    """sweep+lr=1 and sweep+lr=2 as lr=1 and lr=2; no name becomes empty."""
    parts = [name.split("+") for name in names]
    common = 0
    while all(len(each) > common + 1 for each in parts) and len({e[common] for e in parts}) == 1:
        common += 1
    return ["+".join(each[common:]) for each in parts]


def _without_seed(results: Results) -> str:
    config = {key: value for key, value in results["config"].items() if key != "name"}
    config["train"] = {k: v for k, v in config.get("train", {}).items() if k != "seed"}
    config.pop("work_dir", None)
    return digest_of(config)


def _column_name(members: Sequence[EvaluatedRun]) -> str:
    name = members[0][0]
    if len(members) == 1:
        return name
    return "+".join(part for part in name.split("+") if not part.startswith("seed="))
