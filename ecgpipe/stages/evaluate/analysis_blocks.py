"""What a model can do beside the tasks: retrieval, probes, neighbours, robustness, subgroups.

Owns which records and vectors each block is made from. How a figure is defined stands in
`evaluate`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from ecgpipe.evaluate.analyses.neighbours import K, neighbour_votes
from ecgpipe.evaluate.analyses.probe import Probe, ProbedEncoder
from ecgpipe.evaluate.analyses.retrieval import RetrievalRanks, recalls, retrieval_ranks
from ecgpipe.evaluate.analyses.robustness import Condition, conditions, to_millivolts, to_stored
from ecgpipe.evaluate.analyses.subgroups import group_metrics
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.scoring import bootstrap_metrics, pooled, share_metric
from ecgpipe.evaluate.tasks.ensemble import class_scores, flattened
from ecgpipe.stages.evaluate.context import AnalysisContext, LeftOutError, Slots, Stored
from ecgpipe.stages.texts import record_sentence


def retrieval(context: AnalysisContext) -> dict[str, Any]:
    """ECG to report and report to ECG, over the whole scored split."""
    records, experiment = context.splits.scored, context.experiment
    sentences = [
        record_sentence(record, experiment.taxonomy, experiment.config.text) or ""
        for record in records.records
    ]
    distinct, text_of_N = np.unique(np.array(sentences, object), return_inverse=True)
    if len(distinct) < 2:
        raise LeftOutError(f"all {len(records)} ECGs have the same text")
    texts = distinct.tolist()
    ranks = []
    for coder in (context.model, *context.untrained):
        context.check_stop()
        ecgs, text = coder.encode_ecg(records.slots), coder.encode_sentences(texts)
        ranks.append(retrieval_ranks(ecgs, text, text_of_N))
    return {
        "n": len(records),
        "distinct_texts": len(texts),
        **_both_directions(ranks[:1], context.draws),
        "random_encoder": _both_directions(ranks[1:], context.draws),
    }


def _both_directions(models: Sequence[RetrievalRanks], draws: PatientDraws) -> dict[str, Any]:
    """Recalls, and the median of the ranks, of one model or of several of one kind."""
    directions = {
        "ecg_to_text": [ranks.ecg_to_text_N for ranks in models],
        "text_to_ecg": [ranks.text_to_ecg_N for ranks in models],
    }
    return {
        name: {
            **_recall_figures(ranks, draws),
            "median_rank": float(np.median(np.concatenate(ranks))),
        }
        for name, ranks in directions.items()
    }


def _recall_figures(ranks: Sequence[npt.NDArray[np.int64]], draws: PatientDraws) -> dict[str, Any]:
    """Of one model, or of several with the draws divided among them as the tasks' baselines do."""
    if len(ranks) == 1:
        everybody = np.ones((draws.n_records, 1), np.bool_)
        n_patients = float(draws.n_patients(everybody)[0])
        found = recalls(ranks[0], _weights(draws))
        return {name: share_metric(values, n_patients) for name, values in found.items()}
    parts = [draws.part(number, len(ranks)) for number in range(len(ranks))]
    return pooled([recalls(each, _weights(part)) for each, part in zip(ranks, parts, strict=True)])


def _weights(draws: PatientDraws) -> npt.NDArray[np.float64]:
    return draws.weights(0, len(draws)).T.astype(np.float64)


def probe(context: AnalysisContext) -> dict[str, Any]:
    """Linear probes on the features of the model and of one untrained encoder."""
    splits, settings = context.splits, context.experiment.config.eval
    _need_other_split(context, ("train", "val"))
    tasks = [scored.task for scored in context.scored_tasks]
    if not len(splits.train):
        raise LeftOutError("no training record has a text")
    protocol = Probe(
        tasks,
        (splits.train, splits.validation, splits.scored),
        context.draws,
        settings.min_positives,
        settings.seed,
    )
    model, untrained = [
        ProbedEncoder(
            train_NF=coder.features(splits.train.slots),
            validation_VF=coder.features(splits.validation.slots),
            scored_SF=coder.features(splits.scored.slots),
        )
        for coder in (context.model, context.untrained[0])
    ]
    block = protocol.block(model, untrained, context.stop)
    context.check_stop()  # the block is unfinished then
    return block


def neighbours(context: AnalysisContext) -> dict[str, Any]:
    """The vote of the nearest training ECGs, for the model and one untrained encoder."""
    _need_other_split(context, ("train",))
    splits, tasks = context.splits, context.scored_tasks
    if not len(splits.train):
        raise LeftOutError("no training record has a text")
    findings = [record.findings for record in splits.train.records]
    block: dict[str, Any] = {}
    vectors = []
    for coder in (context.model, context.untrained[0]):
        context.check_stop()
        vectors.append(
            (coder.encode_ecg(splits.scored.slots), coder.encode_ecg(splits.train.slots))
        )
    for scored in tasks:
        truth_MC = scored.task.truth(findings)
        model, untrained = [
            context.metrics(scored, neighbour_votes(asked, known, truth_MC))
            for asked, known in vectors
        ]
        block[scored.task.name] = {"summary": model, "random_encoder": {"summary": untrained}}
    return {"k": min(K, len(splits.train)), "tasks": block}


def robustness(context: AnalysisContext) -> dict[str, Any]:
    """The first task under every condition that the signals allow."""
    from ecgpipe.read_ecg.signal.resampling import resample

    experiment, scored = context.experiment, context.scored_tasks[0]
    signals, settings = experiment.signals, experiment.config.eval
    rate_hz = experiment.config.data.rate_hz
    task = scored.task
    texts, class_of_M = flattened(task.wordings(experiment.config.text.language))
    text_MD = context.model.encode_text(texts, task.language)
    slots = context.splits.scored.slots[scored.chosen_N]
    draws = context.draws.chosen(scored.chosen_N)
    number_of = {
        record.slot: xxhash.xxh3_64_intdigest(record.record_id.encode())
        for record in context.splits.scored.records
    }
    made, left_out = [], {}
    for condition in conditions(signals.leads, signals.samples, rate_hz, settings.seed, resample):
        context.check_stop()
        if condition.cannot:
            left_out[condition.name] = condition.cannot
            continue
        change = _on_stored(condition, number_of)
        ecg_ND = context.model.encode_changed(slots, change)
        scores_NC = class_scores(ecg_ND, text_MD, class_of_M, task.ensemble)
        found = bootstrap_metrics(scores_NC, scored.truth, draws, settings.min_positives)
        made.append(
            {
                "name": condition.name,
                "about": dict(condition.about),
                "summary": found.summary_metrics(),
            }
        )
    return {"task": scored.task.name, "conditions": made, "left_out": left_out}


def _on_stored(
    condition: Condition, number_of: dict[int, int]
) -> Callable[[Stored, Slots], Stored]:
    """A condition as a change of signals as they are stored."""

    def change(stored_BLS: Stored, slots_B: Slots) -> Stored:
        numbers = np.array([number_of[slot] for slot in slots_B.tolist()], np.uint64)
        return to_stored(condition.change(to_millivolts(stored_BLS), numbers))

    return change


def subgroups(context: AnalysisContext) -> dict[str, Any]:
    """By task, its figures for every group of which enough ECGs are there."""
    records, least = context.splits.scored.records, context.experiment.config.eval.min_positives
    block = {
        scored.task.name: group_metrics(scored, records, context.draws, least)
        for scored in context.scored_tasks
    }
    if not any(block.values()):
        raise LeftOutError("no record has sex, age or site")
    return block


def _need_other_split(context: AnalysisContext, splits: Sequence[str]) -> None:
    split = context.experiment.config.eval.split
    if split in splits:
        raise LeftOutError(f"it learns from the {split} split, which is the one that is scored")
