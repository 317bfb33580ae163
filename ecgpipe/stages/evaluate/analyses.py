"""Run the analyses that eval.analyses names.

Owns what they are given, and that one which cannot be made is left out with its reason while the
rest goes on.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ecgpipe.evaluate.analyses.analysis import AnalysedModel, AnalysisContext, LeftOutError
from ecgpipe.evaluate.analyses.registry import ANALYSES, chosen_analyses
from ecgpipe.evaluate.evaluation import Evaluation, EvaluationInputs
from ecgpipe.progress import progress
from ecgpipe.read_ecg.signal.resampling import resample
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.texts import record_sentence, with_sentence
from ecgpipe.stages.trained_texts import trained_texts


def analysis_context(
    experiment: Experiment,
    model: AnalysedModel,
    untrained: Sequence[AnalysedModel],
    inputs: EvaluationInputs,
    evaluation: Evaluation,
) -> AnalysisContext:
    """What the analyses of an evaluation may look at."""
    config, taxonomy = experiment.config, experiment.taxonomy
    sentences = [record_sentence(r, taxonomy, config.text) or "" for r in inputs.scored.records]
    return AnalysisContext(
        model=model,
        untrained=untrained,
        tasks=list(evaluation.scored.values()),
        scored=inputs.scored,
        sentences=sentences,
        train=inputs.trained_on,
        validation=inputs.validation,
        signals=experiment.signals,
        rate_hz=config.data.rate_hz,
        resample=resample,
        taxonomy=taxonomy,
        bank=experiment.tried_bank,
        unseen=experiment.unseen,
        trained_texts=trained_texts(experiment, experiment.open_vectors(), model.place_texts),
        echo=experiment.echo_definitions,
        language=config.text.language,
        config=config.eval,
        stop=inputs.stop,
    )


def _said(experiment: Experiment, context: AnalysisContext) -> AnalysisContext:
    """The same without the ECGs of which only the echocardiogram says something.

    Raises:
        LeftOutError: there is no other.
    """
    said_N = np.array([bool(sentence) for sentence in context.sentences], np.bool_)
    if said_N.all():
        return context
    if not said_N.any():
        raise LeftOutError("of every ECG only the echocardiogram says something")
    train, validation = (
        with_sentence(table, experiment.taxonomy, experiment.config.text)[0]
        for table in (context.train, context.validation)
    )
    return dataclasses.replace(
        context,
        scored=context.scored.where(said_N),
        sentences=[sentence for sentence in context.sentences if sentence],
        tasks=[task.where(said_N) for task in context.tasks],
        train=train,
        validation=validation,
    )


def run_analyses(
    experiment: Experiment, context: AnalysisContext
) -> tuple[dict[str, Any], dict[str, str]]:
    """The blocks of eval.analyses by name, and which were left out and why.

    Raises:
        StoppedEarly: a signal asked to stop; nothing is kept.
        StoreError: a signal is damaged or a vector missing.
    """
    blocks: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    said = functools.cache(functools.partial(_said, experiment, context))
    for name in chosen_analyses(context.config.analyses):
        context.check_stop()
        analysis = ANALYSES[name]
        with progress(f"eval: {name}", 1, "analysis") as tick:
            try:
                blocks[name] = analysis.compute(context if analysis.of_echos else said())
                tick()
            except LeftOutError as why:
                left_out[name] = str(why)
                tick(note=f"left out: {why}")
    return blocks, left_out
