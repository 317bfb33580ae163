"""eval: a trained model and records to results and report, unless these very results are there."""

import json
from pathlib import Path
from typing import Any

from ecgpipe.cache.records_table import RecordsTable
from ecgpipe.config.file import config_as_dict
from ecgpipe.errors import CheckpointError, SourceError, StoreError
from ecgpipe.evaluate.evaluation import Evaluation, evaluate
from ecgpipe.evaluate.results import Results, read_results, shown, write_results
from ecgpipe.evaluate.score_file import write_scores
from ecgpipe.files import digest_of
from ecgpipe.heartbeat import heartbeat
from ecgpipe.processes import share_of_work
from ecgpipe.provenance import provenance
from ecgpipe.stages.evaluate.analyses import with_analyses
from ecgpipe.stages.evaluate.context import AnalysisContext, Splits
from ecgpipe.stages.evaluate.files import REPORTS, write_report_files
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.stage_result import StageResult
from ecgpipe.stages.texts import all_sentences, with_sentence
from ecgpipe.stages.train.train import finished_model, run_folder, run_key
from ecgpipe.stopping import Stop

_VERSION = 4  # raised when the same key would give other figures


def run_eval(experiment: Experiment, stop: Stop) -> StageResult:
    """Score the experiment's model, or find that it is scored.

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
                "It was trained for longer: score it with train.epochs and train.patience as they"
                " were then."
                if longer
                else "Run `ecgpipe train`."
            )
        )
    key = _key(experiment, card)
    results = _results_of(experiment, key)
    did_work = results is None
    if results is None:
        results, evaluation, scored = _evaluate(experiment, card, key, stop)
        folder = experiment.workspace.evaluation
        write_scores(folder / "scores.h5", evaluation.scored, scored, key)
        write_report_files(folder, results, _pictures(experiment, results))
        # Written last: if it holds the key, all that lies beside it is of the same figures.
        write_results(folder / "results.json", results)
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
            "eval": experiment.settings("eval"),
            "tasks": [task.digest for task in experiment.tasks],
            "training": card["training"],
            "records": experiment.prepared.digest,
            "notice": experiment.config.notice,
        }
    )


def _results_of(experiment: Experiment, key: str) -> Results | None:
    folder = experiment.workspace.evaluation
    try:
        results = read_results(folder / "results.json")
    except StoreError:
        return None
    whole = all((folder / name).exists() for name in (*REPORTS, "scores.h5"))
    return results if results.get("key") == key and whole else None


def _evaluate(
    experiment: Experiment, card: dict[str, Any], key: str, stop: Stop
) -> tuple[Results, Evaluation, RecordsTable]:
    # Imported here because torch takes seconds, and most runs find nothing to do.
    from ecgpipe.stages.model_bridge import load_models

    config, records = experiment.config, experiment.records
    scored, trained_on, validation = [
        with_sentence(part, experiment.taxonomy, config.text)[0]
        for part in (experiment.scored, records.of_split("train"), records.of_split("val"))
    ]
    if config.eval.split == "val":
        validation = RecordsTable(())  # nothing may be chosen on the records that are scored
    if not len(scored):
        raise SourceError(f"No record of the {config.eval.split} split has {config.text.source}.")
    model, untrained = load_models(experiment, experiment.workspace.model)
    evaluation = evaluate(
        model,
        untrained,
        experiment.tasks,
        scored,
        trained_on,
        config.eval,
        config.text.language,
        stop,
        validation,
        model.logits,
    )
    splits = Splits(scored, trained_on, validation)
    context = AnalysisContext(experiment, model, untrained, evaluation, splits, stop)
    results = {
        "run": config.name,
        "notice": config.notice,
        "key": key,
        "tasks": evaluation.tasks,
        **with_analyses(context),
        "tasks_left_out": experiment.tasks_left_out,
        "training_log": training_log(experiment.workspace.run),
        "data": experiment.prepared.counts,
        "text": _text_facts(experiment),
        "training": card["training"],
        "config": config_as_dict(config),
        "provenance": provenance(),
    }
    return results, evaluation, scored


def _pictures(experiment: Experiment, results: Results) -> dict[str, bytes]:
    from ecgpipe.stages.evaluate.pictures import example_pictures

    chosen = [one["record_id"] for each in results.get("examples", {}).values() for one in each]
    return example_pictures(experiment, experiment.records, chosen)


def training_log(run: Path) -> list[dict[str, Any]]:
    """Loss and validation figures of every epoch, as training logged them; none if that is lost."""
    try:
        lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
        entries = [json.loads(line) for line in lines]
        return [
            {"epoch": e["epoch"], "loss": e["loss"], "val": e.get("val") or {}} for e in entries
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []  # the log is for people: without it there is no curve


def _text_facts(experiment: Experiment) -> dict[str, Any]:
    text, style = experiment.config.text, experiment.config.train.text
    sentences = all_sentences(
        experiment.records, experiment.taxonomy, experiment.tasks, text, style
    )
    _, of_records = with_sentence(experiment.records, experiment.taxonomy, text)
    return {
        "model": experiment.model_files.named,
        "fingerprint": experiment.fingerprint.digest,
        "fingerprint_fields": dict(experiment.fingerprint.fields),
        "width": experiment.open_vectors().dim,
        "prompt": text.prompt,
        "distinct": len(set(sentences)),
        "distinct_of_records": len(set(of_records)),
    }


def _line(results: Results, did_work: bool) -> str:
    if not results["tasks"]:
        why = "; ".join(f"{name}: {why}" for name, why in results["tasks_left_out"].items())
        return f"no task could be scored ({why})"
    name, task = next(iter(results["tasks"].items()))
    figures = ", ".join(
        f"{figure} {shown(figure, task['summary'][figure])}"
        for figure in ("hit@1_any", "hit@1_macro", "macro_auroc")
    )
    return f"{'' if did_work else 'nothing to do: '}{name} on {task['n']:,} ECGs: {figures}"


def _summary(experiment: Experiment, results: Results) -> dict[str, Any]:
    folder = experiment.workspace.evaluation
    return {
        "results": str(folder / "results.json"),
        "report": str(folder / "report.html"),
        "report_md": str(folder / "report.md"),
        "tasks": {
            name: {figure: entry["value"] for figure, entry in task["summary"].items()}
            for name, task in results["tasks"].items()
        },
    }
