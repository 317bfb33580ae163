"""eval: a trained model and records -> results and report, unless these results already exist."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from ecgpipe.cache.records_table import RecordsTable
from ecgpipe.config.file import config_as_dict
from ecgpipe.errors import CheckpointError, SourceError, StoreError
from ecgpipe.evaluate.analyses.registry import chosen_analyses
from ecgpipe.evaluate.analyses.retrieval import AT
from ecgpipe.evaluate.evaluation import Evaluation, EvaluationInputs, evaluate
from ecgpipe.evaluate.results import (
    DataFacts,
    Epoch,
    Results,
    TextFacts,
    read_results,
    write_results,
)
from ecgpipe.evaluate.score_file import write_scores
from ecgpipe.evaluate.table import written
from ecgpipe.files import digest_of, make_folder, point_link, storing
from ecgpipe.heartbeat import heartbeat
from ecgpipe.processes import share_of_work
from ecgpipe.provenance import provenance
from ecgpipe.stages.evaluate.analyses import analysis_context, run_analyses
from ecgpipe.stages.evaluate.files import REPORTS, write_report_files
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.stage_result import StageResult
from ecgpipe.stages.texts import with_answer, with_sentence
from ecgpipe.stages.train.train import finished_model, run_folder, run_key
from ecgpipe.stages.trained_texts import tasks_trained_on
from ecgpipe.stopping import Stop
from ecgpipe.workspace import results_path, scores_path

_VERSION = 8  # raised when the same inputs would give different metrics


def run_eval(experiment: Experiment, stop: Stop) -> StageResult:
    """Score the experiment's model, or find it already scored; RUN/eval then leads to the results.

    Evaluations with other tasks or settings are kept beside it, in RUN/evals.

    Raises:
        CheckpointError: there is no finished model of these settings.
        SourceError: the split has no record with a text.
        StoreError: vectors are missing, or the results cannot be written.
        StoppedEarly: stopped by a signal or a time limit; the next evaluation starts over.
    """
    with heartbeat(experiment.workspace.status, "eval", share_of_work(None)) as set_message:
        result = _run_eval(experiment, stop)
        set_message(result.line)
    return result


def _run_eval(experiment: Experiment, stop: Stop) -> StageResult:
    run = run_key(experiment)
    card = finished_model(experiment, run)
    if card is None:
        longer = run_folder(experiment, run).is_longer()
        raise CheckpointError(
            f"{experiment.workspace.model} holds no finished model of these settings. "
            + (
                "It was trained for longer: set train.epochs and train.patience as they were then."
                if longer
                else "Run `ecgpipe train`."
            )
        )
    key = _key(experiment, card)
    _file_away(experiment)
    results = _results_of(experiment, key)
    did_work = results is None
    if results is None:
        results, evaluation, scored = _evaluate(experiment, card, key, stop)
        folder = experiment.workspace.evaluation_with(key)
        write_scores(scores_path(folder), evaluation.scored, scored, key)
        write_report_files(folder, results, _pictures(experiment, results))
        # Written last: if it has the key, every other file belongs to the same evaluation.
        write_results(results_path(folder), results)
    point_link(experiment.workspace.evaluation, experiment.workspace.evaluation_with(key))
    return StageResult("eval", did_work, _line(results, did_work), _summary(experiment, results))


def finished_results(experiment: Experiment) -> Results | None:
    """The results of the experiment's finished model; None where either is missing."""
    card = finished_model(experiment, run_key(experiment))
    return None if card is None else _results_of(experiment, _key(experiment, card))


def _key(experiment: Experiment, card: dict[str, Any]) -> str:
    return digest_of(
        {
            "version": _VERSION,
            "model": card["sha256"],
            "eval": experiment.settings("eval", "analyses"),
            "analyses": chosen_analyses(experiment.config.eval.analyses),
            "tasks": [task.digest for task in experiment.tasks],
            "training": card["training"],
            "records": experiment.prepared.digest,
            **({"bank": digest_of(asdict(bank))} if (bank := experiment.tried_bank) else {}),
            "notice": experiment.config.notice,
        }
    )


def _results_of(experiment: Experiment, key: str) -> Results | None:
    folder = experiment.workspace.evaluation_with(key)
    try:
        results = read_results(results_path(folder))
    except StoreError:
        return None
    whole = scores_path(folder).exists() and all((folder / name).exists() for name in REPORTS)
    return results if results.get("key") == key and whole else None


def _file_away(experiment: Experiment) -> None:
    """Move a RUN/eval that is no link to where its key belongs: a copy of the run may follow links,
    and evaluations were not always kept apart."""
    folder = experiment.workspace.evaluation
    if folder.is_symlink() or not folder.is_dir():
        return
    try:
        key = str(read_results(results_path(folder))["key"])
    except StoreError:
        key = "unreadable"
    proper = experiment.workspace.evaluation_with(key)
    with storing(folder):
        if proper.exists():
            shutil.rmtree(proper)
        make_folder(proper.parent)
        folder.rename(proper)


def _evaluate(
    experiment: Experiment, card: dict[str, Any], key: str, stop: Stop
) -> tuple[Results, Evaluation, RecordsTable]:
    # Imported here because torch takes seconds, and most runs find nothing to do.
    from ecgpipe.stages.model_bridge import load_models

    config, records = experiment.config, experiment.records
    scored, trained_on, validation = [
        with_answer(part, experiment.taxonomy, config.text)
        for part in (experiment.scored, records.of_split("train"), records.of_split("val"))
    ]
    if config.eval.split == "val":
        validation = RecordsTable(())  # nothing may be chosen on the scored records
    if not len(scored):
        raise SourceError(f"No record of the {config.eval.split} split has {config.text.source}.")
    model, untrained = load_models(experiment, experiment.workspace.model)
    read = tasks_trained_on(experiment)
    inputs = EvaluationInputs(
        model=model,
        untrained=untrained,
        tasks=[task.as_trained_on() if task.name in read else task for task in experiment.tasks],
        scored=scored,
        trained_on=trained_on,
        validation=validation,
        unseen=experiment.unseen,
        config=config.eval,
        language=config.text.language,
        logits=model.logits,
        stop=stop,
    )
    evaluation = evaluate(inputs)
    context = analysis_context(experiment, model, untrained, inputs, evaluation)
    analyses, analyses_left_out = run_analyses(experiment, context)
    results: Results = {
        "run": config.name,
        "notice": config.notice,
        "key": key,
        "tasks": evaluation.tasks,
        "analyses": analyses,
        "tasks_left_out": experiment.tasks_left_out,
        "analyses_left_out": analyses_left_out,
        "training_log": training_log(experiment.workspace.run),
        "data": cast(DataFacts, experiment.prepared.counts),
        "text": _text_facts(experiment),
        "training": card["training"],
        "config": config_as_dict(config),
        "provenance": provenance(),
    }
    return results, evaluation, scored


def _pictures(experiment: Experiment, results: Results) -> dict[str, bytes]:
    from ecgpipe.stages.evaluate.pictures import example_pictures

    chosen = [
        one["record_id"]
        for each in results["analyses"].get("examples", {}).values()
        for one in each
    ]
    return example_pictures(experiment, experiment.records, chosen)


def training_log(run: Path) -> list[Epoch]:
    """Loss and validation metrics of every epoch as logged; none if the log is lost."""
    try:
        lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
        entries = [json.loads(line) for line in lines]
        return [
            {"epoch": e["epoch"], "loss": e["loss"], "val": e.get("val") or {}} for e in entries
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []  # the log is for people; without it there is no curve


def _text_facts(experiment: Experiment) -> TextFacts:
    text = experiment.config.text
    _, of_records = with_sentence(experiment.records, experiment.taxonomy, text)
    return {
        "model": experiment.model_files.named,
        "fingerprint": experiment.fingerprint.digest,
        "fingerprint_fields": dict(experiment.fingerprint.fields),
        "width": experiment.open_vectors().dim,
        "prompt": text.prompt,
        "distinct": len(experiment.texts),
        "distinct_of_records": len(set(of_records)),
    }


def _line(results: Results, did_work: bool) -> str:
    nothing = "" if did_work else "nothing to do: "
    if results["tasks"]:
        name, task = next(iter(results["tasks"].items()))
        metrics = ", ".join(
            f"{metric} {written(metric, task['summary'][metric])}"
            for metric in ("hit@1_any", "hit@1_macro", "macro_auroc")
            if metric in task["summary"]
        )
        return f"{nothing}{name} on {task['n']:,} ECGs: {metrics}"
    if found := results["analyses"].get("retrieval"):
        ranks = found["text_to_ecg"]
        recalls = ", ".join(f"R@{k} {written('R', ranks[f'R@{k}'])}" for k in AT)
        rank = f"median rank {ranks['median_rank']:g}"
        return f"{nothing}text to ECG on {found['n']:,} ECGs: {recalls}, {rank}"
    why = "; ".join(f"{name}: {why}" for name, why in results["tasks_left_out"].items())
    return f"no task could be scored ({why})"


def _summary(experiment: Experiment, results: Results) -> dict[str, Any]:
    folder = experiment.workspace.evaluation
    return {
        "results": str(results_path(folder)),
        "report": str(folder / "report.html"),
        "report_md": str(folder / "report.md"),
        "tasks": {
            name: {metric: entry["value"] for metric, entry in task["summary"].items()}
            for name, task in results["tasks"].items()
        },
    }
