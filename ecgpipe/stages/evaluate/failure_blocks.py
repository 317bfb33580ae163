"""Why a model fails: what it takes for what, what the texts alone confuse, what it does not see.

Owns which tasks, texts and ECGs each block looks at. How a figure is defined stands in `evaluate`.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.embed_text.prompts import keys_of
from ecgpipe.evaluate.analyses.delineation import measure
from ecgpipe.evaluate.analyses.failures import by_coarse_class, overtaken, taken_for
from ecgpipe.evaluate.analyses.measurements import measured_findings, measurement_block
from ecgpipe.evaluate.analyses.robustness import to_millivolts
from ecgpipe.evaluate.analyses.text_space import cosines, text_confusion_correlation
from ecgpipe.evaluate.analyses.text_space import text_space as text_space_block
from ecgpipe.evaluate.scored_task import ScoredTask
from ecgpipe.stages.evaluate.context import AnalysisContext, LeftOutError
from ecgpipe.stages.texts import class_sentences

_MOST_MEASURED = 500
_PERMUTATIONS = 999
_COARSE = "superclass"


def failures(context: AnalysisContext) -> dict[str, Any]:
    """By task: which class is taken for which, and how the coarse diagnoses fare."""
    settings, taxonomy = context.experiment.config.eval, context.experiment.taxonomy
    coarse = {f.id: f.groups.get(_COARSE) for f in taxonomy.findings}
    block: dict[str, Any] = {}
    for scored in context.scored_tasks:
        ids = [each.id for each in scored.task.classes]
        similarity = cosines(_class_vectors(context, scored) - context.model.text_mean)
        rates, _ = overtaken(scored.scores, scored.truth, settings.min_positives)
        entry = {
            "taken_for": taken_for(scored, similarity, settings.min_positives),
            "text_correlation": text_confusion_correlation(
                similarity, rates, _PERMUTATIONS, settings.seed
            ),
        }
        if set(ids) <= coarse.keys():  # the classes are findings
            own = [coarse[each] for each in ids]
            names = sorted({name for name in own if name is not None})
            entry["by_coarse_class"] = by_coarse_class(scored, own, names)
        block[scored.task.name] = entry
    return block


def text_space(context: AnalysisContext) -> dict[str, Any]:
    """How alike the language model finds the classes of the first task."""
    scored, language = context.scored_tasks[0], context.experiment.config.text.language
    names = [texts[0] for texts in scored.task.wordings(language)]
    if len(names) < 2:
        raise LeftOutError("a single class has nothing to be alike to")
    return {
        "task": scored.task.name,
        **text_space_block(
            _class_vectors(context, scored),
            context.model.encode_text(names, scored.task.language),
            context.model.text_mean,
            [each.id for each in scored.task.classes],
            names,
            scored.task.language or language,
        ),
    }


def measurements(context: AnalysisContext) -> dict[str, Any]:
    """Whether the first task's findings that are a measurement follow the quantity."""
    _, measured = measured_findings()
    known = {class_id for finding in measured for class_id in finding.classes}
    able = [s for s in context.scored_tasks if known & {c.id for c in s.task.classes}]
    if not able:
        raise LeftOutError("no task has a class that is a measurement")
    scored, settings = able[0], context.experiment.config.eval
    records = context.splits.scored
    found: list[dict[str, float] | None] = [None] * len(records)
    signals, rate_hz = context.experiment.signals, context.experiment.config.data.rate_hz
    for row in _sampled(scored, settings.seed):
        context.check_stop()
        stored_LS = signals.read(records.slots[row : row + 1])
        found[row] = measure(to_millivolts(stored_LS)[0], signals.leads, rate_hz)
    return measurement_block(
        scored,
        found,
        records.patients,
        settings.min_positives,
        settings.bootstrap_draws,
        settings.seed,
    )


def _sampled(scored: ScoredTask, seed: int) -> list[int]:
    """The ECGs that count, or as many of them as can be measured in a minute."""
    rows = np.flatnonzero(scored.chosen_N)
    if len(rows) > _MOST_MEASURED:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _MOST_MEASURED, replace=False))
    return [int(row) for row in rows]


def _class_vectors(context: AnalysisContext, scored: ScoredTask) -> npt.NDArray[np.float32]:
    """(C, W) the language model's vectors of the classes' first wordings, in their prompt."""
    text = context.experiment.config.text
    names = [texts[0] for texts in scored.task.wordings(text.language)]
    sentences = class_sentences(names, text, scored.task.language)
    return context.experiment.open_vectors().vectors(keys_of(sentences))
